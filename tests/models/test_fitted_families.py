"""Families that are fitted: every task they serve, their settings, and clear refusals."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from keras_seq import config
from keras_seq.baselines import boosting
from keras_seq.data.plans.channels import with_plans
from keras_seq.data.prepare import prepare_series
from keras_seq.data.series import Column, Schema, build_series
from keras_seq.errors import ConfigError, DataError, ModelError
from keras_seq.models.registry import get_family
from keras_seq.models.views import output_name
from keras_seq.training.predictions import points, predict_windows
from tests.factories.fitted import CASES, FAMILIES, SHAPES, cases_of, experiment, fitted
from tests.factories.tiers import tiers

EVERY = [(family, case) for family in FAMILIES for case in cases_of(family)]
EACH = [*zip(FAMILIES[:-1], itertools.cycle(CASES)), ("minirocket", "sliding")]  # every family and every task


@pytest.mark.parametrize(("family", "case"), tiers(EVERY, slow=EACH))
def test_every_task_beats_a_constant(family: str, case: str) -> None:
    model, found, prepared = fitted(case, family)
    index = prepared.index["test"]
    answer = predict_windows(model, prepared.series, index, prepared.spec, found.data)
    judged = points(prepared.series, index, prepared.spec, answer)
    task = prepared.spec.task
    assert output_name(model) == {"binary": "probability", "multiclass": "probabilities"}.get(task, "prediction")
    assert model.output_shape[1:] == SHAPES[case] and np.isfinite(answer).all()
    assert {tensor.name for tensor in model.inputs} >= {"values"}
    if task in ("binary", "multiclass"):
        chosen = judged.prediction > 0.5 if task == "binary" else judged.prediction.argmax(1)
        assert (chosen == judged.truth).mean() > (0.8 if task == "binary" else 0.6)
    else:
        error = np.sqrt(np.mean((judged.prediction - judged.truth) ** 2))
        assert error < (1.2 if family == "last_row_forest" else 0.7) * judged.truth.std()


def test_the_seed_decides_all() -> None:
    one, two = (fitted("binary", "hist_gradient_boosting")[0] for _ in range(2))
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_settings_reach_the_library() -> None:
    model, _, _ = fitted("per_step", "random_forest", trees={"iterations": 7, "depth": 2, "columns": 0.5})
    layer = model.get_layer("trees")
    assert layer.trees == 7 and layer.depths == [2]
    model, _, _ = fitted("per_step", "hist_gradient_boosting", trees={"iterations": 4, "leaves": 3, "min_leaf": 5})
    assert model.get_layer("trees").nodes == 4 * 5
    assert model.get_layer("history").config.baseline == 20  # the family's own history channels
    model, _, _ = fitted("per_step", "hist_gradient_boosting", history={"elapsed": 10.0})
    assert model.get_layer("history").config.baseline == 0


def test_length_and_features_can_be_chosen() -> None:
    model, _, _ = fitted("binary", "ridge", length_feature=False, penalty=1.0)
    with_length, _, _ = fitted("binary", "ridge", penalty=1.0)
    columns = [m.get_layer("linear").kernel.shape[0] for m in (model, with_length)]
    assert columns[1] == columns[0] + 1
    model, _, _ = fitted("binary", "ridge", features="last", penalty=1.0)
    assert model.get_layer("linear").kernel.shape[0] == 3


def test_a_harder_penalty_shrinks_the_weights() -> None:
    sizes = [np.abs(fitted("sliding", "ridge", penalty=p)[0].get_layer("linear").kernel).sum() for p in (0.1, 1e6)]
    assert sizes[1] < 0.1 * sizes[0]


def test_lag_ridge_continues_a_season() -> None:
    model, found, prepared = fitted("forecast", "ridge")
    index = prepared.index["test"]
    answer = predict_windows(model, prepared.series, index, prepared.spec, found.data)
    truth = prepared.series.targets[index.target[:, None] + np.arange(6)]
    naive = prepared.series.values[index.target - 1][:, None, :2]
    assert np.mean((answer - truth) ** 2) < 0.1 * np.mean((naive - truth) ** 2)


def refused(case: str, *, targets: float | None = None, data: dict[str, Any] | None = None, **model: Any) -> str:
    """The message of the refusal; ``targets``: every training target becomes this."""
    settings, series = CASES[case]
    found = experiment({**settings, **(data or {})}, model)
    prepared = prepare_series(series, found.data)
    if targets is not None:
        prepared = replace(prepared, series=replace(series, targets=np.full_like(series.targets, targets)))
    with pytest.raises((ConfigError, DataError)) as caught:
        get_family(found.model.family).fit(found, prepared, lambda text: None)  # type: ignore[misc]
    return str(caught.value)


def test_refusals_name_what_is_wrong() -> None:
    assert "model.features" in refused("per_step", features="window")
    assert "model.quantiles" in refused("per_step", quantiles=(0.1, 0.5))
    message = refused("per_step", targets=5.0)
    assert "Target 'y'" in message and "(5)" in message
    message = refused("binary", targets=0.0)
    assert "class 'a'" in message and "stratified" in message
    wide = {"windows": {"mode": "sliding", "length": 24, "horizon": 40}}
    assert "80 outputs" in refused("forecast", data=wide)
    few = {"windows": {"mode": "last", "length": 24}, "split": {"validation": 8, "test": 8}}
    assert "4 rows" in refused("sliding", data=few)


def test_without_lightgbm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    assert "keras-seq[trees]" in refused("binary", family="lightgbm")


def test_a_graph_that_answers_differently_is_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = boosting.histogram_layer

    def wrong(*args: Any) -> Any:
        layer, weights = plain(*args)
        weights[3] = weights[3] + 0.01
        return layer, weights

    monkeypatch.setattr(boosting, "histogram_layer", wrong)
    with pytest.raises(ModelError, match="differs from the fitted model"):
        fitted("per_step", "hist_gradient_boosting")


def test_lag_ridge_reads_a_plan() -> None:
    """Steps ahead follow a column that is known ahead; without it nobody could know them. Old layers have no plan."""
    rng = np.random.default_rng(0)
    plan = (rng.random(400) < 0.4).astype(np.float32)
    values = np.stack([10 + 4 * plan + rng.normal(0, 0.1, 400), plan], axis=1).astype(np.float32)
    schema = Schema(name="s", task="forecast", columns=(Column(name="y"), Column(name="plan")), targets=("y",))
    windows = {"mode": "sliding", "length": 8, "horizon": 3}
    errors = {}
    for told in ([], None):
        settings = {
            "data": {"known_ahead": ["plan"], "covariates": {"plan_leads": told}, "windows": windows},
            "model": {"family": "ridge"},
        }
        found = config.from_dict(config.override(settings, {"data.split.by": "time"}))
        series = with_plans(build_series(schema, [values], [values[:, :1].copy()]), found.data)
        prepared = prepare_series(series, found.data)
        model = get_family("ridge").fit(found, prepared, lambda text: None)  # type: ignore[misc]
        index = prepared.index["test"]
        answer = predict_windows(model, prepared.series, index, prepared.spec, found.data)
        truth = prepared.series.targets[index.target[:, None] + np.arange(3)]
        errors[told is None] = float(np.sqrt(np.mean((answer - truth) ** 2)))
        assert model.get_layer("linear").lags == (8 if told is None else None)
    assert errors[True] < 0.8 and errors[False] > 1.5  # the mean of eight lags moves by 0.7
