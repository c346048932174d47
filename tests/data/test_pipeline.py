from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.data.epoch_order import epoch_plan
from keras_seq.data.pipeline import make_dataset, steps_per_epoch
from keras_seq.data.scaling import fit_spec
from keras_seq.data.splits import Part, Splits
from keras_seq.data.windows import index_windows
from keras_seq.errors import ConfigError
from tests.factories.series import data_config, make_series


def everything(series):
    return Part(np.arange(series.n_units), series.offsets[:-1], series.offsets[1:])


def setup(series, **sections):
    config = data_config(**sections)
    part = everything(series)
    index = index_windows(series, part, config.windows)
    return series, index, fit_spec(series, Splits(part, part, part, ""), config), config


def batches(made, count=None, **kwargs):
    series, index, spec, config = made
    dataset = make_dataset(series, index, spec, config, **kwargs)
    taken = itertools.islice(dataset.as_numpy_iterator(), count)
    return list(taken)


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(3, 30), min_size=1, max_size=6),
    mode=st.sampled_from(["whole", "sliding", "last"]),
    length=st.integers(1, 20),
    bucket=st.integers(1, 8),
    per_step=st.booleans(),
)
def test_batches_are_exactly_the_rows_of_their_windows(lengths, mode, length, bucket, per_step):
    made = setup(make_series(lengths), windows={"mode": mode, "length": length, "per_step": per_step}, bucket=bucket)
    series, index, spec, _ = made
    number = 0
    for inputs, targets, weights in batches(made, batch_size=4, training=False):
        time = inputs["values"].shape[1]
        assert time <= spec.time and (time == spec.time or time % bucket == 0)
        for k in range(len(weights)):
            start, n = index.start[number], index.length[number]
            np.testing.assert_array_equal(inputs["values"][k, :n], series.values[start : start + n])
            assert not inputs["values"][k, n:].any()
            assert spec.variable_length is ("lengths" in inputs)
            assert n == (inputs["lengths"][k] if spec.variable_length else time)
            if per_step:
                np.testing.assert_array_equal(targets[k, :n], series.targets[start : start + n])
                np.testing.assert_array_equal(weights[k], np.arange(time) < n)
                assert not targets[k, n:].any()
            else:
                np.testing.assert_array_equal(targets[k], series.targets[index.target[number]])
                assert weights[k] == 1
            number += 1
    assert number == len(index)


def test_missing_values_stay_missing_and_padding_is_zero():
    series = make_series([4, 9])
    series.values[3] = np.nan  # the row that padding would repeat
    made = setup(series, bucket=1)
    (inputs, _, _), *_ = batches(made, batch_size=2, training=False)
    assert np.isnan(inputs["values"][0, 3]).all() and not inputs["values"][0, 4:].any()


def test_padding_never_depends_on_neighbouring_rows():
    series = make_series([4, 9, 6])
    changed = dataclasses.replace(series, values=series.values.copy())
    changed.values[4:] += 1000.0
    first, second = (batches(setup(s, bucket=5), batch_size=3, training=False)[0][0] for s in (series, changed))
    np.testing.assert_array_equal(first["values"][0], second["values"][0])


def test_forecast_targets_are_the_steps_after_the_window():
    series = make_series([40], task="forecast")
    made = setup(series, windows={"mode": "sliding", "length": 5, "horizon": 3, "stride": 2})
    for inputs, targets, _ in batches(made, batch_size=4, training=False):
        last = inputs["values"][:, -1, 0]
        np.testing.assert_array_equal(targets[:, :, 0], last[:, None] + np.arange(3))  # targets are row numbers


def test_forecasts_with_a_missing_target_have_no_weight():
    series = make_series([30], task="forecast")
    series.targets[20] = np.nan
    made = setup(series, windows={"mode": "sliding", "length": 5, "horizon": 3})
    (_, targets, weights), *_ = batches(made, batch_size=64, training=False)
    assert np.isfinite(targets).all()
    np.testing.assert_array_equal(weights, made[1].target[:, None] + np.arange(3) != 20)


def test_per_step_targets_of_an_earlier_part_have_no_weight():
    series = make_series([40])
    config = data_config(windows={"mode": "sliding", "length": 10, "per_step": True})
    part = Part(np.array([0]), np.array([25]), np.array([40]))
    index = index_windows(series, part, config.windows)
    spec = fit_spec(series, Splits(part, part, part, ""), config)
    _, targets, weights = next(
        make_dataset(series, index, spec, config, batch_size=99, training=False).as_numpy_iterator()
    )
    assert len(index) == 15
    assert (targets[..., 0][weights > 0] >= 25).all() and (targets[:, -1, 0] >= 25).all()
    assert weights[0].tolist() == [0.0] * 9 + [1.0]


def test_target_shapes_by_task():
    binary = setup(make_series([9] * 6, task="binary", per="unit", labels=[0, 1] * 3))
    (_, targets, _), *_ = batches(binary, batch_size=6, training=False)
    assert targets.dtype == np.float32 and targets[:, 0].tolist() == [0, 1] * 3
    many = setup(make_series([9] * 6, task="multiclass", per="unit", labels=[2, 1, 0] * 2, classes="abc"))
    (_, targets, _), *_ = batches(many, batch_size=6, training=False)
    assert targets.dtype == np.int32 and targets.tolist() == [2, 1, 0] * 2


def test_targets_are_capped_but_the_series_is_not():
    made = setup(make_series([200]), windows={"mode": "sliding", "length": 5}, target_cap=125.0)
    targets = np.concatenate([t for _, t, _ in batches(made, batch_size=50, training=False)])
    assert targets.max() == 125.0 and made[0].targets.max() == 199.0


def numbers(found):
    """Which windows (by last row number) each batch holds."""
    return [inputs["values"][:, -1, 0].astype(int).tolist() for inputs, _, _ in found]


def test_training_order_is_a_new_permutation_each_epoch_and_depends_on_the_seed_alone():
    made = setup(make_series([61]), windows={"mode": "sliding", "length": 5})
    steps = steps_per_epoch(made[1], 8)
    assert steps == 57 // 8
    found = numbers(batches(made, 3 * steps, batch_size=8, training=True, seed=4))
    epochs = [list(itertools.chain(*found[e * steps : (e + 1) * steps])) for e in range(3)]
    for epoch in epochs:
        assert len(set(epoch)) == steps * 8
    assert epochs[0] != epochs[1] != epochs[2]
    assert found == numbers(batches(made, 3 * steps, batch_size=8, training=True, seed=4))
    assert found != numbers(batches(made, 3 * steps, batch_size=8, training=True, seed=5))


@pytest.mark.parametrize("lengths", [[61], [5, 9, 30, 12, 7, 21, 16, 40]])
def test_a_resumed_run_sees_the_batches_it_would_have_seen(lengths):
    sections = {"windows": {"mode": "sliding", "length": 8}, "augment": {"jitter": 0.1, "time_warp": 0.2, "mixup": 0.4}}
    made = setup(make_series(lengths), **sections)
    steps = steps_per_epoch(made[1], 8)
    whole = batches(made, 4 * steps, batch_size=8, training=True, seed=1)
    resumed = batches(made, 2 * steps, batch_size=8, training=True, seed=1, first_epoch=2)
    for (a, y, w), (b, z, v) in zip(whole[2 * steps :], resumed, strict=True):
        np.testing.assert_array_equal(a["values"], b["values"])
        np.testing.assert_array_equal(y, z)
        np.testing.assert_array_equal(w, v)


def test_shuffle_off_keeps_the_order():
    made = setup(make_series([30]), windows={"mode": "sliding", "length": 5}, shuffle=False)
    epoch = batches(made, steps_per_epoch(made[1], 6), batch_size=6, training=True)
    found = list(itertools.chain(*numbers(epoch)))
    assert found == sorted(found)


def test_fewer_windows_than_a_batch_make_one_batch_of_all():
    made = setup(make_series([8] * 3))
    assert steps_per_epoch(made[1], 64) == 1
    found = batches(made, 2, batch_size=64, training=True)
    assert [len(w) for _, _, w in found] == [3, 3]


def test_training_batches_hold_sequences_of_similar_length():
    lengths = np.random.default_rng(0).integers(5, 100, 640)
    plan = epoch_plan(lengths, 8, seed=0, epoch=0, group_lengths=True)
    mixed = epoch_plan(lengths, 8, seed=0, epoch=0)
    padded = [lengths[p].max(axis=1).sum() * 8 / lengths[p].sum() for p in (plan, mixed)]
    assert padded[0] < 1.1 < 1.6 < padded[1]
    assert sorted(plan.ravel()) == list(range(640))
    order = lengths[plan].max(axis=1)
    assert not (np.diff(order) >= 0).all()  # batches come in no order of length


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(1, 40), min_size=2, max_size=4), batch=st.integers(2, 16), epoch=st.integers(0, 3))
def test_oversampling_gives_equal_class_shares_and_uses_all_rare_examples(counts, batch, epoch):
    labels = np.repeat(np.arange(len(counts)), counts)
    plan = epoch_plan(np.ones(len(labels), np.int64), batch, seed=0, epoch=epoch, labels=labels)
    drawn = np.bincount(labels[plan.ravel()], minlength=len(counts))
    assert drawn.max() - drawn.min() <= 1
    per_batch = np.stack([np.bincount(labels[row], minlength=len(counts)) for row in plan])
    assert (per_batch.max(axis=1) - per_batch.min(axis=1) <= 1).all()
    rare = int(np.argmin(counts))
    uses = np.bincount(plan.ravel(), minlength=len(labels))[labels == rare]
    assert uses.max() - uses.min() <= 1


def test_oversampling_needs_classes():
    made = setup(make_series([30]), windows={"mode": "sliding", "length": 5}, balance="oversample")
    with pytest.raises(ConfigError, match="balance=oversample needs classes"):
        batches(made, 1, batch_size=4, training=True)


def test_fixed_windows_have_static_shapes_for_the_compiler():
    series, index, spec, config = setup(make_series([60]), windows={"mode": "sliding", "length": 5})
    element = make_dataset(series, index, spec, config, batch_size=8, training=True).element_spec
    assert element[0]["values"].shape == (8, 5, 2) and element[1].shape == (8, 1)


def test_freed_memory_is_kept_once_and_only_where_that_is_known(monkeypatch):
    import platform
    import sys

    from keras_seq.data.memory import keep_freed_memory

    assert keep_freed_memory() is (sys.platform == "linux" and platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory.__wrapped__() is False


@pytest.mark.parametrize(
    ("lengths", "batch", "sections"),
    [
        ([549], 32, {"windows": {"mode": "sliding", "length": 10}}),  # 540 windows, 28 more than 16 batches
        ([40, 7, 23], 8, {"windows": {"mode": "sliding", "length": 12}}),  # windows of different lengths
        ([50], 7, {"windows": {"mode": "sliding", "length": 9, "per_step": True}}),
        ([8] * 3, 64, {}),  # fewer than a batch
        ([12] * 6, 6, {}),  # no rest
    ],
)
def test_without_shuffle_every_window_weighs_once_in_an_epoch(lengths, batch, sections):
    made = setup(make_series(lengths), shuffle=False, **sections)
    steps = steps_per_epoch(made[1], batch, shuffle=False)
    epochs = batches(made, 2 * steps, batch_size=batch, training=True)
    ends = made[1].start + made[1].length  # feature 0 is the row's number plus one
    for epoch in (epochs[:steps], epochs[steps:]):
        seen = []
        for inputs, _, weights in epoch:
            length = inputs.get("lengths", np.full(len(weights), inputs["values"].shape[1]))
            last = inputs["values"][np.arange(len(weights)), length - 1, 0].astype(int)
            seen += last[weights.reshape(len(weights), -1).any(axis=1)].tolist()
        assert seen == ends.tolist()
    assert len({len(weights) for _, _, weights in epochs}) == 1
