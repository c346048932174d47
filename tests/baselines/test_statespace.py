"""Fitting SARIMAX: known parameters found, orders selected, refusals that name the order, gaps."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq import config
from keras_seq.baselines import sarimax as family
from keras_seq.baselines.naive import seasonal_weights
from keras_seq.baselines.statespace import check_series, filter_weights, fit_arima, sarimax
from keras_seq.config.forecasting import ArimaConfig
from keras_seq.data.covariates.add import add_covariates
from keras_seq.data.prepare import Prepared, prepare, prepare_series
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.errors import ConfigError, DataError
from keras_seq.models.registry import get_family
from tests.factories.experiments import co2_tree


def make_series(values: np.ndarray) -> Series:
    schema = Schema(name="made", task="forecast", columns=(Column(name="y", missing=True),), targets=("y",))
    rows = values.astype(np.float32)[:, None]
    return build_series(schema, [rows], [rows.copy()], info={"season": 12})


def experiment(name: str, **dotted: object) -> config.Experiment:
    given = {"data.impute": "forward", "model": {"family": name}, **dotted}
    return config.from_dict(co2_tree(36, 1, held_out=(20, 20), **given))


def moving_average(rows: int = 600, theta: float = -0.6, seed: int = 0) -> np.ndarray:
    shocks = np.random.default_rng(seed).normal(size=rows + 1)
    return np.cumsum(shocks[1:] + theta * shocks[:-1])


def test_parameters_are_found() -> None:
    y = moving_average()
    fit = fit_arima(y / y.std(), ArimaConfig(order=(0, 1, 1)))
    assert fit.params[0] == pytest.approx(-0.6, abs=0.1)
    assert fit.converged


def test_innovations_algorithm_agrees_with_the_state_space_likelihood() -> None:
    rng = np.random.default_rng(1)
    y = np.cumsum(rng.normal(size=160)) * 0.1 + np.sin(2 * np.pi * np.arange(160) / 12)
    fit = fit_arima(y, ArimaConfig(order=(0, 1, 1), seasonal=(0, 1, 1, 12)))
    reference = sarimax(y, fit.arima).fit(disp=0)
    np.testing.assert_allclose(fit.params[:2], reference.params[:2], atol=0.1)


def test_selection_tells_the_time_left_and_finds_the_order() -> None:
    said: list[str] = []
    arima = ArimaConfig(order=(1, 1, 1), select=True)
    assert len(family.candidates(arima)) == 3
    fit = family.select(moving_average(), arima, said.append)
    assert fit.arima.order[2] == 1
    assert all("s left" in line for line in said)
    best = min(float(line.split("AICc ")[1].split(";")[0].split(",")[0]) for line in said)
    assert fit.aicc == pytest.approx(best, abs=0.06)


def test_a_fit_that_does_not_converge_is_named() -> None:
    said: list[str] = []
    family._fit_one(moving_average(), ArimaConfig(order=(2, 1, 2), iterations=1), "y", said.append)
    assert any("(2,1,2) did not converge" in line for line in said)


@pytest.mark.parametrize(
    ("values", "arima", "message"),
    [
        (np.full(100, 3.0), ArimaConfig(), r"always 3.*\(1,1,1\)"),
        (np.full(100, np.nan), ArimaConfig(), "never observed"),
        (np.arange(60.0), ArimaConfig(seasonal=(0, 1, 1, 52)), "season of model.* is 52 steps, but .* has 60"),
        (np.arange(60.0), ArimaConfig(fourier=2, period=52.18), "at least two of its lengths"),
        (np.arange(14.0), ArimaConfig(order=(3, 1, 3)), r"\(3,1,3\).* numbers to fit"),
    ],
)
def test_refusals(values: np.ndarray, arima: ArimaConfig, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_series(values, arima, "y")


def test_a_season_needs_its_length() -> None:
    with pytest.raises(ConfigError, match="at least 2 steps"):
        config.from_dict({"model": {"arima": {"seasonal": [1, 0, 0, 0]}}})


def test_seasonal_naive_repeats_the_season() -> None:
    weights = seasonal_weights(24, 14, 12)
    y = np.arange(24.0)
    np.testing.assert_array_equal(y @ weights.ahead[-1], [*range(12, 24), 12, 13])


def test_families_refuse_other_tasks_and_short_windows() -> None:
    made = make_series(moving_average(120))
    wanted = experiment("seasonal_naive", **{"data.windows.length": 6})
    with pytest.raises(DataError, match="season of 12 steps is longer than the window of 6"):
        get_family("seasonal_naive").fit(wanted, prepare_series(made, wanted.data), print)  # type: ignore[misc]
    quantiles = experiment("naive", **{"model.quantiles": [0.1, 0.9]})
    with pytest.raises(ConfigError, match="conformal"):
        get_family("naive").fit(quantiles, prepare_series(made, quantiles.data), print)  # type: ignore[misc]


def test_missing_targets_are_not_judged_and_not_trained_on() -> None:
    """Weekly CO2 has gaps: their windows are in no part, and no metric becomes NaN."""
    from keras_seq.data.pipeline import make_dataset
    from keras_seq.pipeline.scores import score_model

    wanted = experiment(
        "sarimax", **{"data.split.validation": 52, "data.split.test": 1700, "model.arima.order": [0, 1, 1]}
    )
    found: Prepared = prepare(wanted.data)
    index = found.index["test"]
    missing = int(np.isnan(found.series.targets[-1700:, 0]).sum())
    assert missing > 0 and len(index) == 1700 - missing
    batches = make_dataset(found.series, index, found.spec, wanted.data, batch_size=512, training=False)
    weights = np.concatenate([weight.numpy() for _, _, weight in batches])
    assert np.isfinite(found.series.targets[index.target, 0]).all() and (weights == 1).all()
    model = get_family("sarimax").fit(wanted, found, print)  # type: ignore[misc]
    metrics = score_model(wanted, found, model).metrics["test"]
    assert np.isfinite(metrics["rmse"])
    assert metrics["rmse"] < 1.0  # ppm: a step is about 0.5


def test_the_fitted_model_reads_covariates_without_harm() -> None:
    wanted = experiment("sarimax", **{"data.covariates.lags": [1]})
    made = add_covariates(make_series(moving_average(150)), wanted.data.covariates)
    found = prepare_series(made, wanted.data)
    assert found.spec.features == ("y", "y_lag1")
    model = get_family("sarimax").fit(wanted, found, print)  # type: ignore[misc]
    rows = found.series.values[None, -36:]
    scaled = (rows[0, :, 0].astype(float) - found.spec.target_mean[0]) / found.spec.target_std[0]
    fit = fit_arima(
        (found.series.targets[:110, 0].astype(float) - found.spec.target_mean[0]) / found.spec.target_std[0],
        ArimaConfig(),
    )
    expected = (
        scaled @ filter_weights(fit, 36, 1).ahead[-1, :, 0] * found.spec.target_std[0] + found.spec.target_mean[0]
    )
    assert float(np.asarray(model({"values": rows})).ravel()[0]) == pytest.approx(expected, rel=1e-3)
