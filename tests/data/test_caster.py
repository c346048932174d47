"""The caster generator: labels lie in order and lag, in nothing simpler, and the knobs do what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, mannwhitneyu
from sklearn.metrics import average_precision_score, roc_auc_score

from keras_seq.config import CasterConfig
from keras_seq.data.series import Series
from keras_seq.data.sources import caster, caster_events
from keras_seq.data.sources.caster import HIDDEN, NONE, VISIBLE, load_caster
from keras_seq.data.sources.caster_events import (
    GUARD,
    PRECURSOR,
    UP,
    WRONG_ORDER,
    CastingEvents,
    longest_span,
    plan_events,
)
from keras_seq.errors import ConfigError


@pytest.fixture(scope="module")
def full() -> Series:
    return load_caster(CasterConfig())


@pytest.fixture(scope="module")
def plan() -> tuple[np.ndarray, CastingEvents]:
    """Events of many sequences, half of which show a precursor."""
    rng = np.random.default_rng(3)
    visible = np.arange(6000) % 2 == 0
    return visible, plan_events(CasterConfig(), rng.integers(100, 501, 6000), visible, rng)


def small(**knobs: object) -> CasterConfig:
    return CasterConfig.model_validate({"sequences": 400, "heats": 40, **knobs})


def surges(events: CastingEvents, units: int) -> np.ndarray:
    return np.bincount(events.unit[events.surge >= 0], minlength=units)


def rises(events: CastingEvents, units: int) -> np.ndarray:
    return np.bincount(events.unit[events.rise[:, 0] >= 0], minlength=units)


# --- the data set -------------------------------------------------------------------------------


def test_defaults_are_frozen() -> None:
    frozen = {
        "sequences": 8000, "heats": 800, "rows": 3, "min_length": 100, "max_length": 500, "amplitude": 3.0,
        "decoys": 0.7, "min_lag": 10, "max_lag": 28, "hidden_share": 0.05, "p_low": 0.02, "p_high": 0.9,
        "drift": 0.0, "seed": 7,
    }  # fmt: skip
    assert CasterConfig().model_dump() == frozen


def test_shape_and_schema(full: Series) -> None:
    assert full.schema.task == "binary" and full.schema.target_per == "unit"
    assert full.schema.classes == ("sound", "defect") and full.schema.targets == ("defect",)
    assert len(full.schema.features) == 8 and full.n_units == 8000
    assert full.values.dtype == np.float32 and full.values.shape == (int(full.lengths.sum()), 8)
    assert full.lengths.min() == 100 and full.lengths.max() == 500
    assert set(np.unique(full.targets)) == {0.0, 1.0} and full.targets.shape == (8000, 1)
    low = np.array([column.minimum for column in full.schema.columns])
    high = np.array([column.maximum for column in full.schema.columns])
    assert ((full.values >= low) & (full.values <= high)).all()
    assert all(column.unit for column in full.schema.columns)


def test_equal_configs_give_equal_data_and_another_seed_does_not() -> None:
    first, again, other = load_caster(small()), load_caster(small()), load_caster(small(seed=8))
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    for name, values in first.truth.items():
        np.testing.assert_array_equal(values, again.truth[name])


def test_share_of_defects_and_ceiling(full: Series) -> None:
    label = full.unit_labels()
    assert 0.13 < label.mean() < 0.17
    for name, score in (("ceiling", "observable"), ("oracle", "probability")):
        assert full.info[name]["auc_roc"] == pytest.approx(roc_auc_score(label, full.truth[score]), abs=1e-9)
        assert full.info[name]["auc_pr"] == pytest.approx(average_precision_score(label, full.truth[score]), abs=1e-9)
        assert 0.93 < full.info[name]["auc_roc"] < 0.96
    assert full.info["oracle"]["auc_pr"] > full.info["ceiling"]["auc_pr"] > 0.8


def test_length_says_nothing(full: Series) -> None:
    assert roc_auc_score(full.unit_labels(), full.lengths) == pytest.approx(0.5, abs=0.03)


def test_order_free_statistics_say_only_the_static_part(full: Series) -> None:
    """Deviations and extremes relative to the level: the same in both classes."""
    label = full.unit_labels() > 0
    mean = np.add.reduceat(full.values, full.offsets[:-1], dtype=np.float64) / full.lengths[:, None]
    level = np.repeat(mean, full.lengths, axis=0)
    high = np.maximum.reduceat(full.values - level, full.offsets[:-1])
    spread = np.add.reduceat((full.values - level) ** 2, full.offsets[:-1]) / full.lengths[:, None]
    for statistic in (high, spread):
        for channel in range(8):
            assert roc_auc_score(label, statistic[:, channel]) == pytest.approx(0.5, abs=0.045)
    assert 0.51 < roc_auc_score(label, full.truth["static"]) < 0.6


def test_heats_are_groups_with_their_own_offsets(full: Series) -> None:
    heats, number = np.unique(full.groups, return_inverse=True)
    assert len(heats) == 800 and (np.bincount(number) == 10).all()
    mean = np.add.reduceat(full.values, full.offsets[:-1], dtype=np.float64) / full.lengths[:, None]
    within = np.stack([mean[number == heat].std(0) for heat in range(100)]).mean(0)
    assert (mean.std(0) > 1.3 * within).all()


def test_labels_follow_their_probability(full: Series) -> None:
    label, p = full.unit_labels(), full.truth["probability"]
    for kind, mean in ((NONE, 0.02), (VISIBLE, 0.9)):
        chosen = full.truth["precursor"] == kind
        assert p[chosen].mean() == pytest.approx(mean, abs=0.015)
        assert label[chosen].mean() == pytest.approx(p[chosen].mean(), abs=4 * np.sqrt(0.09 / chosen.sum()))
    hidden = (full.truth["precursor"] == HIDDEN).sum() / (full.truth["precursor"] != NONE).sum()
    assert hidden == pytest.approx(0.05, abs=0.025)


def test_observable_probability_is_calibrated() -> None:
    series = load_caster(CasterConfig(sequences=12000, hidden_share=0.4, max_length=100, decoys=0.0))
    label, p = series.unit_labels(), series.truth["observable"]
    for low, high in ((0.0, 0.06), (0.06, 0.1), (0.1, 0.3), (0.7, 1.0)):
        chosen = (p > low) & (p <= high)
        error = np.sqrt(p[chosen].mean() * (1 - p[chosen].mean()) / chosen.sum())
        assert label[chosen].mean() == pytest.approx(p[chosen].mean(), abs=4 * error)


def test_windows_of_the_truth_show_a_surge_and_a_later_rise(full: Series) -> None:
    start, stop = full.truth["event_start"], full.truth["event_stop"]
    visible = full.truth["precursor"] == VISIBLE
    assert (start[~visible] == -1).all() and (stop[~visible] == -1).all()
    assert (start[visible] >= 0).all() and (stop[visible] <= full.lengths[visible]).all()
    units = np.flatnonzero(visible)
    rows = full.offsets[units] + start[units] + 4  # peak of the surge
    before = full.offsets[units] + start[units] - 4
    change = full.values[rows] - full.values[np.maximum(before, full.offsets[units])]
    assert change[:, 0].mean() > 2.0  # mm, about 3 noise deviations less the bell's flank
    assert abs(change[:, 5].mean()) < 0.5  # no rise of temperature yet
    end = full.values[full.offsets[units] + stop[units] - 7] - full.values[full.offsets[units] + start[units]]
    assert end[:, 7].mean() > 4.0  # degC: the last row is at its peak


# --- events ---------------------------------------------------------------------------------------


def test_counts_of_surges_and_rises_do_not_tell_the_class(plan: tuple[np.ndarray, CastingEvents]) -> None:
    visible, events = plan
    for count in (surges(events, 6000), rises(events, 6000)):
        assert abs(count[visible].mean() - count[~visible].mean()) < 0.12
        assert mannwhitneyu(count[visible], count[~visible]).pvalue > 1e-3
        assert count.min() >= 1


def test_heights_and_widths_do_not_tell_the_kind() -> None:
    """Every bell is drawn from one distribution: equal areas for precursors and decoys."""
    rng = np.random.default_rng(0)
    n = 4000
    kind = np.where(np.arange(n) % 2 == 0, PRECURSOR, WRONG_ORDER)
    events = CastingEvents(np.arange(n), kind, np.full(n, 30), np.tile([50, 54, 58], (n, 1)))
    level, temperature = caster_events.render_events(events, np.arange(n + 1) * 100, 3.0, rng)
    for channel in (level, *temperature.T):
        bells = channel.reshape(n, 100)
        for statistic in (bells.sum(1), bells.max(1)):
            assert ks_2samp(statistic[::2], statistic[1::2]).pvalue > 1e-3
        assert bells.max(1).mean() == pytest.approx(3.0, rel=0.02)
        assert (bells[:, [0, -1]] == 0).all()


def test_precursors_come_only_where_planned(plan: tuple[np.ndarray, CastingEvents]) -> None:
    visible, events = plan
    config = CasterConfig()
    true = events.kind == PRECURSOR
    np.testing.assert_array_equal(np.bincount(events.unit[true], minlength=6000), visible.astype(int))
    lag = events.rise[true, 0] - events.surge[true]
    assert lag.min() == config.min_lag and lag.max() == config.max_lag
    assert (np.diff(events.rise[true], axis=1) > 0).all()
    down = (events.rise[:, 0] >= 0) & ~np.isin(events.kind, (UP, WRONG_ORDER))
    low, high = config.min_lag - GUARD, config.max_lag + GUARD
    chance = 0
    for unit in range(1500):
        own = events.unit == unit
        lags = events.rise[own & down, 0][None] - events.surge[own & (events.surge >= 0)][:, None]
        chance += int(((lags >= low) & (lags <= high)).sum()) - int(visible[unit])
    assert chance == 0


def test_decoys_of_every_kind_are_in_both_classes(plan: tuple[np.ndarray, CastingEvents]) -> None:
    visible, events = plan
    for kind in range(1, len(caster_events.KINDS)):
        for side in (True, False):
            assert ((events.kind == kind) & (visible[events.unit] == side)).sum() > 300
    up = np.isin(events.kind, (UP, WRONG_ORDER))
    assert (np.diff(events.rise[up], axis=1) < 0).all()


# --- knobs ------------------------------------------------------------------------------------------


def test_decoys_knob_sets_the_rate() -> None:
    rng = np.random.default_rng(0)
    lengths = np.full(2000, 450)
    for rate in (0.0, 0.7, 1.4):
        events = plan_events(CasterConfig(decoys=rate), lengths, np.zeros(2000, bool), rng)
        assert surges(events, 2000).mean() == pytest.approx(1.0 + 3.0 * rate, rel=0.06)
        assert rises(events, 2000).mean() == pytest.approx(1.0 + 3.0 * rate, rel=0.06)


def test_amplitude_knob_sets_the_height() -> None:
    low, high = load_caster(small(amplitude=1.0)), load_caster(small(amplitude=6.0))
    difference = high.values - low.values  # the same noise: only the bells differ
    assert np.abs(difference[:, 1:5]).max() == 0.0
    assert 5.0 * 0.8 < difference[:, 0].max() < 5.0 * 1.2 * 3  # bells may overlap


def test_lag_knobs_move_the_precursor() -> None:
    series = load_caster(small(min_lag=30, max_lag=30, min_length=150, p_high=0.9))
    length = (series.truth["event_stop"] - series.truth["event_start"])[series.truth["precursor"] == VISIBLE]
    run = length - 30 - 4 - 7
    assert run.min() >= 2 * 3 and run.max() <= 2 * 5


def test_hidden_share_lowers_the_ceiling_but_not_the_oracle() -> None:
    clear, foggy = (
        load_caster(CasterConfig(sequences=6000, hidden_share=share, max_length=100, decoys=0.0))
        for share in (0.0, 0.5)
    )
    assert clear.info["ceiling"]["auc_roc"] == pytest.approx(clear.info["oracle"]["auc_roc"], abs=1e-9)
    assert foggy.info["ceiling"]["auc_roc"] < clear.info["ceiling"]["auc_roc"] - 0.1
    assert foggy.info["oracle"]["auc_roc"] == pytest.approx(clear.info["oracle"]["auc_roc"], abs=0.03)


def test_drift_moves_late_heats_only() -> None:
    still, drifting = load_caster(small()), load_caster(small(drift=2.0))
    np.testing.assert_array_equal(still.targets, drifting.targets)
    change = drifting.unit_values(399) - still.unit_values(399)
    assert change[:, 0] == pytest.approx(np.full(len(change), 2.0), abs=1e-3)  # mm: 2 deviations
    np.testing.assert_array_equal(drifting.unit_values(0), still.unit_values(0))


def test_rows_and_heats_knobs() -> None:
    series = load_caster(small(rows=5, heats=7, min_length=120))
    assert len(series.schema.features) == 10 and series.schema.features[-1] == "thermocouple_row5"
    assert len(np.unique(series.groups)) == 7
    assert len(np.unique(load_caster(small(sequences=5, heats=9)).groups)) == 5


def test_probabilities_at_their_bounds() -> None:
    series = load_caster(small(p_low=0.0, hidden_share=0.0))
    assert series.unit_labels()[series.truth["precursor"] == NONE].sum() == 0
    alone = load_caster(small(sequences=1, heats=1, p_low=0.0, p_high=0.0))
    assert alone.info["ceiling"] == {"auc_roc": None, "auc_pr": None}


def test_noise_is_stationary_and_independent_between_sequences() -> None:
    lengths = np.full(4000, 60)
    offsets = np.arange(4001) * 60
    noise = caster._noise(0.9, lengths, offsets, np.random.default_rng(0)).reshape(4000, 60)
    np.testing.assert_allclose(noise.std(0), 1.0, atol=0.06)
    assert np.corrcoef(noise[:, 20], noise[:, 21])[0, 1] == pytest.approx(0.9, abs=0.02)
    assert np.corrcoef(noise[:-1, -1], noise[1:, 0])[0, 1] == pytest.approx(0.0, abs=0.06)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"rows": 1}, r"data\.caster\.rows.*1.*at least 2"),
        ({"min_lag": 20, "max_lag": 10}, r"max_lag' is 10.*min_lag, 20"),
        ({"min_length": 300, "max_length": 200}, r"max_length' is 200.*min_length, 300"),
        ({"min_length": 40}, r"min_length' is 40.*needs 89 steps"),
    ],
)
def test_contradictory_knobs_are_refused(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_caster(small(**knobs))


def test_shortest_allowed_length_holds_every_event() -> None:
    config = small(min_length=longest_span(small()), max_length=longest_span(small()), decoys=3.0)
    rng = np.random.default_rng(1)
    lengths = np.full(400, config.min_length)
    events = plan_events(config, lengths, np.arange(400) % 2 == 0, rng)
    last = np.maximum(events.surge, events.rise.max(1))
    assert (last < config.min_length - caster_events.MARGIN).all()
    assert np.bincount(events.unit, minlength=400).min() >= 1
