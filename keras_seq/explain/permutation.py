"""Permutation importance (Breiman, 2001) of groups of sensors: how much worse the model is without what they tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ConfigError, DataError, nearest
from keras_seq.explain.background import from_windows
from keras_seq.explain.masked_model import MaskedModel
from keras_seq.explain.samples import Samples
from keras_seq.training.metrics import deviations

if TYPE_CHECKING:
    from keras_seq.data.spec import DataSpec
    from keras_seq.explain.background import Background


@dataclass(frozen=True)
class PermutationImportance:
    """Loss with a group's values taken from other samples.

    Attributes:
        group: name.
        loss: of the model as it is.
        increase: mean over repeats of the loss with the group permuted, less ``loss``.
        deviation: over repeats.
    """

    group: str
    loss: float
    increase: float
    deviation: float


def permutation_importance(
    masked: MaskedModel,
    groups: Mapping[str, Sequence[str]] | None = None,
    *,
    repeats: int = 5,
    seed: int = 0,
    quantiles: Sequence[float] = (),
    target_cap: float | None = None,
) -> list[PermutationImportance]:
    """Groups by how much the loss rises when their values come from another sample, aligned step for step.

    The loss is log loss for classes, root mean squared error else (of the middle quantile).

    Args:
        masked: samples with known truth, and the model.
        groups: features by name of the group; None: every feature alone.
        repeats: permutations of every group.
        seed: of the permutations.
        quantiles: of a quantile model.
        target_cap: truth is capped here, as in training.

    Raises:
        DataError: fewer than two samples with known truth.
        ConfigError: an unknown feature in a group.
    """
    spec = masked.explained.spec
    groups = groups or {name: (name,) for name in spec.features}
    for name, members in groups.items():
        for member in members:
            if member not in spec.features:
                raise ConfigError(f"Group '{name}' names '{member}'{nearest(member, spec.features)}")
    known = _judged(masked.samples)
    samples = masked.samples.take(known)
    loss = _loss_of(spec, samples.truth, quantiles, target_cap)
    before = loss(masked.outputs[known])
    others = from_windows(samples.values, samples.lengths, spec, count=len(samples))
    rng, importances = np.random.default_rng(seed), []
    with masked.ticker.stage("permutation importance", len(groups) * repeats) as tick:
        orders = [_derangement(len(samples), rng) for _ in range(repeats)]
        aligned = [_aligned(samples, others, order, spec) for order in orders]
        for name, members in groups.items():
            columns = [spec.features.index(member) for member in members]
            losses = []
            for values in aligned:
                changed = samples.values.copy()
                changed[:, :, columns] = values[:, :, columns]
                losses.append(loss(masked.explained.outputs(changed, samples.lengths)))
                tick()
            importances.append(
                PermutationImportance(name, before, float(np.mean(losses)) - before, float(np.std(losses)))
            )
    return sorted(importances, key=lambda one: -one.increase)


def _judged(samples: Samples) -> NDArray[np.int64]:
    if samples.truth is not None:
        known = np.isfinite(samples.truth.reshape(len(samples), -1)).all(1) & (samples.lengths > 0)
        if known.sum() >= 2:
            return np.flatnonzero(known)
    raise DataError(
        "Permutation importance needs at least two samples whose truth is known; take another --part or more --samples."
    )


def _derangement(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A random order in which nobody stays: a cycle."""
    cycle = rng.permutation(count)
    order = np.empty(count, np.int64)
    order[cycle] = np.roll(cycle, 1)
    return order


def _aligned(samples: Samples, others: Background, order: NDArray[np.int64], spec: DataSpec) -> NDArray[np.float32]:
    """Each sample's stand-in: the windows in another order, laid beside step for step."""
    from dataclasses import replace

    aligned = np.zeros_like(samples.values)
    for k, other in enumerate(order):
        real = int(samples.lengths[k])
        own = slice(other, other + 1)
        one = replace(others, values=others.values[own], lengths=others.lengths[own], count=1)
        sample = samples.values[k, :real]
        aligned[k, :real] = np.where(np.isfinite(sample), one.beside(sample)[0], np.nan)
    return aligned


def _loss_of(
    spec: DataSpec, truth: NDArray[Any] | None, quantiles: Sequence[float], cap: float | None
) -> Callable[[NDArray[Any]], float]:
    assert truth is not None  # checked before
    known = truth if cap is None else np.minimum(truth, cap)
    if spec.classifies:
        label = known.reshape(len(known), -1)[:, 0].astype(int)

        def log_loss(outputs: NDArray[Any]) -> float:
            positive = np.stack([1 - outputs[:, 0], outputs[:, 0]], 1) if spec.task == "binary" else outputs
            return float(-np.log(np.clip(positive[np.arange(len(label)), label], 1e-7, 1)).mean())

        return log_loss

    unit = np.tile(deviations(spec.target_std), max(spec.horizon, 1)) if len(spec.target_std) > 1 else np.ones(1)

    def rmse(outputs: NDArray[Any]) -> float:
        if quantiles:
            middle = int(np.argmin(np.abs(np.array(quantiles) - 0.5)))
            outputs = outputs.reshape(len(outputs), -1, len(quantiles))[:, :, middle]
        error = outputs.reshape(len(known), -1) - known.reshape(len(known), -1)
        return float(np.sqrt(np.mean((error / unit) ** 2)))

    return rmse
