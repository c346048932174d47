"""Rules on arrays and in the graph, weights against a solver, meta learners against scikit-learn, honest judging."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq.data.splits import split
from keras_seq.ensembles.dynamic import RecentErrors
from keras_seq.ensembles.enough import behind_a_member, no_better, too_few
from keras_seq.ensembles.learn import fit_meta, learn_rule, nested, optimal_weights
from keras_seq.ensembles.rules import Rule, activate, equal_weights, table
from keras_seq.errors import ConfigError, DataError
from tests.factories.series import data_config, make_series


def noisy(rng, truth, deviations):
    """Members that err independently, ``(members, points, 1)``."""
    return np.stack([truth + rng.normal(0, deviation, truth.shape) for deviation in deviations])


# ---------------------------------------------------------------- weights


def test_weights_of_independent_errors_are_the_inverse_variances():
    rng = np.random.default_rng(0)
    truth = rng.normal(50, 20, (200_000, 1))
    weights = optimal_weights("regression", noisy(rng, truth, (1.0, 2.0, 4.0)), truth)
    expected = np.array([1, 1 / 4, 1 / 16]) / (1 + 1 / 4 + 1 / 16)
    np.testing.assert_allclose(weights, expected, atol=0.01)


@given(st.integers(2, 5), st.integers(0, 1000))
def test_weights_are_the_minimum_on_the_simplex(members, seed):
    from scipy.optimize import nnls

    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 1, (80, 1))
    predictions = 0.5 * truth + rng.normal(0, 1, (members, 80, 1))
    weights = optimal_weights("regression", predictions, truth)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    # the sum to 1 as one heavy equation more: an independent solver
    heavy = 1e4
    system = np.vstack([predictions[..., 0].T, np.full(members, heavy)])
    oracle, _ = nnls(system, np.append(truth[:, 0], heavy))
    error = [np.mean((np.tensordot(w, predictions, 1) - truth) ** 2) for w in (weights, oracle / oracle.sum())]
    assert error[0] <= error[1] * (1 + 1e-4)


def test_a_useless_member_of_a_class_ensemble_gets_no_weight():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 2000)
    good = np.clip(0.5 + 0.35 * (2 * truth - 1) + rng.normal(0, 0.1, 2000), 0.01, 0.99)
    inverted = 1 - good
    weights = optimal_weights("binary", np.stack([good, inverted])[..., None], truth)
    np.testing.assert_allclose(weights, [1, 0], atol=1e-6)


def test_log_loss_weights_of_several_classes_beat_every_grid_point():
    from keras_seq.training.class_metrics import log_loss

    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 300)
    predictions = np.stack([activate("multiclass", rng.normal(0, 1, (300, 3)) + 2 * np.eye(3)[truth]) for _ in "ab"])
    weights = optimal_weights("multiclass", predictions, truth)
    grid = [log_loss(truth, w * predictions[0] + (1 - w) * predictions[1]) for w in np.linspace(0, 1, 101)]
    assert log_loss(truth, np.tensordot(weights, predictions, 1)) <= min(grid) + 1e-9


# ---------------------------------------------------------------- rules


def test_votes_and_medians():
    probability = np.array([[[0.2]], [[0.6]], [[0.9]]])
    assert Rule("vote", "binary", thresholds=(0.5, 0.7, 0.5)).apply(probability)[0, 0] == pytest.approx(1 / 3)
    classes = np.array([[[0.5, 0.4, 0.1]], [[0.1, 0.8, 0.1]], [[0.4, 0.4, 0.2]]])  # the last one is undecided
    np.testing.assert_allclose(Rule("vote", "multiclass").apply(classes), [[0.5, 0.5, 0.0]])
    np.testing.assert_allclose(Rule("median", "multiclass").apply(classes), [[0.4, 0.4, 0.1]] / np.float64(0.9))
    np.testing.assert_allclose(Rule("median", "regression").apply(np.array([[[1.0]], [[9.0]], [[2.0]]])), [[2.0]])
    np.testing.assert_allclose(equal_weights("regression", 2).apply(np.array([[[1.0]], [[9.0]]])), [[5.0]])


@pytest.mark.parametrize("method", ["hard", "soft"])
def test_values_cannot_be_voted_on(method):
    with pytest.raises(ConfigError, match=f"{method} votes on classes.*'regression'"):
        learn_rule(method, "regression", np.zeros((2, 5, 1)), np.zeros((5, 1)), np.arange(5))


# ---------------------------------------------------------------- meta learners


def test_a_ridge_undoes_a_bias_and_a_scale():
    rng = np.random.default_rng(3)
    truth = rng.normal(50, 20, (3000, 1))
    predictions = np.stack([2 * truth + 7 + rng.normal(0, 1, truth.shape), rng.normal(0, 1, truth.shape)])
    kernel, bias = fit_meta("regression", predictions, truth, np.arange(3000) % 5)
    np.testing.assert_allclose(kernel[:, 0], [0.5, 0.0], atol=0.02)
    answer = Rule("linear", "regression", kernel=tuple(map(tuple, kernel)), bias=tuple(bias)).apply(predictions)
    assert np.sqrt(np.mean((answer - truth) ** 2)) < 0.6


@pytest.mark.parametrize("classes", [2, 3])
def test_a_logistic_learner_answers_like_scikit_learn(classes):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(4)
    truth = rng.integers(0, classes, 500)
    task = "binary" if classes == 2 else "multiclass"
    score = rng.normal(0, 1, (2, 500, classes)) + np.eye(classes)[truth]
    predictions = activate("multiclass", score)
    if classes == 2:
        predictions = predictions[..., 1:]
    kernel, bias = fit_meta(task, predictions, truth, np.arange(500) % 5)
    rule = Rule("linear", task, kernel=tuple(map(tuple, kernel)), bias=tuple(bias))
    oracle = LogisticRegression(max_iter=1000).fit(table(predictions, rule.link), truth)
    expected = oracle.predict_proba(table(predictions, rule.link))
    np.testing.assert_allclose(rule.apply(predictions), expected[:, 1:] if classes == 2 else expected, atol=1e-6)


def test_a_class_that_never_occurred_is_never_called():
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 200)
    predictions = activate("multiclass", rng.normal(0, 1, (2, 200, 3)) + np.eye(3)[truth])
    kernel, bias = fit_meta("multiclass", predictions, truth, np.arange(200) % 5)
    answer = Rule("linear", "multiclass", kernel=tuple(map(tuple, kernel)), bias=tuple(bias)).apply(predictions)
    assert answer[:, 2].max() < 1e-6
    assert np.mean(answer.argmax(1) == truth) > 0.8


@pytest.mark.parametrize(
    ("task", "meta", "message"),
    [
        ("regression", "rigde", "no linear learner 'rigde'; did you mean 'ridge'"),
        ("regression", "logistic", "logistic does not fit task 'regression'; use ridge"),
        ("binary", "Lasso", "Lasso does not fit task 'binary'; use logistic"),
    ],
)
def test_a_wrong_meta_learner_is_named(task, meta, message):
    truth = np.arange(20) % 2 if task == "binary" else np.arange(20.0)[:, None]
    with pytest.raises(ConfigError, match=message):
        fit_meta(task, np.full((2, 20, 1), 0.5), truth, np.arange(20) % 5, meta)


def test_any_linear_learner_of_scikit_learn_fits_into_a_dense_layer():
    rng = np.random.default_rng(6)
    truth = rng.normal(0, 1, (200, 1))
    predictions = noisy(rng, truth, (0.3, 0.5))
    from sklearn.linear_model import HuberRegressor

    kernel, bias = fit_meta("regression", predictions, truth, np.arange(200) % 5, "HuberRegressor")
    oracle = HuberRegressor().fit(predictions[..., 0].T, truth[:, 0])
    np.testing.assert_allclose(predictions[..., 0].T @ kernel[:, 0] + bias, oracle.predict(predictions[..., 0].T))


# ---------------------------------------------------------------- honesty


def test_nested_answers_do_not_know_their_own_block():
    """A tell-tale member that is right only by accident of the noise must not look good where it is judged."""
    rng = np.random.default_rng(7)
    truth = rng.normal(0, 1, (60, 1))
    predictions = rng.normal(0, 1, (20, 60, 1))  # nothing to learn from
    blocks = np.arange(60) % 5
    teach = np.ones(60, bool)
    rule = learn_rule("stacking", "regression", predictions, truth, blocks, meta="LinearRegression")
    cheating = np.mean((rule.apply(predictions) - truth) ** 2)
    honest = nested("stacking", "regression", predictions, truth, blocks, teach, meta="LinearRegression")
    assert cheating < np.var(truth) < np.mean((honest - truth) ** 2)


def test_changing_the_truth_of_a_block_changes_no_answer_in_it():
    rng = np.random.default_rng(8)
    truth = rng.normal(0, 1, (100, 1))
    predictions = noisy(rng, truth, (0.5, 1.0))
    blocks, teach = np.arange(100) // 25, np.ones(100, bool)
    before = nested("weighted", "regression", predictions, truth, blocks, teach)
    planted = truth.copy()
    planted[blocks == 2] = 1e3
    after = nested("weighted", "regression", predictions, planted, blocks, teach)
    np.testing.assert_array_equal(before[blocks == 2], after[blocks == 2])
    assert (before[blocks == 0] != after[blocks == 0]).any()


def test_points_that_may_not_teach_do_not():
    rng = np.random.default_rng(9)
    truth = rng.normal(0, 1, (100, 1))
    predictions = noisy(rng, truth, (0.5, 1.0))
    blocks, teach = np.arange(100) % 5, np.arange(100) < 80
    planted = truth.copy()
    planted[~teach] = 1e6
    before, after = (nested("weighted", "regression", predictions, t, blocks, teach) for t in (truth, planted))
    np.testing.assert_array_equal(before, after)


def test_one_block_cannot_be_judged():
    with pytest.raises(DataError, match="only one group"):
        nested("weighted", "regression", np.zeros((2, 5, 1)), np.zeros((5, 1)), np.zeros(5, int), np.ones(5, bool))


# ---------------------------------------------------------------- bagging


@given(units=st.integers(12, 40), per_group=st.integers(1, 3), bootstrap=st.integers(0, 50))
def test_resampling_touches_only_the_training_units(units, per_group, bootstrap):
    groups = [f"g{unit // per_group}" for unit in range(units)]
    series = make_series([4] * units, groups=groups)
    settings = {"by": "unit", "validation": 0.25, "test": 0.25}
    plain = split(series, data_config(split=settings))
    drawn = split(series, data_config(split=settings | {"bootstrap": bootstrap}))
    for part in ("validation", "test"):
        np.testing.assert_array_equal(getattr(plain, part).units, getattr(drawn, part).units)
    assert set(drawn.train.units) <= set(plain.train.units)
    assert (np.diff(drawn.train.units) >= 0).all()
    times = {unit: int(np.sum(drawn.train.units == unit)) for unit in plain.train.units}
    for unit, count in times.items():  # groups are drawn whole
        assert all(times[other] == count for other in times if groups[other] == groups[unit])
    assert split(series, data_config(split=settings | {"bootstrap": bootstrap})).fingerprint == drawn.fingerprint


def test_units_drawn_twice_teach_twice_and_nothing_planted_outside_is_seen():
    import dataclasses

    from keras_seq.data.prepare import prepare_series

    series = make_series([30] * 20)
    config = data_config(split={"by": "unit", "bootstrap": 3}, windows={"mode": "whole", "length": 30})
    before = prepare_series(series, config)
    assert len(before.index["train"]) == len(before.splits.train.units)
    assert len(np.unique(before.splits.train.units)) < len(before.splits.train.units)
    outside = np.ones(len(series.values), bool)
    for first, last in zip(before.splits.train.first, before.splits.train.last, strict=True):
        outside[first:last] = False
    values = series.values.copy()
    values[outside] = 1e6
    assert prepare_series(dataclasses.replace(series, values=values), config).spec == before.spec
    mean = np.mean([series.unit_values(unit)[:, 0].mean() for unit in before.splits.train.units])
    assert before.spec.scaling.center[0][0] == pytest.approx(mean, rel=1e-5)


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(DataError, match=r"draws whole units anew, but data\.split\.by=time"):
        split(make_series([200]), data_config(split={"by": "time", "bootstrap": 1}))


# ---------------------------------------------------------------- dynamic weights


def test_dynamic_weights_follow_the_better_member_and_survive_as_json(tmp_path):
    online = RecentErrors(["a", "b"], memory=3)
    np.testing.assert_allclose(online.weights(), [0.5, 0.5])
    online.observe([1.0], [[1.1], [1.2]])
    np.testing.assert_allclose(online.weights(), [0.8, 0.2])  # errors 0.01 and 0.04
    assert online.combine([[10.0], [20.0]])[0] == pytest.approx(12.0)
    online.observe([np.nan], [[0.0], [0.0]])
    again = RecentErrors.load(online.save(tmp_path / "state.json"))
    np.testing.assert_array_equal(again.weights(), online.weights())
    for _ in range(3):  # the first error is forgotten
        again.observe([0.0], [[3.0], [1.0]])
    np.testing.assert_allclose(again.weights(), [0.1, 0.9])


def test_a_decay_forgets():
    online = RecentErrors(["a", "b"], memory=10, decay=0.5)
    online.observe([0.0], [[1.0], [2.0]])
    online.observe([0.0], [[2.0], [1.0]])
    # (0.5 * 1 + 4) / 1.5 = 3 and (0.5 * 4 + 1) / 1.5 = 2
    np.testing.assert_allclose(online.weights(), [0.4, 0.6])


def test_mistakes_with_dynamic_weights_are_named(tmp_path):
    with pytest.raises(ConfigError, match="at least 2 members, got 1"):
        RecentErrors(["a"])
    with pytest.raises(ConfigError, match=r"got 0 and 1\.0"):
        RecentErrors(["a", "b"], memory=0)
    with pytest.raises(ConfigError, match="Predictions of 3 members"):
        RecentErrors(["a", "b"]).combine([[1.0]] * 3)
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ConfigError, match="no state of dynamic weights"):
        RecentErrors.load(tmp_path / "x.json")


# ---------------------------------------------------------------- enough to learn from


def scored(rng, labels, skill):
    """Probabilities of members, better with more ``skill``, ``(members, points, 1)``."""
    score = np.stack([s * (2 * labels - 1) + rng.normal(size=len(labels)) for s in skill])
    return (1 / (1 + np.exp(-score)))[..., None]


@pytest.mark.parametrize(
    ("method", "task", "members", "truth", "reason"),
    [
        ("weighted", "binary", 2, np.repeat([1.0, 0.0], [4, 116]), "has 4 positives among 120 validation points"),
        ("blending", "binary", 2, np.repeat([1.0, 0.0], [116, 4]), "has 4 negatives among 120"),
        ("stacking", "multiclass", 3, np.repeat([0, 1, 2], [500, 3, 3]), "has 6 points of other than the commonest"),
        ("weighted", "regression", 6, np.zeros((30, 1)), "fits 5 numbers and has 30 validation points"),
        ("hard", "binary", 3, np.repeat([1.0, 0.0], [9, 500]), "fits 1 number and has 9 positives"),
        ("weighted", "binary", 2, np.repeat([1.0, 0.0], [10, 110]), ""),
        ("mean", "binary", 2, np.zeros(3), ""),
    ],
)
def test_too_few_examples_are_counted_and_named(method, task, members, truth, reason):
    found = too_few(method, task, members, truth)
    assert reason in found and bool(reason) == bool(found)


def test_weights_that_lose_on_units_left_out_are_not_taken():
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.3).astype(float)
    blocks = np.arange(400) % 5
    uneven = scored(rng, labels, [2.0, 0.0, 0.0])
    assert no_better("blending", "binary", uneven, labels, blocks, None) == ""
    noise = scored(rng, labels, [0.0] * 6)[:, :60]
    assert "log loss" in no_better("blending", "binary", noise, labels[:60], blocks[:60], None)
    truth = rng.normal(size=(40, 1))
    alike = truth + rng.normal(size=(8, 40, 1))
    assert "mean squared error" in no_better("weighted", "regression", alike, truth, np.arange(40) % 5, None)


def test_a_better_member_is_named():
    members = [
        {"name": "a", "metrics": {"validation": {"rmse": 3.0}}},
        {"name": "b", "metrics": {"validation": {"rmse": 2.0}}},
    ]
    assert "2 of its member 'b'" in behind_a_member("regression", {"rmse": 2.5}, members)
    assert behind_a_member("regression", {"rmse": 2.0}, members) == ""
