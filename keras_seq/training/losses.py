"""Losses: one number a sample or a real step, averaged over what has weight.

Values are compared in deviations of the training targets (``spec.target_std``), so that learning
rates and Huber's delta mean the same for every data set. ``call`` returns ``(batch,)``, or
``(batch, time)`` where every step of the window or horizon has a target; the reduction is ``sum(w * l) / sum(w)``, so
padding (weight 0) dilutes nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_seq.config import ModelConfig, TrainingConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError
from keras_seq.models.tensor import Tensor
from keras_seq.tasks import TASKS

PHM08_EARLY, PHM08_LATE = 13.0, 10.0  # cycles, Saxena et al. 2008
PHM08_LINEAR_FROM = 3.0  # exponent from which on the score goes on as a straight line


class ConfiguredLoss(keras.losses.Loss):
    """A weighted mean that keeps every constructor argument in an attribute of the same name and saves these."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, reduction="mean_with_sample_weight")

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """As Keras; where ``self.censored``, a weight below 0 marks a lower bound: answers above it cost nothing."""
        if sample_weight is not None and getattr(self, "censored", False):
            bound = sample_weight < 0
            for _ in range(len(y_pred.shape) - len(sample_weight.shape)):
                bound = ops.expand_dims(bound, -1)
            y_pred = ops.where(bound, ops.minimum(y_pred, y_true), y_pred)
            sample_weight = ops.abs(sample_weight)
        return super().__call__(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}


@keras.saving.register_keras_serializable("keras_seq")
class ValueLoss(ConfiguredLoss):
    """Error of values in deviations of the training targets.

    Args:
        kind: name in ``VALUE_ERRORS``.
        std: deviation of each target, raw units, ``(targets,)``.
        per_step: targets are ``(batch, time, targets)`` and each step has a weight of its own.
        delta: Huber's change from square to line, in deviations.
        censored: weights below 0 mark lower bounds; see ``ConfiguredLoss``.
        name: of the loss.
    """

    def __init__(
        self,
        kind: str,
        std: tuple[float, ...],
        *,
        per_step: bool = False,
        delta: float = 1.0,
        censored: bool = False,
        name: str = "value",
    ) -> None:
        super().__init__(name)
        self.kind, self.std, self.per_step, self.delta, self.censored = kind, tuple(std), per_step, delta, censored

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Mean error over targets (and horizon): ``(batch,)`` or ``(batch, time)``."""
        std = ops.convert_to_tensor(self.std, dtype=self.dtype)
        return _mean_of_rest(VALUE_ERRORS[self.kind](y_pred - y_true, std, self.delta), self.per_step)


@keras.saving.register_keras_serializable("keras_seq")
class QuantileLoss(ConfiguredLoss):
    """Pinball loss (Koenker & Bassett 1978) in deviations of the training targets.

    Args:
        quantiles: rising, in (0, 1).
        std: deviation of each target, raw units, ``(targets,)``.
        per_step: each step has a target and a weight of its own.
        censored: weights below 0 mark lower bounds; see ``ConfiguredLoss``.
        name: of the loss.
    """

    def __init__(
        self,
        quantiles: tuple[float, ...],
        std: tuple[float, ...],
        *,
        per_step: bool = False,
        censored: bool = False,
        name: str = "quantile",
    ) -> None:
        super().__init__(name)
        self.quantiles, self.std, self.per_step, self.censored = tuple(quantiles), tuple(std), per_step, censored

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Mean over quantiles, targets and horizon.

        ``y_pred`` is ``(..., targets, quantiles)``, or ``(..., quantiles)`` for one target.
        """
        std = ops.convert_to_tensor(self.std, dtype=self.dtype)
        if len(y_pred.shape) > len(y_true.shape):
            y_true, std = ops.expand_dims(y_true, -1), ops.expand_dims(std, -1)
        difference = (y_true - y_pred) / std
        level = ops.convert_to_tensor(self.quantiles, dtype=self.dtype)
        return _mean_of_rest(ops.maximum(level * difference, (level - 1.0) * difference), self.per_step)


@keras.saving.register_keras_serializable("keras_seq")
class BinaryLoss(ConfiguredLoss):
    """Cross-entropy of a probability, optionally weighted or focal.

    ``w * (1 - p_t)^gamma * -log(p_t)`` with ``p_t`` the probability of the true class and ``w`` the
    positive weight where the truth is 1 (focal loss: Lin et al. 2017, equation 4).

    Args:
        gamma: focusing; 0 is plain cross-entropy.
        positive_weight: weight of positives against negatives.
        smoothing: label smoothing; the truth becomes ``t (1 - s) + s / 2``.
        per_step: each step has a target and a weight of its own.
        name: of the loss.
    """

    def __init__(
        self,
        *,
        gamma: float = 0.0,
        positive_weight: float = 1.0,
        smoothing: float = 0.0,
        per_step: bool = False,
        name: str = "binary",
    ) -> None:
        super().__init__(name)
        self.gamma, self.positive_weight, self.smoothing, self.per_step = gamma, positive_weight, smoothing, per_step

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """``(batch, 1)`` against ``(batch, 1)``: ``(batch,)``; with steps: ``(batch, time)``."""
        weight = 1.0 + (self.positive_weight - 1.0) * y_true
        truth = y_true * (1.0 - self.smoothing) + 0.5 * self.smoothing
        loss = ops.binary_crossentropy(truth, y_pred)  # from the logits where Keras still knows them
        if self.gamma:
            loss = loss * _focus(truth * y_pred + (1.0 - truth) * (1.0 - y_pred), self.gamma)
        return _mean_of_rest(weight * loss, self.per_step)


@keras.saving.register_keras_serializable("keras_seq")
class ClassLoss(ConfiguredLoss):
    """Cross-entropy over classes, optionally focal; the truth is class numbers or shares of classes (mixup).

    Args:
        classes: number of classes.
        gamma: focusing; 0 is plain cross-entropy.
        smoothing: label smoothing; the truth becomes ``t (1 - s) + s / classes``.
        name: of the loss.
    """

    def __init__(self, classes: int, *, gamma: float = 0.0, smoothing: float = 0.0, name: str = "classes") -> None:
        super().__init__(name)
        self.classes, self.gamma, self.smoothing = classes, gamma, smoothing

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Class numbers ``(batch[, time])``, or shares, against ``(batch[, time], classes)``: ``(batch[, time])``."""
        if len(y_true.shape) < len(y_pred.shape):
            y_true = ops.one_hot(ops.cast(y_true, "int32"), self.classes, dtype=self.dtype)
        truth = y_true * (1.0 - self.smoothing) + self.smoothing / self.classes
        loss = ops.categorical_crossentropy(truth, y_pred)
        return loss * _focus(ops.sum(truth * y_pred, axis=-1), self.gamma) if self.gamma else loss


def smooth_phm08(difference: Tensor) -> Tensor:
    """PHM08's score of ``prediction - truth`` in cycles, made fit for gradients.

    ``exp(|d| / 13) - 1`` early, ``exp(|d| / 10) - 1`` late (Saxena et al. 2008), with two changes:
    ``|d|`` is ``sqrt(d^2 + 1) - 1``, which has no kink at 0, and beyond an exponent of 3 (some 30-40
    cycles) the curve goes on along its tangent, so that one bad sample neither overflows nor rules
    the batch.
    """
    size = ops.sqrt(ops.square(difference) + 1.0) - 1.0
    exponent = ops.where(difference < 0, size / PHM08_EARLY, size / PHM08_LATE)
    bounded = ops.minimum(exponent, PHM08_LINEAR_FROM)
    grown = ops.exp(bounded)
    return grown - 1.0 + grown * (exponent - bounded)


@dataclass(frozen=True)
class LossOptions:
    """Arguments of ``make_loss``, from which a loss is built."""

    training: TrainingConfig
    model: ModelConfig
    spec: DataSpec
    positive_share: float

    @property
    def std(self) -> tuple[float, ...]:
        """Deviation of each target, raw units, ``(targets,)``."""
        return self.spec.target_std or (1.0,) * len(self.spec.targets)


Builder = Callable[[LossOptions, str], keras.losses.Loss]


def _huber(error: Tensor, delta: float) -> Tensor:
    size = ops.abs(error)
    return ops.where(size <= delta, 0.5 * ops.square(size), delta * (size - 0.5 * delta))


def _value(options: LossOptions, name: str) -> keras.losses.Loss:
    delta = options.training.huber_delta
    spec = options.spec
    return ValueLoss(name, options.std, per_step=spec.weighs_steps, delta=delta, censored=spec.censored, name=name)


def _binary(options: LossOptions, name: str, *, gamma: float = 0.0, weight: float = 1.0) -> keras.losses.Loss:
    smoothing, per_step = options.training.label_smoothing, options.spec.per_step
    return BinaryLoss(gamma=gamma, positive_weight=weight, smoothing=smoothing, per_step=per_step, name=name)


def _classes(options: LossOptions, name: str, *, gamma: float = 0.0) -> keras.losses.Loss:
    return ClassLoss(len(options.spec.classes), gamma=gamma, smoothing=options.training.label_smoothing, name=name)


# A loss is an entry of one of these tables; ``training.loss`` reads the names off this source.
VALUE_ERRORS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "mse": lambda difference, std, delta: ops.square(difference / std),
    "mae": lambda difference, std, delta: ops.abs(difference / std),
    "huber": lambda difference, std, delta: _huber(difference / std, delta),
    "phm08": lambda difference, std, delta: smooth_phm08(difference) * (PHM08_LATE / std),
}
VALUE_LOSSES: dict[str, Builder] = {
    **dict.fromkeys(VALUE_ERRORS, _value),
    "quantile": lambda o, name: QuantileLoss(
        o.model.quantiles, o.std, per_step=o.spec.weighs_steps, censored=o.spec.censored
    ),
}
BINARY_LOSSES: dict[str, Builder] = {
    "bce": lambda o, name: _binary(o, name),
    "weighted_bce": lambda o, name: _binary(o, name, weight=(1 - o.positive_share) / max(o.positive_share, 1e-6)),
    "focal": lambda o, name: _binary(o, name, gamma=o.training.focal_gamma),
}
CLASS_LOSSES: dict[str, Builder] = {
    "cce": lambda o, name: _classes(o, name),
    "focal": lambda o, name: _classes(o, name, gamma=o.training.focal_gamma),
}
LOSSES = {task: VALUE_LOSSES for task in TASKS} | {"binary": BINARY_LOSSES, "multiclass": CLASS_LOSSES}


def resolve_loss(training: TrainingConfig, model: ModelConfig, spec: DataSpec) -> str:
    """Name of the loss meant by the configuration ("auto" resolved).

    Raises:
        ConfigError: a loss that does not fit the task or the head.
    """
    name = training.loss
    if name == "auto":
        return "quantile" if model.quantiles else TASKS[spec.task].default_loss
    if name not in LOSSES[spec.task]:
        raise ConfigError(
            f"Option 'training.loss' is '{name}', which does not fit the task '{spec.task}'; "
            f"choose one of: auto, {', '.join(LOSSES[spec.task])}."
        )
    if (name == "quantile") != bool(model.quantiles):
        raise ConfigError(
            f"Option 'training.loss' is '{name}' but 'model.quantiles' is {list(model.quantiles)}; the quantile loss "
            "and a quantile head go together. Use training.loss=auto, or set model.quantiles=[0.1, 0.5, 0.9]."
        )
    return name


def make_loss(
    training: TrainingConfig, model: ModelConfig, spec: DataSpec, *, positive_share: float = 0.5
) -> keras.losses.Loss:
    """Build the configured loss.

    Args:
        training: names the loss and its knobs.
        model: tells the quantiles.
        spec: tells the task and the targets' deviations.
        positive_share: weight of positives among the training samples as they are fed (binary);
            "weighted_bce" makes both classes count alike.

    Raises:
        ConfigError: a loss that does not fit the task or the head.
    """
    name = resolve_loss(training, model, spec)
    return LOSSES[spec.task][name](LossOptions(training, model, spec, positive_share), name)


def _focus(true_probability: Tensor, gamma: float) -> Tensor:
    """``(1 - p)^gamma``; p is kept below 1 so that gammas under 1 have a finite gradient."""
    return ops.power(1.0 - ops.minimum(true_probability, 1.0 - 1e-6), gamma)


def _mean_of_rest(values: Tensor, per_step: bool) -> Tensor:
    """Mean over all axes behind ``(batch,)``, or behind ``(batch, time)``."""
    axes = tuple(range(2 if per_step else 1, len(values.shape)))
    return ops.mean(values, axis=axes) if axes else values
