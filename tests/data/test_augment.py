from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_seq.config import AugmentConfig
from keras_seq.data import augment
from keras_seq.data.augment import Augmenter
from keras_seq.data.spec import DataSpec, Scaling, WordColumn

BATCH, TIME, FEATURES = 64, 40, 3
SEED = tf.constant([3, 7], tf.int64)


def a_batch(seed=0, missing=True):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(10, TIME + 1, BATCH).astype(np.int32)
    values = rng.normal(100, [1, 5, 0.1], (BATCH, TIME, FEATURES)).astype(np.float32)
    if missing:
        values[rng.random(values.shape) < 0.1] = np.nan
    values[np.arange(TIME) >= lengths[:, None]] = 0.0
    return values, lengths


def a_spec(task="binary", **kwargs):
    scaling = Scaling(center=((100.0,) * 3,), scale=((1.0, 5.0, 0.1),), fill=(100.0,) * 3)
    fields = {"time": TIME, "variable_length": True, "classes": ("a", "b"), **kwargs}
    return DataSpec(task=task, features=("a", "b", "c"), targets=("y",), scaling=scaling, **fields)


def check_padding(values, lengths):
    assert not values[np.arange(values.shape[1]) >= np.asarray(lengths)[:, None]].any()


def test_jitter_is_measured_in_feature_deviations():
    values, lengths = a_batch()
    changed = augment.jitter(values, lengths, 0.5 * np.array([1, 5, 0.1], np.float32), SEED).numpy()
    noise = (changed - values)[np.arange(TIME) < lengths[:, None]]
    np.testing.assert_allclose(np.nanstd(noise, axis=0), [0.5, 2.5, 0.05], rtol=0.1)
    np.testing.assert_array_equal(np.isnan(changed), np.isnan(values))
    check_padding(changed, lengths)


def test_scaling_keeps_each_mean_and_stretches_around_it():
    values, lengths = a_batch(missing=False)
    changed = augment.scaling(values, lengths, 0.2, SEED).numpy()
    for k in range(5):
        own, new = values[k, : lengths[k]], changed[k, : lengths[k]]
        np.testing.assert_allclose(new.mean(axis=0), own.mean(axis=0), rtol=1e-5)
        ratio = (new - own.mean(axis=0)) / (own - own.mean(axis=0))
        np.testing.assert_allclose(ratio, np.broadcast_to(np.median(ratio, axis=0), ratio.shape), rtol=0.05)
    check_padding(changed, lengths)


def test_time_warp_keeps_order_and_both_ends():
    _, lengths = a_batch()
    positions = augment.time_warp(lengths, TIME, 0.5, SEED).numpy()
    for k, length in enumerate(lengths):
        speed = np.diff(positions[k, :length])
        assert positions[k, 0] == 0 and positions[k, length - 1] == pytest.approx(length - 1, abs=1e-3)
        assert (speed > 0.4).all() and (speed < 1.6).all()
    assert np.abs(positions - np.arange(TIME))[:, : lengths.min()].max() > 0.5


@pytest.mark.parametrize("keep_end", [True, False])
def test_window_slice_reads_consecutive_real_steps(keep_end):
    _, lengths = a_batch()
    positions, kept = (
        t.numpy() for t in augment.window_slice(lengths, TIME, 0.5, SEED, keep_end=keep_end, stretch=False)
    )
    last = positions[np.arange(BATCH), kept - 1]
    assert (kept >= lengths * 0.5).all() and (kept <= lengths).all() and (kept < lengths).any()
    assert (positions[:, 0] >= 0).all() and (last <= lengths - 1).all()
    assert (np.diff(positions, axis=1) == 1).all()
    assert (last == lengths - 1).all() == keep_end


def test_stretched_slices_keep_the_length_and_the_end():
    lengths = np.full(BATCH, TIME, np.int32)
    positions, kept = augment.window_slice(lengths, TIME, 0.5, SEED, keep_end=True, stretch=True)
    np.testing.assert_array_equal(kept, lengths)
    np.testing.assert_allclose(positions.numpy()[:, -1], TIME - 1, atol=1e-3)


def test_resample_interpolates_and_takes_the_nearer_step_beside_a_gap():
    values = np.array([[[0.0], [10.0], [np.nan], [30.0], [0.0]]], np.float32)
    positions = np.array([[0.0, 0.25, 1.4, 2.6, 3.0]], np.float32)
    changed = augment.resample(values, positions, np.array([4])).numpy()[0, :, 0]
    np.testing.assert_allclose(changed, [0.0, 2.5, 10.0, 30.0, 0.0])  # the last is padding
    assert np.isnan(augment.resample(values, positions + 0.7, np.array([4])).numpy()[0, 2, 0])


def test_mixup_blends_values_and_targets_by_the_same_share():
    values = np.zeros((BATCH, TIME, 1), np.float32)
    targets = (np.arange(BATCH) % 2).astype(np.float32)[:, None]
    values[:] = targets[:, None]
    lengths = np.full(BATCH, TIME, np.int32)
    mixed, soft = augment.mixup(values, lengths, targets, 0.5, SEED, chosen=np.ones(BATCH, bool))
    np.testing.assert_allclose(mixed.numpy()[:, :, 0], np.broadcast_to(soft.numpy(), (BATCH, TIME)), atol=1e-6)
    assert ((soft.numpy() > 0.01) & (soft.numpy() < 0.99)).any()
    assert (np.abs(soft.numpy() - targets) <= 0.5 + 1e-6).all()  # the own share is at least one half


def test_mixup_leaves_steps_the_other_does_not_have_and_gaps():
    values, lengths = a_batch()
    targets = np.zeros((BATCH, 1), np.float32)
    mixed, _ = augment.mixup(values, lengths, targets, 1.0, SEED, chosen=np.ones(BATCH, bool))
    np.testing.assert_array_equal(np.isnan(mixed.numpy()), np.isnan(values))
    check_padding(mixed.numpy(), lengths)
    assert np.nanmin(np.where(np.arange(TIME)[None, :, None] < lengths[:, None, None], mixed.numpy(), 100)) > 50


FULL = AugmentConfig(jitter=0.2, scaling=0.1, time_warp=0.3, window_slice=0.3, mixup=0.4)


def apply(config, spec, targets, seed=SEED, rarest=1):
    values, lengths = a_batch()
    weights = tf.ones(tf.shape(targets)[:2] if spec.per_step else BATCH)
    augmenter = Augmenter(config, spec, keep_end=False, rarest=rarest)
    return values, lengths, augmenter({"values": values, "lengths": lengths}, tf.constant(targets), weights, seed)


def test_only_the_rarest_class_changes():
    targets = (np.arange(BATCH) % 4 == 0).astype(np.float32)[:, None]
    config = FULL.model_copy(update={"minority_only": True})
    values, lengths, (inputs, soft, _) = apply(config, a_spec(), targets)
    rare = targets[:, 0] == 1
    np.testing.assert_array_equal(inputs["values"].numpy()[~rare], values[~rare])
    np.testing.assert_array_equal(inputs["lengths"].numpy()[~rare], lengths[~rare])
    np.testing.assert_allclose(soft.numpy(), targets, atol=1e-6)  # blended among themselves
    changed = inputs["values"].numpy()[rare] != values[rare]
    assert changed.any(axis=(1, 2)).all()
    check_padding(inputs["values"].numpy(), inputs["lengths"].numpy())


def test_everything_at_once_is_a_function_of_the_seed():
    targets = np.zeros((BATCH, 1), np.float32)
    first, again, other = (
        apply(FULL, a_spec(), targets, seed=s)[2][0]["values"].numpy() for s in (SEED, SEED, SEED + 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(np.nan_to_num(first), np.nan_to_num(other))


def test_mixup_of_classes_gives_probabilities():
    targets = (np.arange(BATCH) % 3).astype(np.int32)
    _, _, (_, soft, _) = apply(FULL, a_spec("multiclass", classes=("a", "b", "c")), targets)
    assert soft.shape == (BATCH, 3)
    np.testing.assert_allclose(soft.numpy().sum(axis=1), 1, atol=1e-5)


def test_targets_per_step_move_with_the_values():
    spec = a_spec("regression", per_step=True, classes=())
    config = AugmentConfig(time_warp=0.4, window_slice=0.3)
    values, lengths = a_batch(missing=False)
    values[:, :, 0] = np.where(np.arange(TIME) < lengths[:, None], np.arange(TIME) + 1.0, 0.0)
    targets = values[:, :, :1].copy()
    weights = (np.arange(TIME) < lengths[:, None]).astype(np.float32)
    augmenter = Augmenter(config, spec, keep_end=False)
    inputs, moved, kept = augmenter({"values": values, "lengths": lengths}, targets, weights, SEED)
    np.testing.assert_allclose(moved.numpy()[:, :, 0], inputs["values"].numpy()[:, :, 0], atol=1e-4)
    np.testing.assert_array_equal(kept.numpy(), np.arange(TIME) < inputs["lengths"].numpy()[:, None])


def test_off_by_default():
    assert not Augmenter(AugmentConfig(), a_spec(), keep_end=True).active


LEVEL, GAP = 1000.0, 0.0  # known targets lie near the level; the pipeline writes 0 for a missing one


def gappy_batch(shape):
    """Targets near 1000 with a fifth missing (0 and weight 0): targets and weights; weights lack the last axis."""
    rng = np.random.default_rng(5)
    known = rng.random(shape[:2] if len(shape) == 3 else shape[:1]) > 0.2
    targets = np.where(known.reshape(*known.shape, 1), rng.normal(LEVEL, 1, shape), GAP).astype(np.float32)
    return targets, known.astype(np.float32)


ALONE = {
    "jitter": {"jitter": 0.3},
    "scaling": {"scaling": 0.3},
    "time warp": {"time_warp": 0.5},
    "window slice": {"window_slice": 0.5},
    "mixup": {"mixup": 1.0},
    "all": {"jitter": 0.2, "scaling": 0.1, "time_warp": 0.4, "window_slice": 0.4, "mixup": 0.4},
}


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("variable", [True, False])
@pytest.mark.parametrize("kind", ["per window", "per step", "horizon"])
def test_missing_targets_stay_missing_and_known_ones_are_never_blended_with_them(name, variable, kind):
    shape = {"per window": (BATCH, 1), "per step": (BATCH, TIME, 1), "horizon": (BATCH, 5, 1)}[kind]
    targets, weights = gappy_batch(shape)
    if kind == "horizon":
        weights = weights.all(axis=1).astype(np.float32)
    spec = a_spec("regression", per_step=kind == "per step", variable_length=variable, classes=())
    values, lengths = a_batch() if variable else (a_batch()[0], np.full(BATCH, TIME, np.int32))
    if kind == "per step":
        weights *= np.arange(TIME) < lengths[:, None]
        targets *= weights[:, :, None]
    inputs = {"values": values} | ({"lengths": lengths} if variable else {})
    augmenter = Augmenter(AugmentConfig(**ALONE[name]), spec, keep_end=False)
    inputs, changed, kept = augmenter(inputs, tf.constant(targets), tf.constant(weights), SEED)
    changed, kept = changed.numpy(), kept.numpy()
    assert set(np.unique(kept)) <= {0.0, 1.0} and kept.sum() > 0
    assert (np.abs(changed[kept > 0] - LEVEL) < 10).all()
    if kind != "per step":
        np.testing.assert_array_equal(kept, weights)
    else:
        real = np.arange(TIME) < np.asarray(inputs.get("lengths", lengths))[:, None]
        assert not kept[~real].any()
        assert 0.7 < kept[real].mean() < 0.9  # a fifth is missing, before and after


def test_mixup_leaves_a_sample_as_it_is_where_the_other_has_no_target():
    targets, weights = gappy_batch((BATCH, 2))
    values, lengths = a_batch(missing=False)
    everything = np.ones(BATCH, bool)
    mixed, soft = augment.mixup(values, lengths, targets, 1.0, SEED, chosen=everything, known=weights > 0)
    blended = (np.abs(soft.numpy() - targets) > 1e-3).any(axis=1)
    assert blended.any() and not blended[weights == 0].any()
    same = (mixed.numpy() == values).all(axis=(1, 2))
    known = weights > 0
    np.testing.assert_array_equal(same[known], ~blended[known])


def test_codes_of_words_move_in_time_and_are_never_changed_or_blended():
    column = WordColumn(feature=1, vocabulary=("a", "b", "c"), seen=(1, 2, 3))
    spec = a_spec().model_copy(update={"words": (column,)})
    values, lengths = a_batch()
    codes = np.random.default_rng(1).integers(0, 4, values.shape[:2])
    values[:, :, 1] = np.where(np.arange(TIME) < lengths[:, None], codes, 0)
    targets = tf.ones((BATCH, 1))
    inputs = {"values": values, "lengths": lengths}
    changed, _, _ = Augmenter(FULL, spec, keep_end=False)(inputs, targets, tf.ones(BATCH), SEED)
    assert set(np.unique(changed["values"].numpy()[:, :, 1])) == {0.0, 1.0, 2.0, 3.0}
    still = FULL.model_copy(update={"time_warp": 0.0, "window_slice": 0.0})
    changed, _, _ = Augmenter(still, spec, keep_end=False)(inputs, targets, tf.ones(BATCH), SEED)
    np.testing.assert_array_equal(changed["values"].numpy()[:, :, 1], values[:, :, 1])
    assert (changed["values"].numpy()[:, :, 0] != values[:, :, 0]).any()
