"""Explanations of every family and task, of trees, of a whole bundle from the command line, and of true events."""

from __future__ import annotations

import csv
import itertools
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from keras_seq import cli, config
from keras_seq.errors import ConfigError
from keras_seq.explain import background, layout, localise, samples
from keras_seq.explain.explained_model import ExplainedModel
from keras_seq.explain.masked_model import MaskedModel
from keras_seq.explain.methods import deep, gradients, occlusion, shap_values
from keras_seq.explain.output_target import make_target
from keras_seq.models import build_model
from tests.contract.conftest import TASKS, make_config, make_spec, raw_values, shake
from tests.factories.bundles import CASTER, CO2, experiment, make_bundle
from tests.factories.families import sequence_families
from tests.factories.tiers import tiers

pytestmark = pytest.mark.slow
LENGTHS = np.array([12, 5], np.int32)
PROMISED = 0.005  # of the range of answers


def make_masked(family: str, task: str, values: np.ndarray | None = None, lengths: Any = LENGTHS) -> MaskedModel:
    spec = make_spec(task)
    keras.utils.set_random_seed(0)
    try:
        model = shake(build_model(make_config(family, task, layers=1), spec))
    except ConfigError as refusal:
        pytest.skip(str(refusal))
    if values is None:
        values = raw_values(len(lengths))
        values[0, 3:5, 1] = np.nan
        values[1, 0, 0] = np.nan
    levels = (0.1, 0.5, 0.9) if "quantiles" in task else ()
    other = background.from_windows(raw_values(5, seed=5), [12, 9, 12, 4, 12], spec, count=4)
    explained = ExplainedModel(model, spec, make_target(spec, quantiles=levels), jit=False)
    return MaskedModel(explained, samples.from_arrays(values, spec, lengths), other)


BY_NIGHT = ("tcn", "resnet", "inception_time")  # tcn has every task on every commit
ADDED_UP = [(family, task) for family in sequence_families() for task in TASKS]
EACH = [("tcn", task) for task in TASKS] + [
    (family, "binary") for family in sequence_families() if family not in BY_NIGHT
]


@pytest.mark.parametrize(("family", "task"), tiers(ADDED_UP, slow=EACH))
def test_integrated_gradients_of_every_family_add_up(family: str, task: str) -> None:
    masked = make_masked(family, task)
    found = gradients.integrated_gradients(masked)
    assert found.additivity_error().max() <= PROMISED
    assert np.isfinite(found.values).all() and (np.abs(found.values).sum((1, 2)) > 0).all()
    assert (found.values[1, 5:] == 0).all() and (found.values[0, 3:5, 1] == 0).all()


@pytest.mark.parametrize("family", tiers(sequence_families(), slow=["bilstm", "tcn", "transformer"]))
def test_padding_never_counts(family: str) -> None:
    values = raw_values(2)
    one = gradients.integrated_gradients(make_masked(family, "regression", values, [7, 5]), nodes=4)
    values[:, 7:], values[1, 5:] = 1e6, np.nan
    other = gradients.integrated_gradients(make_masked(family, "regression", values, [7, 5]), nodes=4)
    alone = gradients.integrated_gradients(make_masked(family, "regression", values[:, :7], [7, 5]), nodes=4)
    scale = max(one.output_range, 1.0)
    np.testing.assert_allclose(one.values / scale, other.values / scale, atol=1e-5)
    np.testing.assert_allclose(one.values[:, :7] / scale, alone.values / scale, atol=1e-5)


def test_compressing_first_leaves_tensorflow_with_keras_3() -> None:
    """TF-MOT asks for Keras 2 through the environment; shap and child processes must not follow it."""
    code = (
        "import os, keras_seq.compress.tfmot, keras, tensorflow as tf\n"
        "assert isinstance(keras.Sequential(), tf.keras.Model), tf.keras.Model\n"
        "assert 'TF_USE_LEGACY_KERAS' not in os.environ\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("family", tiers(["lstm", "tcn", "transformer"], slow=["tcn"]))
def test_shapley_values_of_groups_add_up(family: str) -> None:
    masked = make_masked(family, "binary")
    exact = gradients.integrated_gradients(masked)
    for method in (shap_values.kernel, shap_values.permutation, shap_values.partition):
        found = method(masked, blocks=3, evaluations=60)
        assert found.additivity_error().max() <= PROMISED, found.method
        np.testing.assert_allclose(found.base, exact.base, atol=1e-6)
    drawn = shap_values.gradient_shap(masked, draws=400)
    assert drawn.additivity_error().max() < 0.2
    np.testing.assert_allclose(drawn.by_feature(), exact.by_feature(), atol=0.2 * exact.output_range)


FITTED = list(itertools.product(
    ("extra_trees", "hist_gradient_boosting", "ridge"), ("per_step", "sliding", "binary", "multiclass", "forecast")
))  # fmt: skip
FITTED_SLOW = [("extra_trees", "per_step"), ("hist_gradient_boosting", "multiclass"), ("ridge", "forecast")]
FITTED_SLOW += [("hist_gradient_boosting", "binary"), ("extra_trees", "sliding")]


@pytest.mark.parametrize(("family", "case"), tiers(FITTED, slow=FITTED_SLOW))
def test_fitted_families_add_up(family: str, case: str) -> None:
    from tests.factories.fitted import fitted

    model, _, prepared = fitted(case, family)
    explained = ExplainedModel(model, prepared.spec, make_target(prepared.spec))
    masked = MaskedModel(explained, samples.choose(prepared, "test", 2), background.make_background(prepared, 6))
    if family == "ridge":
        found = shap_values.partition(masked, evaluations=60)
    else:
        found = shap_values.tree(masked, model=model)
        assert found.details["margin"] == (case == "multiclass" and family == "hist_gradient_boosting")
        if not found.details["margin"]:
            np.testing.assert_allclose(found.base, masked.base, atol=0.005 * masked.output_range)
    assert found.additivity_error().max() <= PROMISED


def test_deep_explainer_is_never_called_and_gradients_go_on_working() -> None:
    from keras_seq.errors import ModelError

    masked = make_masked("lstm", "regression")
    with pytest.raises(ModelError, match="DeepExplainer"):
        deep.deep(masked)
    assert gradients.integrated_gradients(masked).additivity_error().max() <= PROMISED


@pytest.mark.parametrize(("tree", "methods"), [(CASTER, "auto,kernel"), (CO2, "auto")])
def test_a_bundle_is_explained_from_the_command_line(tree: dict, methods: str, tmp_path: Any, capsys: Any) -> None:
    run = make_bundle(experiment(tree, tmp_path, **{"tracking.backend": "mlflow"}))
    words = [str(run), "--samples", "3", "--backgrounds", "4", "--methods", methods, "--evaluations", "40"]
    words += ["--local", "1", "--thorough"]
    from keras_seq.commands.explain import main

    assert cli.run(main, words) == 0
    said = capsys.readouterr().out
    found = layout.read(run)
    assert f"1. {found.findings[0]['title']}" in said and len(found.findings) == 5
    assert found.methods[0] == "integrated_gradients"
    for name in found.methods:
        one = found.attribution(name)
        assert not one.additive or one.additivity_error().max() <= PROMISED
    wanted = {"sensors", "steps", "heatmap", "dependence", "faithfulness", "agreement"}
    assert wanted <= set(found.plots) and any(name.startswith("waterfall_") for name in found.plots)
    rows = found.table("attributions")
    assert {"sample", "feature", "time", "value", "method", "rank"} <= set(rows[0])
    with (found.folder / "samples.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    assert set(found.summary["sanity"]) == {"other_backgrounds", "shuffled_weights"}
    record = next((tmp_path / "mlflow").rglob("explanations/summary.json"), None)
    assert record is not None, "the folder is not on record"


def test_refusals_come_before_long_work(tmp_path: Any, capsys: Any) -> None:
    from keras_seq.commands.explain import main

    run = str(make_bundle(experiment(CASTER, tmp_path)))
    for words, match in [
        (["--backgrounds", "9999"], "too few for --backgrounds 9999"),
        (["--methods", "attention"], "has no attention"),
        (["--methods", "tree"], "one tree ensemble"),
        (["--class", "bad"], "there is no class 'bad'"),
        (["--units", "cast99999"], "has no unit 'cast99999'"),
        (["--samples", "0"], "at least 1 sample"),
        (["--baseline", "zero"], "windows or mean"),
    ]:
        assert cli.run(main, [run, *words]) == 2
        assert match in capsys.readouterr().err


def test_true_events_are_found_by_a_perfect_attribution_only() -> None:
    from keras_seq.data.prepare import prepare
    from keras_seq.explain.attribution import Attribution

    prepared = prepare(config.from_dict(CASTER).data)
    series = prepared.series
    events = localise.caster_events(config.from_dict(CASTER).data.caster, series)
    visible = np.flatnonzero(series.truth["event_start"] >= 0)[:4]
    time, features = int(series.lengths[visible].max()), len(series.schema.features)
    flat = np.ones((len(visible), time, features), np.float32)
    aimed = np.zeros_like(flat)
    for row, unit in zip(aimed, visible, strict=True):
        own = np.flatnonzero((events.unit == unit) & (events.kind == 0))[0]
        row[events.surge[own], 0] = 1.0
        row[events.rise[own], [5, 6, 7]] = 1.0
    given = {"base": 0.0, "predictions": 1.0, "lengths": series.lengths[visible], "units": ("",) * features}
    rest = {"features": series.schema.features, "method": "m", "output": "y", "additive": False}
    even = localise.localise(Attribution(flat, **given, **rest), visible, events)
    assert even.ratio == pytest.approx(1.0)
    assert (even.expected < 0.2).all()
    assert localise.localise(Attribution(aimed, **given, **rest), visible, events).ratio > 3


def test_occlusion_of_a_forecast_is_in_its_own_units() -> None:
    found = occlusion.occlusion(make_masked("gru", "forecast"), blocks=2)
    assert not found.additive and np.isfinite(found.values).all() and found.output.startswith("level, mean of 4 steps")
