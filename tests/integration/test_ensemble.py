"""Bundles of different families into one bundle: graph equals rule, judged honestly, evaluated, predicted, served."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from keras_seq import config, files
from keras_seq.bundle import load_bundle, save_bundle
from keras_seq.commands import ensemble
from keras_seq.data.prepare import prepare
from keras_seq.errors import ConfigError, ModelError
from keras_seq.evaluation.scores import score
from keras_seq.models.build import build_model
from keras_seq.models.views import last_step, plain_twin
from keras_seq.pipeline import ensemble as pipeline_ensemble
from keras_seq.pipeline.evaluate import evaluate
from keras_seq.training.predictions import points, predict_windows
from tests.factories.tiers import tiers

# calibration and intervals have tests of their own
QUICK = {"tracking.backend": "none", "evaluation.calibration": "none", "evaluation.conformal": "none"}


def member(folder, sections, *, seed=0):
    """A bundle of an untrained model (random weights tell members apart as well as trained ones)."""
    import keras

    experiment = config.from_dict({"name": folder.name, "seed": seed, "output": str(folder.parent), **sections})
    prepared = prepare(experiment.data)
    keras.utils.set_random_seed(seed)
    model = build_model(experiment.model, prepared.spec)
    for weight in model.trainable_weights:  # biases too
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.3, seed=seed))
    save_bundle(
        folder / "bundle",
        model=model,
        experiment=experiment,
        schema=prepared.series.schema,
        spec=prepared.spec,
        decision={},
        metrics={},
        data={"fingerprint": prepared.series.fingerprint(), "split": prepared.splits.fingerprint},
    )
    return folder


CASTER = {
    "source": "caster",
    "caster": {"sequences": 330, "heats": 110, "min_length": 100, "max_length": 120, "p_low": 0.5},
    "split": {"by": "group", "validation": 0.3, "test": 0.2},
    "windows": {"length": 120},
    "bucket": 120,
}
WEEKLY = {
    "source": "co2",
    "split": {"by": "time", "validation": 60, "test": 60},
    "windows": {"mode": "sliding", "length": 30, "horizon": 2, "stride": 5},
    "impute": "forward",
}
LSTM = {"family": "lstm", "units": 4, "layers": 1, "hidden_dims": []}
TCN = {"family": "tcn", "filters": 4, "layers": 2, "hidden_dims": [], "pooling": "mean"}


@pytest.fixture(scope="module")
def defects(tmp_path_factory):
    """Three binary members with scalings and histories of their own."""
    folder = tmp_path_factory.mktemp("defects")
    plain = member(folder / "a", {"data": CASTER, "model": LSTM})
    other = member(
        folder / "b", {"data": {**CASTER, "scale": "robust"}, "model": TCN | {"history": {"ewm": [0.8]}}}, seed=1
    )
    third = member(folder / "c", {"data": CASTER, "model": LSTM | {"normalisation": "layer"}}, seed=2)
    return [plain, other, third]


def combined(paths, folder, method, **options):
    places = QUICK | {"export.saved_model": False}
    return pipeline_ensemble.ensemble(paths, method=method, output=folder, overrides=places, quiet=True, **options)


RULES = tiers(
    ["mean", "weighted", "median", "hard", "soft", "blending"], quick=["mean"], slow=["weighted", "hard", "blending"]
)


@pytest.mark.parametrize("method", RULES)
def test_the_graph_answers_as_the_rule_says(defects, tmp_path, method):
    from keras_seq.ensembles.rules import Rule

    run = combined(defects, tmp_path / "both", method)
    bundle = load_bundle(run.folder)
    about = bundle.data["ensemble"]
    rule = Rule(**{name: tuple(map(_tuple, v)) if isinstance(v, list) else v for name, v in about["rule"].items()})
    prepared = prepare(bundle.experiment.data)
    answers = [
        predict_windows(model, prepared.series, prepared.index["test"], bundle.spec, bundle.experiment.data)
        for model in (bundle.model, *(load_bundle(path).model for path in defects))
    ]
    np.testing.assert_allclose(answers[0], rule.apply(np.stack(answers[1:])), atol=2e-6)
    assert [group["name"].split("/")[-1] for group in about["groups"]] == ["a", "b", "c"]
    digests = [files.sha256(path / "bundle" / "model.keras") for path in defects]
    assert [group["members"][0]["sha256"] for group in about["groups"]] == digests


def _tuple(value):
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.nightly
def test_an_ensemble_is_a_bundle_like_any_other(defects, tmp_path):
    import tensorflow as tf

    options = QUICK | {"export.saved_models": str(tmp_path / "served")}
    run = pipeline_ensemble.ensemble(defects, method="mean", output=tmp_path / "both", overrides=options, quiet=True)
    assert evaluate(run.folder)["auc_roc"] == pytest.approx(run.metrics["test"]["auc_roc"], abs=1e-6)
    bundle = load_bundle(run.folder)
    version = run.folder / "export" / "1"  # whether it is served too is the gate's affair
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    values = np.random.default_rng(0).normal(1, 1, (3, 40, len(bundle.spec.features))).astype(np.float32)
    lengths = np.array([40, 25, 30], np.int32)
    values[1, 25:] = 1e6  # padding
    served = signature(values=tf.constant(values), lengths=tf.constant(lengths))
    own = bundle.model({"values": values, "lengths": lengths}, training=False)
    np.testing.assert_allclose(served["probability"], own, atol=1e-5)
    values[1, 25:] = 0
    again = bundle.model({"values": values[:, :40], "lengths": lengths}, training=False)
    np.testing.assert_allclose(own, again, atol=1e-6)
    twin = plain_twin(bundle.model)  # what converters take
    np.testing.assert_allclose(twin({"values": values, "lengths": lengths}), again, atol=1e-5)
    pair = combined([run.folder, defects[0]], tmp_path / "nested", "mean")  # an ensemble may be a member
    assert load_bundle(pair.folder).data["ensemble"]["groups"][0]["members"][0]["family"] == "ensemble"


@pytest.mark.slow
def test_learnt_rules_are_judged_on_units_that_did_not_teach_them(defects, tmp_path):
    """The validation metrics differ from those of the saved rule on the same units, which it has seen."""
    run = combined(defects, tmp_path / "both", "blending")
    with pytest.raises(ConfigError, match="have seen these units"):
        evaluate(run.folder, part="validation")
    bundle = load_bundle(run.folder)
    prepared = prepare(bundle.experiment.data)
    index = prepared.index["validation"]
    answers = predict_windows(bundle.model, prepared.series, index, bundle.spec, bundle.experiment.data)
    found = points(prepared.series, index, bundle.spec, answers)
    seen = score(found, bundle.spec, bundle.experiment, part="validation")
    assert run.metrics["validation"]["log_loss"] > seen["log_loss"]


def test_a_broken_member_is_named_and_the_rest_kept(defects, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(defects[0], broken)
    (broken / "bundle" / "model.keras").write_bytes(b"nothing")
    run = combined([defects[0], broken, defects[1]], tmp_path / "two", "mean")
    about = load_bundle(run.folder).data["ensemble"]
    assert [row["path"] for row in about["failed"]] == [str(broken)]
    assert len(about["groups"]) == 2
    with pytest.raises(ModelError, match=r"at least 2 members that work, 1 is left.*broken"):
        combined([defects[0], broken], tmp_path / "one", "mean")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"split": {**CASTER["split"], "seed": 3}}, r"data\.split"),
        ({"caster": {**CASTER["caster"], "seed": 8}}, "data \\(fingerprint\\)"),
        ({"windows": {"length": 110}}, r"windows \(data\.windows\)"),
        ({"features": ["superheat", "casting_speed"]}, "input features"),
    ],
)
def test_members_of_other_questions_are_refused_by_name(defects, tmp_path, changes, what):
    other = member(tmp_path / "odd", {"data": {**CASTER, **changes}, "model": LSTM})
    with pytest.raises(ConfigError, match=rf"'.*/a' and '.*/odd' cannot be combined, their {what} differ"):
        combined([defects[0], other], tmp_path / "no", "mean")


def test_other_tasks_and_horizons_are_refused(defects, tmp_path):
    near = member(tmp_path / "near", {"data": WEEKLY, "model": LSTM})
    windows = {**WEEKLY["windows"], "horizon": 3}
    far = member(tmp_path / "far", {"data": {**WEEKLY, "windows": windows}, "model": LSTM})
    with pytest.raises(ConfigError, match="their horizon differ: 2 and 3"):
        combined([near, far], tmp_path / "no", "mean")
    with pytest.raises(ConfigError, match="their task differ: binary and forecast"):
        combined([defects[0], near], tmp_path / "no", "mean")
    with pytest.raises(ConfigError, match="hard votes on classes"):
        combined([near, near], tmp_path / "no", "hard")


@pytest.mark.slow
def test_dynamic_weights_in_the_graph_follow_recent_errors(tmp_path):
    from keras_seq.ensembles.dynamic import RecentErrors

    pair = [member(tmp_path / name, {"data": WEEKLY, "model": LSTM}, seed=seed) for seed, name in enumerate("ab")]
    run = combined(pair, tmp_path / "dynamic", "dynamic", memory=3)
    bundle = load_bundle(run.folder)
    models = [load_bundle(path).model for path in pair]
    values = 350 + np.cumsum(np.random.default_rng(0).normal(0, 1, (1, 30, len(bundle.spec.features))), 1)
    values = values.astype(np.float32)
    online = RecentErrors(["a", "b"], memory=3)
    for age in (4, 3, 2):
        truth = values[0, 30 - age : 32 - age, list(bundle.spec.target_index)].T
        scale = np.array(bundle.spec.target_std)
        online.observe(truth / scale, [np.asarray(model({"values": values[:, :-age]}))[0] / scale for model in models])
    now = np.stack([np.asarray(model({"values": values}))[0] for model in models])
    np.testing.assert_allclose(np.asarray(bundle.model({"values": values}))[0], online.combine(now), rtol=1e-4)
    assert abs(online.weights()[0] - 0.5) > 1e-3


# ---------------------------------------------------------------- remaining life: folds, steps, bagging


def engines(home, **changes):
    return {
        "source": "cmapss",
        "subset": "FD001",
        "home": str(home),
        "target_cap": 125,
        "split": {"by": "official", "folds": 3, "fold": changes.pop("fold", 0)},
        "windows": {"mode": "whole", "length": 400, "per_step": True},
        "bucket": 100,
        **changes,
    }


@pytest.mark.slow
def test_folds_are_combined_out_of_fold(data_home, tmp_path):
    """Each unit is answered by the models that held it out: planted constants show which model answered."""
    last = {"evaluation": {"min_steps": 30, "at": "last"}}
    for fold in range(3):
        for name, family in (("one", LSTM), ("two", LSTM | {"units": 3})):
            data = engines(data_home, fold=fold)
            member(tmp_path / name / f"seed-0-fold-{fold}", {"data": data, "model": family, **last}, seed=fold)
    run = combined([], tmp_path / "both", "weighted", crossval=[tmp_path / "one", tmp_path / "two"])
    bundle = load_bundle(run.folder)
    about = bundle.data["ensemble"]
    assert [len(group["members"]) for group in about["groups"]] == [3, 3]
    assert sum(row["weight"] for group in about["groups"] for row in group["members"]) == pytest.approx(1)
    truths, answers = [], []
    for fold in range(3):
        own = load_bundle(tmp_path / "one" / f"seed-0-fold-{fold}")
        prepared = prepare(own.experiment.data)
        index = prepared.index["validation"]
        answers.append(predict_windows(own.model, prepared.series, index, own.spec, own.experiment.data))
        steps = np.concatenate([np.arange(1, n + 1) for n in index.length])
        truth = np.concatenate(
            [prepared.series.targets[a : a + n] for a, n in zip(index.start, index.length, strict=True)]
        )
        answers[-1], truth = answers[-1][steps >= 30], truth[steps >= 30]
        truths.append(np.minimum(truth, 125))
    expected = np.sqrt(np.mean((np.concatenate(answers) - np.concatenate(truths)) ** 2))
    assert about["groups"][0]["metrics"]["validation"]["rmse"] == pytest.approx(expected, rel=1e-5)
    shutil.rmtree(tmp_path / "two" / "seed-0-fold-1")
    with pytest.raises(ConfigError, match="takes bundles, not --crossval"):
        combined([], tmp_path / "no", "blending", crossval=[tmp_path / "one"])
    again = combined([], tmp_path / "left", "mean", crossval=[tmp_path / "one", tmp_path / "two"])
    failed = load_bundle(again.folder).data["ensemble"]["failed"]
    assert failed and "no working model for fold 1 of 3" in failed[0]["reason"]


@pytest.mark.slow
def test_members_that_answer_at_every_step_join_those_that_answer_once(data_home, tmp_path):
    split = {"by": "official", "validation": 20}
    steps = member(tmp_path / "steps", {"data": engines(data_home, split=split), "model": LSTM})
    once = {"mode": "whole", "length": 400}
    last = member(tmp_path / "last", {"data": engines(data_home, split=split, windows=once), "model": LSTM}, seed=1)
    run = combined([steps, last], tmp_path / "both", "mean")
    bundle = load_bundle(run.folder)
    assert not bundle.spec.per_step
    prepared = prepare(bundle.experiment.data)
    models = (bundle.model, last_step(load_bundle(steps).model), load_bundle(last).model)
    answers = [
        predict_windows(m, prepared.series, prepared.index["test"], bundle.spec, bundle.experiment.data) for m in models
    ]
    np.testing.assert_allclose(answers[0], (answers[1] + answers[2]) / 2, rtol=1e-5)


@pytest.mark.nightly
@pytest.mark.parametrize("method", ["bagging", "snapshot"])
def test_members_trained_for_an_ensemble(tmp_path, method):
    path = tmp_path / "small.yaml"
    training = {"epochs": 4, "batch_size": 16}
    tree = {"name": "small", "data": CASTER, "model": LSTM, "training": training, "tracking": {"backend": "none"}}
    files.write_text(path, config.to_yaml(config.from_dict(tree)))
    words = ["--method", method, "--config", str(path), "--count", "2", "--output", str(tmp_path / "e")]
    assert ensemble.main([*words, "--export.saved_model", "false"]) == 0
    members = [load_bundle(tmp_path / "e" / "members" / "small" / f"seed-{seed}") for seed in (0, 1)]
    about = load_bundle(tmp_path / "e").data["ensemble"]
    assert [group["members"][0]["seed"] for group in about["groups"]] == [0, 1]
    if method == "bagging":
        assert [one.experiment.data.split.bootstrap for one in members] == [0, 1]
        assert members[0].data["split"] != members[1].data["split"]
    else:
        assert members[1].experiment.training.warm_start == str(tmp_path / "e/members/small/seed-0/bundle")
        assert [one.experiment.training.epochs for one in members] == [2, 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "b", "--method", "weigthed"], "no method .weigthed.; did you mean .weighted."),
        (["--method", "mean"], "Give either members"),
        (["a", "b", "--method", "stacking"], "give --crossval FOLDER"),
        (["--method", "bagging"], "give --config FILE"),
        (["a", "b", "--count", "1"], "--count at least 2"),
    ],
)
def test_mistakes_at_the_command_line_are_named(tmp_path, words, message):
    with pytest.raises(ConfigError, match=message):
        ensemble.main([*words, "--output", str(tmp_path / "e")])


def test_members_cannot_be_changed(defects, tmp_path):
    with pytest.raises(ConfigError, match=r"'--model\.units' cannot change trained members"):
        ensemble.main([*map(str, defects), "--output", str(tmp_path / "e"), "--model.units", "8"])
