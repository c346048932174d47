"""What is explained: one number of a model's answer, chosen before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError, nearest

Scale = Literal["output", "logit"]
SMALLEST = 1e-6  # probabilities are kept so far from 0 and 1 before their logit is taken


@dataclass(frozen=True)
class OutputTarget:
    """One number ``sum of weights * outputs`` of a model's answer, or its logit.

    Attributes:
        name: for people.
        weights: over the flattened output ``(outputs,)``, or None: each sample's own called class.
        scale: ``logit``: log-odds of the probability.
        unit: of the number.
    """

    name: str
    weights: tuple[float, ...] | None
    scale: Scale = "output"
    unit: str = ""

    def select(self, outputs: NDArray[Any]) -> NDArray[np.float32]:
        """Weights of every sample ``(samples, outputs)``, given their answers ``(samples, outputs)``."""
        if self.weights is None:
            return np.eye(outputs.shape[1], dtype=np.float32)[outputs.argmax(1)]
        return np.tile(np.asarray(self.weights, np.float32), (len(outputs), 1))

    def number(self, outputs: NDArray[Any], select: NDArray[Any]) -> NDArray[np.float64]:
        """The number explained, ``(samples,)``."""
        chosen = (np.asarray(outputs, np.float64) * select).sum(1)
        if self.scale == "logit":
            chosen = np.clip(chosen, SMALLEST, 1 - SMALLEST)
            chosen = np.log(chosen) - np.log1p(-chosen)
        return chosen


def in_steps(count: int) -> str:
    """``1 step``, ``2 steps``."""
    return f"{count} step{'' if count == 1 else 's'}"


def make_target(
    spec: DataSpec,
    *,
    quantiles: Sequence[float] = (),
    target_unit: str = "",
    class_name: str | None = None,
    target: str | None = None,
    ahead: int | None = None,
    level: float | None = None,
    scale: Scale = "output",
) -> OutputTarget:
    """The number that is explained, as people name it.

    Args:
        spec: of the model.
        quantiles: levels of a quantile model.
        target_unit: physical unit of the targets.
        class_name: class of a classifier; None: the positive one, or each sample's own called class.
        target: one of the targets; None: the first.
        ahead: step of a forecast, from 1; None: the mean over the horizon.
        level: of the quantiles; None: nearest to the median.
        scale: ``logit`` explains log-odds, which do not saturate.

    Raises:
        ConfigError: an option that does not fit the model; names what does.
    """
    _refuse_foreign(spec, quantiles, class_name=class_name, target=target, ahead=ahead, level=level, scale=scale)
    if spec.classifies:
        return _of_class(spec, class_name, scale)
    place = spec.targets.index(target) if target else 0
    shape = (spec.horizon, len(spec.targets)) if spec.task == "forecast" else (len(spec.targets),)
    name = spec.targets[place]
    weights = np.zeros(shape)
    if spec.task == "forecast":
        weights[slice(None) if ahead is None else ahead - 1, place] = 1.0
        some = ahead or spec.horizon
        name += f", {'mean of ' if ahead is None and some > 1 else ''}{in_steps(some)} ahead"
    else:
        weights[place] = 1.0
    weights /= weights.sum()
    if quantiles:
        nearest_level = int(np.argmin(np.abs(np.array(quantiles) - (0.5 if level is None else level))))
        one = np.eye(len(quantiles))[nearest_level]
        weights = weights[..., None] * one if spec.task == "forecast" else one
        name = f"{quantiles[nearest_level]:g} quantile of {name}"
    return OutputTarget(name, tuple(weights.ravel().tolist()), unit=target_unit)


def _of_class(spec: DataSpec, class_name: str | None, scale: Scale) -> OutputTarget:
    what = "log-odds" if scale == "logit" else "probability"
    if spec.task == "binary":
        names = spec.classes or ("0", "1")
        chosen = class_name or names[1]
        if chosen not in names:
            raise ConfigError(f"Option '--class': there is no class '{chosen}'{nearest(chosen, names)}")
        if chosen != names[1]:
            raise ConfigError(
                f"Option '--class': a binary model answers for class '{names[1]}' only; attributions for '{chosen}' "
                "are the same with the opposite sign."
            )
        return OutputTarget(f"{what} of '{chosen}'", (1.0,), scale)
    if class_name is None:
        return OutputTarget(f"{what} of the called class", None, scale)
    if class_name not in spec.classes:
        raise ConfigError(
            f"Option '--class': the model has not seen a class '{class_name}'{nearest(class_name, spec.classes)}"
        )
    weights = np.eye(len(spec.classes))[spec.classes.index(class_name)]
    return OutputTarget(f"{what} of '{class_name}'", tuple(weights.tolist()), scale)


def _refuse_foreign(
    spec: DataSpec,
    quantiles: Sequence[float],
    *,
    class_name: str | None,
    target: str | None,
    ahead: int | None,
    level: float | None,
    scale: Scale,
) -> None:
    classes = spec.classifies
    if scale not in ("output", "logit"):
        raise ConfigError(f"Option '--scale' is '{scale}'; it can be output or logit.")
    if class_name is not None and not classes:
        raise ConfigError(f"Option '--class': task '{spec.task}' has no classes; leave it out.")
    if scale == "logit" and not classes:
        raise ConfigError(f"Option '--scale logit' is for probabilities; task '{spec.task}' answers numbers.")
    if target is not None and (classes or target not in spec.targets):
        raise ConfigError(f"Option '--target': there is no target '{target}'{nearest(target, spec.targets)}")
    if ahead is not None and not (spec.task == "forecast" and 1 <= ahead <= spec.horizon):
        expected = f"1 to {spec.horizon}" if spec.task == "forecast" else f"nothing, for task '{spec.task}'"
        raise ConfigError(f"Option '--ahead' is {ahead}; expected {expected}.")
    if level is not None and not any(abs(level - known) < 1e-9 for known in quantiles):
        known = ", ".join(f"{q:g}" for q in quantiles) or "none"
        raise ConfigError(f"Option '--level' is {level:g}; the model's quantiles are: {known}.")
