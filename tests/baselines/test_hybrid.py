"""The hybrid: causal innovations, a correction that starts at zero, shares, and an answer that is the sum."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_seq import config
from keras_seq.baselines.hybrid import build_hybrid
from keras_seq.baselines.linear_graph import linear_model
from keras_seq.baselines.sarimax import Filters
from keras_seq.baselines.statespace import filter_weights, sarimax
from keras_seq.data.prepare import prepare_series
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.errors import DataError
from keras_seq.models.registry import get_family
from tests.factories.experiments import co2_tree
from tests.factories.tiers import tiers
from tests.models.test_kalman import HORIZON, TIME, fitted, make_spec, series, windows


def small(**dotted: object) -> config.Experiment:
    model = {"family": "hybrid", "units": 4, "layers": 1, "hidden_dims": [], "recent": 8, "dropout": 0.0}
    training = {"epochs": 3, "batch_size": 32, "jit": False}
    return config.from_dict(co2_tree(60, 1, held_out=(40, 40), **{"model": model, "training": training, **dotted}))


def filters(name: str = "seasonal") -> Filters:
    fit = fitted(name)
    return Filters([fit], [filter_weights(fit, TIME, HORIZON)])


def test_an_untrained_hybrid_is_sarimax_and_ignores_padding(tmp_path: Path) -> None:
    made, spec, y = filters(), make_spec(), series(45)
    model = build_hybrid(small(), spec, made, 0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    alone = linear_model(spec, made.weights, "sarimax")
    lengths = np.array([45], np.int32)
    expected = np.asarray(alone({"values": windows(y), "lengths": lengths}))
    for pad, junk in ((0, 0.0), (15, np.nan)):
        got = again({"values": windows(y, pad=pad, junk=junk), "lengths": lengths})
        np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-5)


def test_innovations_are_those_of_statsmodels_and_causal() -> None:
    made, y = filters(), series(TIME)
    model = build_hybrid(small(), make_spec(), made, 0)
    reader = keras.Model(model.inputs, model.get_layer("filter_innovations").output)
    lengths = np.array([TIME], np.int32)
    got = np.asarray(reader({"values": windows(y), "lengths": lengths}))[0, :, 0]
    fit = made.fitted[0]
    errors = sarimax(y, fit.arima).filter(fit.params).forecasts_error[0] / fit.deviation
    np.testing.assert_allclose(got[made.burn :], errors[made.burn :], atol=1e-3)
    assert not got[: made.burn].any()
    changed = y.copy()
    changed[40:] += 50.0
    later = np.asarray(reader({"values": windows(changed), "lengths": lengths}))[0, :, 0]
    np.testing.assert_allclose(later[:40], got[:40], atol=1e-4)
    assert abs(later[40] - got[40]) > 1.0


def made_up(rows: int = 260) -> Series:
    y = np.cumsum(np.random.default_rng(0).normal(size=rows)) + 100
    schema = Schema(name="made", task="forecast", columns=(Column(name="y"),), targets=("y",))
    values = y.astype(np.float32)[:, None]
    return build_series(schema, [values], [values.copy()])


@pytest.mark.parametrize(
    "kind", tiers(["residual", "weighted", "stacked"], quick=["residual"], slow=["weighted", "stacked"])
)
def test_the_answer_is_the_forecast_and_shares_of_the_moves(kind: str) -> None:
    wanted = small(**{"model.hybrid": kind, "model.arima.order": [0, 1, 1]})
    found = prepare_series(made_up(), wanted.data)
    said: list[str] = []
    model = get_family("hybrid").fit(wanted, found, said.append)  # type: ignore[misc]
    assert any("best epoch" in line for line in said)
    rows = found.series.values[None, -60:]
    members = keras.Model(model.inputs, model.get_layer("members").output)({"values": rows})
    members = np.asarray(members)[0, 0, 0]
    (shares,) = model.get_layer("mix").get_weights()
    if kind == "residual":
        np.testing.assert_array_equal(shares, [[1.0, 0.0, 0.0]])
    if kind == "weighted":
        assert 0.0 < shares[0, 0] < 1.0
        assert not shares[0, 1:].any()
    expected = (members[0] + members[1:] @ shares[0]) * found.spec.target_std[0] + found.spec.target_mean[0]
    assert float(np.asarray(model({"values": rows})).ravel()[0]) == pytest.approx(float(expected), rel=1e-5)


def test_validation_and_test_rows_never_reach_the_fit() -> None:
    """A tell-tale in every row after train changes no weight of the state-space part, nor of the scaling."""
    wanted, series_ = small(**{"model.arima.order": [0, 1, 1]}), made_up()
    planted = made_up()
    planted.values[-80:] += 1e4
    planted.targets[-80:] += 1e4
    kept = [
        get_family("sarimax").fit(wanted, prepare_series(data, wanted.data), print).get_weights()  # type: ignore[misc]
        for data in (series_, planted)
    ]
    for before, after in zip(*kept, strict=True):
        np.testing.assert_array_equal(before, after)


def test_too_few_rows_for_the_network() -> None:
    wanted = small(**{"model.recent": 100, "model.arima.order": [0, 1, 1]})
    with pytest.raises(DataError, match=r"model\.recent=100"):
        get_family("hybrid").fit(wanted, prepare_series(made_up(), wanted.data), print)  # type: ignore[misc]
