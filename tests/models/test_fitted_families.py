"""Families that are fitted: every task they serve, the common contract, and clear refusals."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from keras_seq import config
from keras_seq.baselines import boosting
from keras_seq.data.prepare import Prepared, prepare_series
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.errors import ConfigError, DataError, ModelError
from keras_seq.models.registry import get_family, resolve_experiment
from keras_seq.models.views import last_step, output_name
from keras_seq.training.predictions import points, predict_windows
from tests.factories.tiers import tiers

TREES = ("random_forest", "extra_trees", "last_row_forest", "hist_gradient_boosting")
FAMILIES = (*TREES, "lightgbm", "ridge")
SMALL = {"iterations": 15, "learning_rate": 0.2}


def walks(lengths: list[int], task: str, *, per: str = "step", seed: int = 0, gaps: bool = False) -> Series:
    """Three channels; the target follows from level, change and age."""
    rng = np.random.default_rng(seed)
    kinds = 3 if task == "multiclass" else 2
    label = np.arange(len(lengths)) % kinds
    shift = 3 if per == "unit" else 1
    units = [np.cumsum(rng.normal(size=(n, 3)), 0) * 0.1 + 50 + shift * label[k] for k, n in enumerate(lengths)]
    targets: Any = [20 * u[:, :1] + 60 * (u[:, 1:2] - np.roll(u[:, 1:2], 3, 0)) for u in units]
    if lengths[0] < lengths[-1]:
        targets = [20 * u[:, :1] + np.arange(len(u))[:, None] for u in units]
    if per == "unit":
        targets = label[:, None].astype(float)
    elif task == "forecast":
        units = [u + 5 * np.sin(2 * np.pi * np.arange(len(u)) / 12)[:, None] for u in units]
        targets = [u[:, :2].copy() for u in units]
    elif task != "regression":
        targets = [np.digitize(u[:, :1], np.quantile(u[:, 0], [0.33, 0.67][: kinds - 1])) for u in units]
    if gaps:
        for unit in units:
            unit[rng.random(unit.shape) < 0.1] = np.nan
    schema = Schema(
        name="walks",
        task=task,  # type: ignore[arg-type]
        columns=tuple(Column(name=name, missing=True) for name in ("x0", "x1", "x2")),
        targets=("x0", "x1") if task == "forecast" else ("y",),
        target_per=per,  # type: ignore[arg-type]
        classes=("a", "b", "c")[:kinds] if task in ("binary", "multiclass") else (),
    )
    return build_series(schema, units, targets)


def experiment(data: dict[str, Any] | None = None, model: dict[str, Any] | None = None) -> config.Experiment:
    sections = {"source": "table", "bucket": 10, "split": {"validation": 4, "test": 4}, **(data or {})}
    settings = {"family": "hist_gradient_boosting", "trees": SMALL, **(model or {})}
    return resolve_experiment(config.from_dict({"data": sections, "model": settings}))


WHOLE = {"windows": {"length": 60}, "split": {"by": "stratified"}}
CASES: dict[str, tuple[dict[str, Any], Series]] = {
    "per_step": ({"windows": {"length": 70, "per_step": True}}, walks([40 + k for k in range(24)], "regression")),
    "sliding": (
        {"windows": {"mode": "sliding", "length": 12}, "impute": "forward"},
        walks([40] * 20, "regression", gaps=True),
    ),
    "binary": (WHOLE, walks([20 + k % 30 for k in range(60)], "binary", per="unit")),
    "multiclass": (WHOLE, walks([20 + k % 30 for k in range(90)], "multiclass", per="unit")),
    "forecast": (
        {"windows": {"mode": "sliding", "length": 24, "horizon": 6}, "split": {"by": "time"}},
        walks([500], "forecast"),
    ),
}
SHAPES = {"per_step": (None, 1), "sliding": (1,), "binary": (1,), "multiclass": (3,), "forecast": (6, 2)}


def fitted(case: str, family: str, **model: Any) -> tuple[keras.Model, config.Experiment, Prepared]:
    if family == "lightgbm":
        pytest.importorskip("lightgbm", reason="the optional extra 'trees' is not installed")
    data, series = CASES[case]
    found = experiment(data, {"family": family, **model})
    prepared = prepare_series(series, found.data)
    said: list[str] = []
    built = get_family(family).fit(found, prepared, said.append)  # type: ignore[misc]
    assert len(said) == 2
    return built, found, prepared


EVERY = [(family, case) for family in FAMILIES for case in CASES]
EACH = list(zip(FAMILIES, itertools.cycle(CASES)))  # every family and every task


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


def test_nothing_depends_on_padding_batch_or_saving(tmp_path: Any) -> None:
    for case, family in (("per_step", "hist_gradient_boosting"), ("multiclass", "extra_trees"), ("binary", "ridge")):
        model, _, prepared = fitted(case, family)
        unit = prepared.series.unit_values(3)
        lengths = np.array([len(unit), 7], np.int32)
        values = np.full((2, len(unit) + 13, 3), np.nan, np.float32)
        values[0, : len(unit)], values[1, :7] = unit, unit[:7]
        answers = np.asarray(model({"values": values, "lengths": lengths}))
        values[1, 7:] = -1e6
        moved = np.asarray(model({"values": values, "lengths": lengths}))
        alone = np.asarray(model({"values": unit[None, :7], "lengths": lengths[1:]}))
        steps = slice(7) if case == "per_step" else slice(None)
        np.testing.assert_allclose(moved[1][steps], answers[1][steps], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(alone[0][steps], answers[1][steps], rtol=1e-5, atol=1e-5)
        model.save(tmp_path / f"{family}.keras")
        again = keras.models.load_model(tmp_path / f"{family}.keras")
        np.testing.assert_array_equal(again({"values": values, "lengths": lengths}), moved)


def test_an_answer_at_a_step_does_not_know_what_follows() -> None:
    model, _, prepared = fitted("per_step", "random_forest")
    unit = prepared.series.unit_values(0)[None].copy()
    lengths = np.array([unit.shape[1]], np.int32)
    before = np.asarray(model({"values": unit, "lengths": lengths}))
    unit[:, 20:] += 5.0
    after = np.asarray(model({"values": unit, "lengths": lengths}))
    np.testing.assert_array_equal(before[:, :20], after[:, :20])
    assert (before[:, 20:] != after[:, 20:]).any()
    np.testing.assert_array_equal(last_step(model)({"values": unit, "lengths": lengths}), after[:, -1])


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
