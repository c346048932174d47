"""Random changes of training batches, inside the graph: jitter, scaling, time warp, window slice, mixup.

Every function works on ``values (batch, time, features)`` in raw units with ``lengths (batch,)`` int32
real steps each, leaves padding at zero and missing values and targets missing, and depends only on its ``seed``
(``(2,)``, of tf's stateless generators), so a resumed run sees the changes it would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_seq.config import AugmentConfig
from keras_seq.data.spec import DataSpec

Tensor: TypeAlias = tf.Tensor


@dataclass(frozen=True)
class Augmenter:
    """Augmentation of training batches: all configured changes, applied to one batch.

    Attributes:
        config: how strong each change is.
        spec: task, classes and the fitted scale that measures the jitter.
        keep_end: the target belongs to the window's last step, so slices cut only the beginning.
        rarest: class number that ``minority_only`` means.
    """

    config: AugmentConfig
    spec: DataSpec
    keep_end: bool
    rarest: int = 1

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        amounts = ("jitter", "scaling", "time_warp", "window_slice", "mixup")
        return any(getattr(self.config, name) > 0 for name in amounts)

    @property
    def words(self) -> NDArray[np.bool_]:
        """``(features,)``: columns of codes, moved in time with their rows, never changed or blended."""
        return np.isin(np.arange(len(self.spec.features)), [column.feature for column in self.spec.words])

    def __call__(
        self, inputs: dict[str, Tensor], targets: Tensor, weights: Tensor, seed: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Change a batch ``(inputs, targets, weights)`` as the pipeline yields it; same shapes.

        With mixup the targets of a multiclass task become float32 ``(batch, classes)`` probabilities.
        """
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 6))
        values = inputs["values"]
        lengths = inputs.get("lengths", tf.fill(tf.shape(values)[:1], tf.shape(values)[1]))
        chosen = self._chosen(targets)
        config, deviation = self.config, np.mean(np.array(self.spec.scaling.scale, np.float32), axis=0)
        if config.time_warp or config.window_slice:
            values, lengths, targets, weights = self._retime(values, lengths, targets, weights, chosen, seeds[:3])
        if config.scaling:
            stretched = scaling(values, lengths, config.scaling, seeds[3])
            values = tf.where(chosen[:, None, None] & ~self.words, stretched, values)
        if config.jitter:
            noisy = jitter(values, lengths, config.jitter * deviation, seeds[4])
            values = tf.where(chosen[:, None, None] & ~self.words, noisy, values)
        if config.mixup:
            if self.spec.task == "multiclass":
                targets = tf.one_hot(targets, len(self.spec.classes) or int(self.rarest) + 1)
            known = tf.greater(weights, 0)
            if self.spec.horizon:  # a horizon known in part stays as it is
                known = tf.reduce_all(known, axis=1)
                chosen &= known | tf.reduce_all(tf.equal(weights, 0), axis=1)
            mixed, targets = mixup(
                values,
                lengths,
                targets,
                config.mixup,
                seeds[5],
                chosen=chosen,
                known=known,
                per_step=self.spec.per_step,
            )
            values = tf.where(self.words, values, mixed)
        changed = {"values": values}
        if "lengths" in inputs:
            changed["lengths"] = lengths
        return changed, targets, weights

    def _chosen(self, targets: Tensor) -> Tensor:
        """``(batch,)`` bool: which samples may change."""
        if not self.config.minority_only or not self.spec.classifies:
            return tf.ones(tf.shape(targets)[:1], tf.bool)
        return tf.equal(tf.cast(tf.reshape(targets, [-1]), tf.int32), self.rarest)

    def _retime(
        self,
        values: Tensor,
        lengths: Tensor,
        targets: Tensor,
        weights: Tensor,
        chosen: Tensor,
        seeds: list[Tensor],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Window slice, then time warp: both only say which (fractional) step is read at each step."""
        time = tf.shape(values)[1]
        positions = tf.tile(tf.range(tf.cast(time, tf.float32))[None], [tf.shape(values)[0], 1])
        new_lengths = lengths
        if self.config.window_slice:
            positions, new_lengths = window_slice(
                lengths,
                time,
                self.config.window_slice,
                seeds[0],
                keep_end=self.keep_end,
                stretch=not self.spec.variable_length,
            )
        if self.config.time_warp:
            warped = time_warp(new_lengths, time, self.config.time_warp, seeds[1])
            positions = tf.squeeze(resample(positions[:, :, None], warped, new_lengths), -1)
        moved = resample(values, positions, lengths, new_lengths)
        if self.spec.words:
            moved = tf.where(self.words, resample(values, tf.round(positions), lengths, new_lengths), moved)
        changed = tf.where(chosen[:, None, None], moved, values)
        real_lengths = tf.where(chosen, new_lengths, lengths)
        if self.spec.per_step:
            if self.spec.classifies:  # there is no class between two
                positions = tf.round(positions)
            own = targets[..., None] if self.spec.task == "multiclass" else targets
            moved, known = _resample_known(tf.cast(own, tf.float32), weights > 0, positions, lengths, new_lengths)
            moved = tf.where(chosen[:, None, None], tf.cast(moved, own.dtype), own)
            targets = tf.reshape(moved, tf.shape(targets))
            weights = tf.where(chosen[:, None], tf.cast(known, tf.float32), weights)
        return changed, real_lengths, targets, weights


def jitter(values: Tensor, lengths: Tensor, deviation: NDArray[np.float32], seed: Tensor) -> Tensor:
    """Add Gaussian noise of ``deviation (features,)``, raw units."""
    noise = tf.random.stateless_normal(tf.shape(values), seed) * deviation
    return values + tf.where(_real(values, lengths), noise, 0.0)


def scaling(values: Tensor, lengths: Tensor, deviation: float, seed: Tensor) -> Tensor:
    """Stretch every feature of a sample around its own mean by a factor of about ``1 +- deviation``.

    Around the mean, not around zero: raw units have arbitrary zeros.
    """
    shape = tf.shape(values)
    known = _real(values, lengths) & tf.math.is_finite(values)
    count = tf.maximum(tf.reduce_sum(tf.cast(known, tf.float32), axis=1, keepdims=True), 1.0)
    mean = tf.reduce_sum(tf.where(known, values, 0.0), axis=1, keepdims=True) / count
    factor = 1.0 + deviation * tf.random.stateless_normal(tf.stack([shape[0], 1, shape[2]]), seed)
    return tf.where(known, mean + (values - mean) * factor, values)


def time_warp(lengths: Tensor, time: Tensor, strength: float, seed: Tensor) -> Tensor:
    """Positions ``(batch, time)`` read by a smoothly varying clock; both ends stay where they are.

    The speed at share ``u`` of the sequence is ``1 + a cos(2 pi (u + phase))`` with ``|a| <= strength < 1``,
    so the order of steps is kept.
    """
    batch = tf.shape(lengths)[0]
    draws = tf.random.stateless_uniform(tf.stack([2, batch, 1]), seed)
    amplitude, phase = strength * (2 * draws[0] - 1), draws[1]
    span = tf.cast(lengths[:, None], tf.float32) - 1.0
    step = tf.range(tf.cast(time, tf.float32))[None]
    share = step / tf.maximum(span, 1.0)
    turn = 2 * math.pi
    shift = amplitude * span / turn * (tf.sin(turn * (share + phase)) - tf.sin(turn * phase))
    return tf.clip_by_value(step + tf.where(step <= span, shift, 0.0), 0.0, tf.maximum(span, 0.0))


def window_slice(
    lengths: Tensor, time: Tensor, share: float, seed: Tensor, *, keep_end: bool, stretch: bool
) -> tuple[Tensor, Tensor]:
    """Keep a random stretch of at least ``1 - share`` of each sample.

    Args:
        lengths: real steps, ``(batch,)``.
        time: steps of the batch.
        share: largest share cut away.
        seed: of the draw.
        keep_end: cut only at the beginning.
        stretch: read the kept steps slower so that the length stays (models of fixed length).

    Returns:
        Positions to read ``(batch, time)`` and new lengths ``(batch,)``.
    """
    draws = tf.random.stateless_uniform(tf.stack([2, tf.shape(lengths)[0]]), seed)
    whole = tf.cast(lengths, tf.float32)
    steps_left = tf.maximum(whole - tf.floor(draws[0] * share * whole), tf.minimum(whole, 2.0))
    begin = whole - steps_left if keep_end else tf.floor(draws[1] * (whole - steps_left + 1.0))
    step = tf.range(tf.cast(time, tf.float32))[None]
    if stretch:
        speed = (steps_left - 1.0) / tf.maximum(whole - 1.0, 1.0)
        return begin[:, None] + step * speed[:, None], lengths
    return begin[:, None] + step, tf.cast(steps_left, tf.int32)


def resample(values: Tensor, positions: Tensor, lengths: Tensor, new_lengths: Tensor | None = None) -> Tensor:
    """Read ``values (batch, time, channels)`` at fractional ``positions (batch, time)``, linearly between steps.

    Where one neighbour is missing the nearer step is taken as it is. Steps from ``new_lengths`` on are zero.
    """
    last = tf.cast(tf.maximum(lengths - 1, 0), tf.float32)[:, None]
    positions = tf.clip_by_value(positions, 0.0, last)
    low = tf.floor(positions)
    part = (positions - low)[:, :, None]
    before = tf.gather(values, tf.cast(low, tf.int32), batch_dims=1)
    after = tf.gather(values, tf.cast(tf.minimum(low + 1.0, last), tf.int32), batch_dims=1)
    between = before + (after - before) * part
    nearer = tf.where(part < 0.5, before, after)
    result = tf.where(tf.math.is_finite(between), between, nearer)
    return tf.where(_real(result, lengths if new_lengths is None else new_lengths), result, 0.0)


def _resample_known(
    targets: Tensor, known: Tensor, positions: Tensor, lengths: Tensor, new_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Targets ``(batch, time, targets)`` read as ``resample`` does, from ``known (batch, time)`` steps only.

    Returns:
        Targets, 0 where the step read is not known, and which ones are known.
    """
    gaps = tf.where(known[:, :, None], targets, tf.constant(math.nan, targets.dtype))
    moved = resample(gaps, positions, lengths, new_lengths)
    known = tf.reduce_all(tf.math.is_finite(moved), axis=-1) & _real(moved, new_lengths)[:, :, 0]
    return tf.where(known[:, :, None], moved, 0.0), known


def mixup(
    values: Tensor,
    lengths: Tensor,
    targets: Tensor,
    alpha: float,
    seed: Tensor,
    *,
    chosen: Tensor,
    known: Tensor | None = None,
    per_step: bool = False,
) -> tuple[Tensor, Tensor]:
    """Blend samples with others of the batch: ``share * own + (1 - share) * other`` (Zhang et al. 2018).

    The share is Beta(alpha, alpha) and at least one half. Steps that the other sample does not have, and
    values missing in it, stay the sample's own, and so does all where the other's target is not known (per step:
    that step). Only ``chosen (batch,)`` samples change, and they are blended among themselves.

    Args:
        values: ``(batch, time, features)``.
        lengths: real steps, ``(batch,)``.
        targets: float ``(batch, ...)``: values, probabilities or one-hot classes.
        alpha: of the Beta distribution.
        seed: of the draw.
        chosen: bool ``(batch,)``.
        known: bool ``(batch,)``, or ``(batch, time)`` per step: which targets are known; None: all.
        per_step: the targets have a time axis.

    Returns:
        Values and soft targets.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    batch = tf.shape(values)[0]
    gammas = tf.random.stateless_gamma(tf.stack([2, batch]), seeds[0], alpha) + 1e-12
    share = gammas[0] / (gammas[0] + gammas[1])
    share = tf.where(chosen, tf.maximum(share, 1.0 - share), 1.0)
    count = tf.reduce_sum(tf.cast(chosen, tf.float32))
    order = tf.argsort(tf.random.stateless_uniform([batch], seeds[1]) + tf.where(chosen, 0.0, 2.0))
    pick = tf.cast(tf.floor(tf.random.stateless_uniform([batch], seeds[2]) * count), tf.int32)
    other = tf.gather(order, tf.minimum(pick, batch - 1))
    known = tf.ones(tf.shape(targets)[: 2 if per_step else 1], tf.bool) if known is None else known
    fits = tf.gather(known, other) | ~known  # a sample without a target of its own may take any values
    if not per_step:
        share, fits = tf.where(fits & known, share, 1.0), fits[:, None]
    both = _real(values, tf.minimum(lengths, tf.gather(lengths, other)))
    partner, partner_targets = tf.gather(values, other), tf.gather(targets, other)
    blend = share[:, None, None]
    there = both & fits[:, :, None] & tf.math.is_finite(partner)
    mixed = tf.where(there, blend * values + (1.0 - blend) * partner, values)
    if per_step:
        both &= (tf.gather(known, other) & known)[:, :, None]
        return mixed, tf.where(both, blend * targets + (1.0 - blend) * partner_targets, targets)
    weight = tf.reshape(share, tf.concat([[batch], tf.ones(tf.rank(targets) - 1, tf.int32)], 0))
    return mixed, weight * targets + (1.0 - weight) * partner_targets


def _real(values: Tensor, lengths: Tensor) -> Tensor:
    """``(batch, time, 1)`` bool: steps before each sample's end."""
    return (tf.range(tf.shape(values)[1])[None] < lengths[:, None])[:, :, None]
