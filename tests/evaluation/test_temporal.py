from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq.bundle import load_bundle
from keras_seq.data.windows import WindowIndex
from keras_seq.errors import ConfigError
from keras_seq.evaluation import bands
from keras_seq.evaluation.temporal import PredictionEvolution, detection, evolve, prefixes
from keras_seq.pipeline.temporal import analyse
from keras_seq.reports import temporal as report
from keras_seq.training.class_metrics import detection_step
from keras_seq.training.predictions import Points
from tests.factories.bundles import CASTER, CO2, experiment, make_bundle

# ---------------------------------------------------------------- detection


@pytest.mark.parametrize(
    ("score", "step"),
    [([0.1, 0.6, 0.4, 0.7, 0.9], 3), ([0.6, 0.7], 0), ([0.6, 0.4], None), ([0.4, 0.5], 1), ([0.9, float("nan")], None)],
)
def test_a_call_counts_from_where_it_is_never_taken_back(score, step):
    found = detection_step(score, 0.5)
    assert np.isnan(found) if step is None else found == step


def evolution(scores: dict[int, list[float]], truth: dict[int, int]) -> PredictionEvolution:
    """Answers after 10, 20, ... steps of each unit."""
    unit = np.concatenate([np.full(len(of), key) for key, of in scores.items()])
    steps = np.concatenate([10 * np.arange(1, len(of) + 1) for of in scores.values()])
    label = np.array([truth[key] for key in unit], float)
    length = np.concatenate([np.full(len(of), 10 * len(of)) for of in scores.values()])
    return PredictionEvolution(
        Points(label, np.concatenate(list(scores.values())), unit, 1000 * unit + steps, steps), length
    )


def test_detection_delay_of_units():
    found = detection(
        evolution(
            {0: [0.1, 0.9, 0.9, 0.9], 1: [0.2, 0.9, 0.2], 2: [0.9, 0.1], 3: [0.1, 0.1, 0.8]}, {0: 1, 1: 1, 2: 0, 3: 0}
        ),
        0.5,
    )
    assert found.unit.tolist() == [0, 1]
    assert found.step[0] == 20 and np.isnan(found.step[1])
    assert (found.detected, found.median_step, found.median_share) == (0.5, 20, 0.5)
    assert (found.false_alarms, found.wavering) == (0.5, 1.0)


def test_detection_without_positives_is_not_a_number():
    found = detection(evolution({0: [0.1, 0.2]}, {0: 0}), 0.5)
    assert found.positives == 0 and np.isnan(found.detected) and np.isnan(found.median_step)


# ---------------------------------------------------------------- prefixes


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(1, 30))
def test_prefixes_grow_to_the_whole_window(lengths, answers):
    length = np.array(lengths)
    start = np.cumsum(length) - length
    index = WindowIndex(start, length, start + length - 1, np.arange(len(length)), start)
    found = prefixes(index, answers)
    for unit in range(len(length)):
        mine = found.length[found.unit == unit]
        assert mine[-1] == length[unit] and (np.diff(mine) > 0).all() and mine[0] >= 1
        assert len(mine) == min(answers, length[unit])
    assert (found.start == start[found.unit]).all()
    assert (found.target == found.start + found.length - 1).all()


@pytest.fixture(scope="module")
def caster(tmp_path_factory):
    return make_bundle(experiment(CASTER, tmp_path_factory.mktemp("caster")))


def test_a_prefix_is_answered_as_if_nothing_came_after(caster):
    import tensorflow as tf

    from keras_seq.data.prepare import prepare

    bundle = load_bundle(caster)
    prepared = prepare(bundle.experiment.data)
    found = evolve(bundle, prepared, "test", answers=4)
    assert len(found.points.unit) == 4 * len(prepared.splits.test)
    assert np.isclose(found.share, np.tile([0.25, 0.5, 0.75, 1], len(prepared.splits.test)), atol=0.02).all()
    row = 5
    unit, steps = found.points.unit[row], found.points.steps[row]
    values = prepared.series.unit_values(unit)[:steps]
    alone = bundle.model({"values": tf.constant(values[None]), "lengths": tf.constant([steps], tf.int32)})
    assert found.points.prediction[row] == pytest.approx(float(alone[0, 0]), abs=1e-5)


def test_the_report_of_a_caster(caster, tmp_path):
    outcome = analyse(caster, answers=4, output=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"temporal.json", "temporal.md", "bands.png", "evolution.png"}
    assert sum(band["points"] for band in outcome["bands"]["share seen"]) == 4 * 64
    assert sum(band["points"] for band in outcome["bands"]["length of the unit, at its end"]) == 64
    assert "units of class 1" in (tmp_path / "temporal.md").read_text()


def test_a_forecast_has_no_sequence_to_grow(tmp_path):
    folder = make_bundle(experiment(CO2, tmp_path))
    with pytest.raises(ConfigError, match="forecasts 2 steps ahead"):
        analyse(folder, output=tmp_path)


# ---------------------------------------------------------------- bands


def test_bands_by_hand():
    truth, prediction = np.array([[5.0], [10.0], [30.0], [200.0]]), np.array([[7.0], [10.0], [27.0], [190.0]])
    found = bands.error_by_band(truth, (10, 125), truth, prediction, [0, 0, 1, 1], task="regression")
    assert [(band.low, band.high, band.points, band.units) for band in found] == [
        (-np.inf, 10, 1, 1),
        (10, 125, 2, 2),
        (125, np.inf, 1, 1),
    ]
    assert found[0].values == {"rmse": 2, "mae": 2, "bias": 2}
    assert found[1].values == {"rmse": pytest.approx(np.sqrt(4.5)), "mae": 1.5, "bias": -1.5}
    assert [bands.label(band.low, band.high) for band in found] == ["< 10", "10 - 125", ">= 125"]
    assert "| 10 - 125 | 2 | 2 | 2.121 | 1.5 | -1.5 |" in bands.to_markdown(found, "truth")


def test_bands_of_classes():
    table = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    found = bands.error_by_band([1, 2, 3], (2,), [0, 1, 1], table, [0, 1, 2], task="multiclass")
    assert [band.values["accuracy"] for band in found] == [1.0, 0.5]
    single = bands.error_by_band([1, 2, 3], (2,), [0, 1, 1], table[:, 1], [0, 1, 2], task="binary")
    assert single[1].values["brier"] == pytest.approx((0.3**2 + 0.6**2) / 2)


def test_equal_edges_share_the_points():
    assert bands.equal_edges(np.arange(100), 4) == (24.75, 49.5, 74.25)
    assert bands.equal_edges([3, 3, 3]) == (3.0,)


def test_the_picture_of_values(tmp_path):
    rng = np.random.default_rng(0)
    unit, steps = np.repeat(np.arange(4), 30), np.tile(np.arange(1, 31), 4)
    truth = (30 - steps)[:, None].astype(float)
    found = PredictionEvolution(
        Points(truth, truth + rng.normal(size=truth.shape), unit, np.arange(120), steps), np.full(120, 30)
    )
    assert report.evolution(found, tmp_path / "e.png").stat().st_size > 5000


def evolution_of_lengths(lengths, answers, value_of):
    """Answers on ``answers`` prefixes of every unit, fewer of short ones, as ``evolve`` asks for them."""
    from keras_seq.data.windows import WindowIndex
    from keras_seq.evaluation.temporal import prefixes

    lengths = np.array(lengths)
    start = np.cumsum(lengths) - lengths
    index = prefixes(WindowIndex(start, lengths, start + lengths - 1, np.arange(len(lengths)), start), answers)
    share = index.length / lengths[index.unit]
    value = np.array([value_of(unit, at) for unit, at in zip(index.unit, share, strict=True)])
    found = Points(np.ones(len(value)), value, index.unit, index.target, index.length)
    return PredictionEvolution(found, lengths[index.unit])


@pytest.mark.parametrize(
    "lengths",
    [[10] * 20 + [200] * 20, [7] * 10 + [31] * 10 + [333] * 10, [10] * 5, list(range(3, 60)), [19, 21, 20, 22, 18]],
    ids=["tenths among twentieths", "three lengths", "tenths alone", "all lengths", "about twenty"],
)
def test_a_curve_of_answers_that_only_rise_does_not_saw(lengths):
    """Short units have answers at every tenth only: pieces of a twentieth held now all units, now the long ones."""
    found = evolution_of_lengths(lengths, 20, lambda unit, share: share + (2.0 if lengths[unit] < 20 else 0.0))
    share, *curves = report.quantiles_by_share(found, found.points.prediction)
    assert share[-1] == 1.0 and len(share) >= 10
    stood = 1 if len(set(lengths)) == 1 else 0  # the first share at which every unit has answered
    full = share >= max(1 / min(lengths), share[stood]) - 1e-9
    for curve in curves:
        assert (np.diff(curve[full]) >= -1e-9).all()


def test_every_unit_counts_once_at_every_share():
    found = evolution_of_lengths([4, 40], 20, lambda unit, share: float(unit))
    share, _, middle, _ = report.quantiles_by_share(found, found.points.prediction)
    assert share.tolist() == pytest.approx([number / 20 for number in range(1, 21)])
    assert middle.tolist() == pytest.approx([0.5] * 20)  # a first answer stands from the first step on
