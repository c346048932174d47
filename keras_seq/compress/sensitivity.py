"""How much each layer bears: the validation metric with only that layer pruned or rounded, no fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_seq.compress.kernels import compressible
from keras_seq.compress.scoring import Scorer, prune_once, relative_loss, round_int8

SHARES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Sensitivity:
    """Sensitivity of each layer, as measured.

    Attributes:
        metric: name of the metric.
        before: its value of the model as it is.
        weights: kernel weights by layer.
        pruned: relative loss by layer and share of zeros.
        rounded: relative loss by layer with int8 kernels.
    """

    metric: str
    before: float
    weights: dict[str, int]
    pruned: dict[str, dict[float, float]]
    rounded: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        layers = [
            {
                "layer": name,
                "weights": self.weights[name],
                "int8": self.rounded[name],
                "pruned": {f"{share:g}": loss for share, loss in self.pruned[name].items()},
            }
            for name in self.weights
        ]
        return {"metric": self.metric, "before": self.before, "layers": layers}

    def to_markdown(self) -> str:
        """A table: relative loss of the metric."""
        shares = next(iter(self.pruned.values()))
        head = ["layer", "weights", "int8", *(f"{share:.0%} zeros" for share in shares)]
        rows = [
            [name, str(count), f"{self.rounded[name]:+.2%}", *(f"{loss:+.2%}" for loss in self.pruned[name].values())]
            for name, count in self.weights.items()
        ]
        lines = [head, ["---"] * len(head), *rows]
        title = f"Loss of {self.metric} on validation ({self.before:.5g}) when only this layer is changed:\n\n"
        return title + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def measure(model: keras.Model, scorer: Scorer, shares: Sequence[float] = SHARES) -> Sensitivity:
    """Change one layer at a time; the model is left as it was.

    Args:
        model: of ``scorer``.
        scorer: its validation metric.
        shares: of zeros to try, rising.
    """
    before, pruned, rounded, weights = scorer(), {}, {}, {}

    def loss(variables: list[Any], values: list[np.ndarray]) -> float:
        own = [variable.numpy() for variable in variables]
        _assign(variables, values)
        try:
            return relative_loss(scorer.metric, before, scorer())
        finally:
            _assign(variables, own)

    for name, kernels in compressible(model).items():
        values = [kernel.numpy() for kernel in kernels]
        weights[name] = int(sum(value.size for value in values))
        pruned[name] = {share: loss(kernels, prune_once(values, share)) for share in shares}
        rounded[name] = loss(kernels, [round_int8(value) for value in values])
    return Sensitivity(scorer.metric, before, weights, pruned, rounded)


def choose_sparsity(sensitivity: Sensitivity, target: float) -> dict[str, float]:
    """Sparsity by layer that gives ``target`` in all, with the largest loss of a single layer as small as it can be.

    Each layer takes the highest share whose measured loss is within a common bound, and the bound is the smallest
    that reaches the target; what goes beyond the target is taken from the layer that it hurts most.

    Args:
        sensitivity: from ``measure``.
        target: share of zeros over all layers; at most the largest share measured.
    """
    total = sum(sensitivity.weights.values())

    def within(bound: float) -> dict[str, float]:
        return {
            name: max((share for share, loss in losses.items() if loss <= bound), default=0.0)
            for name, losses in sensitivity.pruned.items()
        }

    def reached(chosen: Mapping[str, float]) -> float:
        return sum(chosen[name] * count for name, count in sensitivity.weights.items()) / total

    bounds = sorted(loss for losses in sensitivity.pruned.values() for loss in losses.values())
    chosen = next((within(bound) for bound in bounds if reached(within(bound)) >= target), within(np.inf))
    hurt = max((name for name in chosen if chosen[name]), key=lambda name: sensitivity.pruned[name][chosen[name]])
    surplus = (reached(chosen) - target) * total / sensitivity.weights[hurt]
    return {**chosen, hurt: max(chosen[hurt] - max(surplus, 0.0), 0.0)}


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
