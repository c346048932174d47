"""Losses: one number a sample or a real step, averaged over what has weight.

Values are compared in deviations of the training targets (``spec.target_std``), so that learning
rates and Huber's delta mean the same for every data set. ``call`` returns ``(batch,)``, or
``(batch, time)`` where every step has a target; the reduction is ``sum(w * l) / sum(w)``, so padding
(weight 0) dilutes nothing.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_seq.config import ModelConfig, TrainingConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError
from keras_seq.tasks import TASKS

REDUCTION = "mean_with_sample_weight"
VALUE_LOSSES = ("mse", "mae", "huber", "phm08", "quantile")
BINARY_LOSSES = ("bce", "weighted_bce", "focal")
CLASS_LOSSES = ("cce", "focal")
PHM08_EARLY, PHM08_LATE = 13.0, 10.0  # cycles, Saxena et al. 2008
PHM08_LINEAR_FROM = 3.0  # exponent from which on the score goes on as a straight line


@keras.saving.register_keras_serializable("keras_seq")
class ValueLoss(keras.losses.Loss):
    """Error of values in deviations of the training targets.

    Args:
        kind: "mse", "mae", "huber" or "phm08".
        std: deviation of each target, raw units, ``(targets,)``.
        per_step: targets are ``(batch, time, targets)`` and each step has a weight of its own.
        delta: Huber's change from square to line, in deviations.
        name: of the loss.
    """

    def __init__(
        self, kind: str, std: tuple[float, ...], *, per_step: bool = False, delta: float = 1.0, name: str = "value"
    ) -> None:
        super().__init__(name=name, reduction=REDUCTION)
        self.kind, self.std, self.per_step, self.delta = kind, tuple(std), per_step, delta

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Mean error over targets (and horizon): ``(batch,)`` or ``(batch, time)``."""
        difference, std = y_pred - y_true, ops.convert_to_tensor(self.std, dtype=self.dtype)
        if self.kind == "phm08":
            return _mean_of_rest(smooth_phm08(difference) * (PHM08_LATE / std), self.per_step)
        error = ops.abs(difference / std)
        if self.kind == "mse":
            error = ops.square(error)
        elif self.kind == "huber":
            error = ops.where(error <= self.delta, 0.5 * ops.square(error), self.delta * (error - 0.5 * self.delta))
        return _mean_of_rest(error, self.per_step)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {"kind": self.kind, "std": self.std, "per_step": self.per_step, "delta": self.delta, "name": self.name}


@keras.saving.register_keras_serializable("keras_seq")
class QuantileLoss(keras.losses.Loss):
    """Pinball loss (Koenker & Bassett 1978) in deviations of the training targets.

    Args:
        quantiles: rising, in (0, 1).
        std: deviation of each target, raw units, ``(targets,)``.
        per_step: each step has a target and a weight of its own.
        name: of the loss.
    """

    def __init__(
        self,
        quantiles: tuple[float, ...],
        std: tuple[float, ...],
        *,
        per_step: bool = False,
        name: str = "quantile",
    ) -> None:
        super().__init__(name=name, reduction=REDUCTION)
        self.quantiles, self.std, self.per_step = tuple(quantiles), tuple(std), per_step

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Mean over quantiles, targets and horizon.

        ``y_pred`` is ``(..., targets, quantiles)``, or ``(..., quantiles)`` for one target.
        """
        std = ops.convert_to_tensor(self.std, dtype=self.dtype)
        if len(y_pred.shape) > len(y_true.shape):
            y_true, std = ops.expand_dims(y_true, -1), ops.expand_dims(std, -1)
        difference = (y_true - y_pred) / std
        level = ops.convert_to_tensor(self.quantiles, dtype=self.dtype)
        return _mean_of_rest(ops.maximum(level * difference, (level - 1.0) * difference), self.per_step)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {"quantiles": self.quantiles, "std": self.std, "per_step": self.per_step, "name": self.name}


@keras.saving.register_keras_serializable("keras_seq")
class BinaryLoss(keras.losses.Loss):
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
        super().__init__(name=name, reduction=REDUCTION)
        self.gamma, self.positive_weight, self.smoothing, self.per_step = gamma, positive_weight, smoothing, per_step

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """``(batch, 1)`` against ``(batch, 1)``: ``(batch,)``; with steps: ``(batch, time)``."""
        weight = 1.0 + (self.positive_weight - 1.0) * y_true
        truth = y_true * (1.0 - self.smoothing) + 0.5 * self.smoothing
        loss = ops.binary_crossentropy(truth, y_pred)  # from the logits where Keras still knows them
        if self.gamma:
            loss = loss * _focus(truth * y_pred + (1.0 - truth) * (1.0 - y_pred), self.gamma)
        return _mean_of_rest(weight * loss, self.per_step)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        names = ("gamma", "positive_weight", "smoothing", "per_step", "name")
        return {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("keras_seq")
class ClassLoss(keras.losses.Loss):
    """Cross-entropy over classes, optionally focal; the truth is class numbers or shares of classes (mixup).

    Args:
        classes: number of classes.
        gamma: focusing; 0 is plain cross-entropy.
        smoothing: label smoothing; the truth becomes ``t (1 - s) + s / classes``.
        name: of the loss.
    """

    def __init__(self, classes: int, *, gamma: float = 0.0, smoothing: float = 0.0, name: str = "classes") -> None:
        super().__init__(name=name, reduction=REDUCTION)
        self.classes, self.gamma, self.smoothing = classes, gamma, smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """``(batch,)`` numbers or ``(batch, classes)`` shares against ``(batch, classes)``: ``(batch,)``."""
        if len(y_true.shape) < len(y_pred.shape):
            y_true = ops.one_hot(ops.cast(y_true, "int32"), self.classes, dtype=self.dtype)
        truth = y_true * (1.0 - self.smoothing) + self.smoothing / self.classes
        loss = ops.categorical_crossentropy(truth, y_pred)
        return loss * _focus(ops.sum(truth * y_pred, axis=-1), self.gamma) if self.gamma else loss

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {"classes": self.classes, "gamma": self.gamma, "smoothing": self.smoothing, "name": self.name}


def smooth_phm08(difference: Any) -> Any:
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


def resolve_loss(training: TrainingConfig, model: ModelConfig, spec: DataSpec) -> str:
    """Name of the loss meant by the configuration ("auto" resolved).

    Raises:
        ConfigError: a loss that does not fit the task or the head.
    """
    allowed = {"binary": BINARY_LOSSES, "multiclass": CLASS_LOSSES}.get(spec.task, VALUE_LOSSES)
    name = training.loss
    if name == "auto":
        if model.quantiles:
            return "quantile"
        return TASKS[spec.task].default_loss
    if name not in allowed:
        raise ConfigError(
            f"Option 'training.loss' is '{name}', which does not fit the task '{spec.task}'; "
            f"choose one of: auto, {', '.join(allowed)}."
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
    gamma = training.focal_gamma if name == "focal" else 0.0
    if spec.task == "multiclass":
        return ClassLoss(len(spec.classes), gamma=gamma, smoothing=training.label_smoothing, name=name)
    if spec.task == "binary":
        weight = (1.0 - positive_share) / max(positive_share, 1e-6) if name == "weighted_bce" else 1.0
        return BinaryLoss(
            gamma=gamma,
            positive_weight=weight,
            smoothing=training.label_smoothing,
            per_step=spec.per_step,
            name=name,
        )
    std = spec.target_std or (1.0,) * len(spec.targets)
    if name == "quantile":
        return QuantileLoss(model.quantiles, std, per_step=spec.per_step)
    return ValueLoss(name, std, per_step=spec.per_step, delta=training.huber_delta, name=name)


def _focus(true_probability: Any, gamma: float) -> Any:
    """``(1 - p)^gamma``; p is kept below 1 so that gammas under 1 have a finite gradient."""
    return ops.power(1.0 - ops.minimum(true_probability, 1.0 - 1e-6), gamma)


def _mean_of_rest(values: Any, per_step: bool) -> Any:
    """Mean over all axes behind ``(batch,)``, or behind ``(batch, time)``."""
    axes = tuple(range(2 if per_step else 1, len(values.shape)))
    return ops.mean(values, axis=axes) if axes else values
