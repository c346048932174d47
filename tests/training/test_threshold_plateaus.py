"""Thresholds stand in the middle of what is as good as the best, and say when few rows decided."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.config import EvaluationConfig
from keras_seq.errors import DataError
from keras_seq.training.class_metrics import auc_roc, f1
from keras_seq.training.decision import events, fit_decision
from keras_seq.training.thresholds import best_f_threshold, fit_threshold

RULES = [
    EvaluationConfig(),
    EvaluationConfig(threshold="fbeta", beta=2.0),
    EvaluationConfig(threshold="fbeta", beta=0.5),
    EvaluationConfig(threshold="cost"),
]


def long_events(number, *, rows=4000, length=120, late=0, noise=1.0, seed=0):
    """A series of few long events, the first rows of each still low, and its probabilities."""
    rng = np.random.default_rng(seed)
    truth, logit = np.zeros(rows), rng.normal(-6, noise, rows)
    for first in np.linspace(rows // number // 3, rows - 2 * length, number).astype(int):
        truth[first : first + length] = 1
        logit[first : first + length] = rng.normal(6, noise, length)
        if late:
            logit[first : first + late] = rng.normal(-3.0, 0.1, late)
    return truth, 1 / (1 + np.exp(-logit))


def pieces_of(truth):
    return events(np.zeros(len(truth), int), np.arange(len(truth)), truth)


@pytest.mark.parametrize("evaluation", RULES, ids=lambda one: f"{one.threshold}-{one.beta}")
def test_an_edge_made_by_late_first_rows_is_not_where_the_threshold_stands(evaluation):
    truth, probability = long_events(3, late=2)
    assert auc_roc(truth, probability) > 0.999
    assert best_f_threshold(truth, probability) < 0.06
    found = fit_threshold(truth, probability, evaluation, pieces_of(truth))
    assert 0.3 < found.value < 0.7 and found.low < 0.06 and found.high > 0.9
    # the next series has false alarms where the edge was
    later, scores = long_events(3, seed=1)
    scores[::15] = np.where(later[::15] > 0, scores[::15], 0.1)
    assert f1(later, scores >= found.value) > f1(later, scores >= best_f_threshold(truth, probability)) + 0.1


def test_separable_classes_get_the_middle_of_the_gap():
    truth = np.repeat([0.0, 1.0], [60, 40])
    score = np.concatenate([np.linspace(0.0, 0.1, 60), np.linspace(0.7, 0.9, 40)])
    found = fit_threshold(truth, score, EvaluationConfig(), np.arange(100))
    assert 0.3 < found.value < 0.5 and found.low < 0.1 + 1e-9 and found.high >= 0.7
    recall = fit_threshold(truth, score, EvaluationConfig(threshold="recall", recall=1.0), np.arange(100))
    assert recall.value == pytest.approx(0.4)


def test_many_units_leave_little_doubt_and_no_note():
    rng = np.random.default_rng(3)
    probability = rng.random(20_000)
    truth = (rng.random(20_000) < probability).astype(float)
    cost = EvaluationConfig(threshold="cost", cost={"false_negative": 9, "false_positive": 1})
    found = fit_threshold(truth, probability, cost, np.arange(20_000))
    assert found.value == pytest.approx(0.1, abs=0.03) and found.low < 0.1 < found.high  # Elkan
    assert found.high - found.low < 0.1 and found.note == ""


def test_one_row_decides_nothing():
    """The best threshold without a single outlier among the negatives is as good with it."""
    truth = np.repeat([0.0, 1.0], [200, 40])
    score = np.concatenate([np.full(199, 0.02), [0.6], np.full(40, 0.95)])
    for evaluation in RULES:
        found = fit_threshold(truth, score, evaluation, np.arange(240))
        assert found.low == pytest.approx(0.02) and found.high == pytest.approx(0.95)


def test_few_events_are_named_and_many_are_not():
    for number, said in ((1, "hangs on 1 unit or event"), (3, "hangs on 3 units or events"), (12, "")):
        truth, probability = long_events(number)
        note = fit_threshold(truth, probability, EvaluationConfig(), pieces_of(truth)).note
        assert (said in note) if said else not note
        assert not said or f"({number * 120} rows)" in note
    assert fit_threshold(truth, probability, EvaluationConfig(threshold="half"), pieces_of(truth)).note == ""


def test_events_are_runs_of_a_label_within_a_unit():
    truth = np.array([0, 0, 1, 1, 0, 0, 0, 1, 1, 1])
    unit = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    found = events(unit, np.arange(10), truth)
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 4, 5, 5]  # runs of negatives are cut to the median event: 2 rows
    order = np.random.default_rng(0).permutation(10)
    assert events(unit[order], np.arange(10)[order], truth[order]).tolist() == found[order].tolist()


def test_calling_nothing_can_be_cheapest():
    truth, score = np.array([0.0, 1.0, 1.0] + [0.0] * 49), np.linspace(0.1, 0.4, 52)
    cheap = EvaluationConfig(threshold="cost", cost={"false_negative": 0.1, "false_positive": 9})
    assert fit_threshold(truth, score, cheap, np.arange(52)).value > 0.4
    certain = np.append(score[:-1], 1.0)
    assert fit_threshold(truth, certain, cheap, np.arange(52)).low > 0.3


def test_the_same_rows_in_another_order_give_the_same_threshold():
    truth, probability = long_events(4)
    piece, order = pieces_of(truth), np.random.default_rng(1).permutation(len(truth))
    one = fit_threshold(truth, probability, EvaluationConfig(), piece)
    assert one == fit_threshold(truth[order], probability[order], EvaluationConfig(), piece[order])


def test_refuses_what_has_no_answer():
    with pytest.raises(DataError, match="no positive"):
        fit_threshold([0, 0], [0.1, 0.2], EvaluationConfig(), [0, 1])


def test_the_decision_keeps_the_range_and_the_note():
    from tests.training.test_decision import spec_of

    truth, probability = long_events(2)
    found = fit_decision(
        EvaluationConfig(calibration="none"), spec_of("binary"), truth, probability, np.arange(len(truth)),
        piece=pieces_of(truth),
    )  # fmt: skip
    low, high = found["threshold_range"]
    assert low < found["threshold"] < high and any("hangs on 2 units or events" in note for note in found["notes"])


def test_of_room_occupancy_the_official_second_test_is_foretold(data_home):
    """Three events of validation leave nearly every threshold open."""
    import pandas as pd

    rows = (data_home / "occupancy" / "datatraining.txt").read_text().splitlines()
    names = ["row", *(name.strip('"') for name in rows[0].split(","))]
    table = pd.DataFrame([[cell.strip('"') for cell in row.split(",")] for row in rows[1:]], columns=names)
    numbers = table[["Light", "CO2", "Temperature", "Occupancy"]].astype(float)
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    split = int(0.85 * len(numbers))
    columns = ["Light", "CO2", "Temperature"]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(numbers[columns][:split], numbers["Occupancy"][:split])
    held = numbers[split:]
    probability = model.predict_proba(held[columns])[:, 1]
    truth = held["Occupancy"].to_numpy()
    found = fit_threshold(truth, probability, EvaluationConfig(), pieces_of(truth))
    assert found.low < 0.1 and found.high > 0.9
    second = (data_home / "occupancy" / "datatest2.txt").read_text().splitlines()[1:]
    test = pd.DataFrame([[cell.strip('"') for cell in row.split(",")] for row in second], columns=names)
    scores, occupied = model.predict_proba(test[columns].astype(float))[:, 1], test["Occupancy"].astype(float) > 0.5
    assert ((scores >= found.value) == occupied).mean() > 0.9
