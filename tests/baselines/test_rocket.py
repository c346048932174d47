"""MiniRocket's head: left-out answers in closed form, probabilities, class weights, refusals, real sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keras_seq import config
from keras_seq.baselines import rocket_head
from keras_seq.baselines.held_out_ridge import fit_held_out, held_out_groups
from keras_seq.baselines.iterated_ridge import solve_iterated
from keras_seq.baselines.rocket_head import calibrated, level_factor
from keras_seq.data.prepare import prepare, prepare_series
from keras_seq.errors import ConfigError
from keras_seq.models.registry import get_family, resolve_experiment
from keras_seq.training.predictions import points, predict_windows
from tests.factories.fitted import CASES, experiment, fitted


def table(rows: int = 24, columns: int = 40, *, groups: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(rows, columns)) + 3
    answers = np.stack([inputs[:, 0] + rng.normal(size=rows), inputs[:, 1] - inputs[:, 2]], 1)
    group = np.arange(rows) % groups if groups else np.arange(rows)
    return inputs, answers, group, rng.uniform(0.5, 2, rows)


@pytest.mark.parametrize(("rows", "columns", "groups"), [(24, 40, 0), (60, 5, 0), (30, 12, 6), (30, 100, 6)])
@pytest.mark.parametrize("penalty", [0.01, 10.0])
def test_left_out_answers_are_those_of_fits_without_the_group(
    rows: int, columns: int, groups: int, penalty: float
) -> None:
    from sklearn.linear_model import Ridge

    inputs, answers, group, weights = table(rows, columns, groups=groups)
    found = fit_held_out(inputs, answers, group, weights, (penalty,))
    for left in np.unique(group):
        kept = group != left
        model = Ridge(penalty).fit(inputs[kept], answers[kept], sample_weight=weights[kept])
        np.testing.assert_allclose(found.held_out[~kept], model.predict(inputs[~kept]), rtol=1e-6, atol=1e-8)
    whole = Ridge(penalty).fit(inputs, answers, sample_weight=weights)
    np.testing.assert_allclose(found.coefficients, whole.coef_.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.intercept, whole.intercept_, rtol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(60, 5), (30, 100)])
def test_many_rows_get_the_same_ridge_by_steps(rows: int, columns: int) -> None:
    inputs, answers, group, weights = table(rows, columns)
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    solved = fit_held_out(inputs, answers, group, weights, (5.0,))
    guess = np.zeros((columns, 2)), np.zeros(2)
    kernel, bias = solve_iterated(inputs.astype(np.float32), answers, weights, 5.0, *guess)
    both = inputs @ kernel + bias, inputs @ solved.coefficients + solved.intercept
    np.testing.assert_allclose(*both, atol=1e-3)


@pytest.mark.slow
def test_of_many_rows_some_decide_and_all_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.asarray(fitted("binary", "minirocket")[0].get_layer("linear").kernel)
    monkeypatch.setattr(rocket_head, "MOST_SOLVED", 26)
    some = np.asarray(fitted("binary", "minirocket")[0].get_layer("linear").kernel)
    assert np.corrcoef(whole[:, 0], some[:, 0])[0, 1] > 0.9


def test_noise_gets_a_larger_penalty_than_signal() -> None:
    rng = np.random.default_rng(1)
    inputs, chance = rng.normal(size=(60, 30)), rng.normal(size=(60, 1))
    signal = inputs @ rng.normal(size=(30, 1))
    chosen = [fit_held_out(inputs, answers, np.arange(60), np.ones(60)).penalty for answers in (signal, chance)]
    assert chosen[0] < 1 < chosen[1]


def test_levels_count_where_left_out_rows_gain() -> None:
    rng = np.random.default_rng(3)
    inputs, alone = rng.normal(size=(80, 60)), np.arange(80)
    told = [level_factor(inputs, 58, inputs[:, [column]], alone, np.ones(80)) for column in (59, 0)]
    assert told[0] > 4 and told[1] < 4.5
    assert level_factor(inputs, 60, inputs[:, :1], alone, np.ones(80)) == 0


def test_windows_of_a_unit_are_left_out_together() -> None:
    np.testing.assert_array_equal(held_out_groups(np.repeat(np.arange(12), 3)), np.repeat(np.arange(12), 3))
    np.testing.assert_array_equal(held_out_groups(np.zeros(40)), np.repeat(np.arange(10), 4))  # blocks of one unit


def test_calibration_finds_the_slope_that_made_the_labels() -> None:
    rng = np.random.default_rng(2)
    decisions = rng.uniform(-1, 1, (4000, 1))
    labels = np.where(rng.random((4000, 1)) < 1 / (1 + np.exp(-(4 * decisions + 1))), 1.0, -1.0)
    slope, offset = calibrated(decisions, labels, np.ones(4000))
    assert slope == pytest.approx(4, rel=0.1) and offset[0] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("case", ["per_step", "forecast"])
def test_an_answer_a_window_only(case: str) -> None:
    data, series = CASES[case]
    found = experiment(data, {"family": "minirocket"})
    with pytest.raises(ConfigError, match=r"one answer a window.*data.windows"):
        get_family("minirocket").fit(found, prepare_series(series, found.data), print)  # type: ignore[misc]


@pytest.mark.slow
def test_fewer_features_and_dilations_can_be_asked_for() -> None:
    model, _, _ = fitted("binary", "minirocket", rocket={"features": 168, "dilations": 1})
    layer = model.get_layer("minirocket")
    assert layer.output.shape[1] == 168 and layer.dilations == [1]
    assert model.get_layer("linear").kernel.shape[0] == 168 + 5 * 3
    model, _, _ = fitted("binary", "minirocket", rocket={"features": 168, "levels": False})
    assert model.get_layer("linear").kernel.shape[0] == 168


@pytest.mark.slow
def test_class_weights_and_the_seed_reach_the_head() -> None:
    data, series = CASES["binary"]

    def kernel(seed: int = 0, **training: Any) -> np.ndarray:
        tree = {"data": {"source": "table", "bucket": 10, **data}, "seed": seed, "training": training}
        found = resolve_experiment(
            config.from_dict({**tree, "model": {"family": "minirocket", "rocket": {"features": 84}}})
        )
        model = get_family("minirocket").fit(found, prepare_series(series, found.data), lambda text: None)  # type: ignore[misc]
        return np.asarray(model.get_layer("linear").kernel)

    plain = kernel()
    np.testing.assert_array_equal(plain, kernel())
    assert np.abs(plain - kernel(class_weights=[1.0, 5.0])).max() > 1e-3
    assert np.abs(plain - kernel(seed=1)).max() > 1e-3


@pytest.mark.slow
def test_japanese_vowels_are_told_apart(data_home: Any) -> None:
    data = {
        "source": "jvowels",
        "split": {"by": "official", "validation": 0.2},
        "windows": {"length": 30},
        "bucket": 30,
    }
    found = resolve_experiment(config.from_dict({"data": data, "model": {"family": "minirocket"}}))
    prepared = prepare(found.data)
    model = get_family("minirocket").fit(found, prepared, lambda text: None)  # type: ignore[misc]
    index = prepared.index["test"]
    answer = predict_windows(model, prepared.series, index, prepared.spec, found.data)
    judged = points(prepared.series, index, prepared.spec, answer)
    right = judged.prediction.argmax(1) == judged.truth
    assert right.mean() > 0.97
    told = judged.prediction[np.arange(len(right)), judged.truth.astype(int)]
    assert -np.log(told).mean() < 0.15  # probabilities, not only the order of classes
