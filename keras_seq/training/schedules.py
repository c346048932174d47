"""Learning rates over the steps of a run."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import keras
from keras import ops

from keras_seq.config import TrainingConfig
from keras_seq.models.tensor import Tensor

COSINE_FLOOR = 0.01  # share of the peak at the end of a cosine
PLATEAU_FACTOR = 0.5
PLATEAU_FLOOR = 0.01  # share of the peak below which a plateau no longer lowers the rate


Schedule: TypeAlias = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable("keras_seq")
class WarmupSchedule(Schedule):
    """Linear warm-up to ``peak``, then constant or down a half cosine (Loshchilov & Hutter 2017).

    Args:
        peak: highest learning rate.
        warmup_steps: steps of the warm-up; the first step already has ``peak / warmup_steps``.
        cosine_steps: steps of the whole run, warm-up included; 0: no cosine.
        floor: share of the peak that is left at the end.
    """

    def __init__(
        self, peak: float, *, warmup_steps: int = 0, cosine_steps: int = 0, floor: float = COSINE_FLOOR
    ) -> None:
        super().__init__()
        self.peak, self.warmup_steps, self.cosine_steps, self.floor = peak, warmup_steps, cosine_steps, floor

    def __call__(self, step: Tensor) -> Tensor:
        """Learning rate of ``step``, counted from 0."""
        now = ops.cast(step, "float32")
        rate = ops.full_like(now, self.peak)
        if self.cosine_steps:
            span = max(self.cosine_steps - self.warmup_steps, 1)
            share = ops.clip((now - self.warmup_steps) / span, 0.0, 1.0)
            rate = rate * (self.floor + (1.0 - self.floor) * 0.5 * (1.0 + ops.cos(math.pi * share)))
        if self.warmup_steps:
            rising = self.peak * (now + 1.0) / self.warmup_steps
            rate = ops.where(now < self.warmup_steps, rising, rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        names = ("peak", "warmup_steps", "cosine_steps", "floor")
        return {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("keras_seq")
class PlateauSchedule(Schedule):
    """A schedule times a factor that ``Plateau`` lowers while the graph is running.

    Args:
        peak: highest learning rate.
        warmup_steps: steps of the linear warm-up.
        factor: present factor.
    """

    def __init__(self, peak: float, *, warmup_steps: int = 0, factor: float = 1.0) -> None:
        super().__init__()
        self.warmup = WarmupSchedule(peak, warmup_steps=warmup_steps)
        self.factor = keras.Variable(factor, trainable=False, dtype="float32", name="plateau_factor")

    def __call__(self, step: Tensor) -> Tensor:
        """Learning rate of ``step``, counted from 0."""
        return self.warmup(step) * ops.convert_to_tensor(self.factor)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        factor = float(ops.convert_to_numpy(self.factor))
        return {"peak": self.warmup.peak, "warmup_steps": self.warmup.warmup_steps, "factor": factor}


def make_schedule(training: TrainingConfig, steps: int) -> Schedule:
    """Schedule of a run of ``training.epochs`` epochs of ``steps`` steps."""
    warmup = round(training.warmup * steps)
    if training.schedule == "plateau":
        return PlateauSchedule(training.learning_rate, warmup_steps=warmup)
    whole = training.epochs * steps if training.schedule == "cosine" else 0
    return WarmupSchedule(training.learning_rate, warmup_steps=warmup, cosine_steps=whole)


class Plateau:
    """Halves the rate of a ``PlateauSchedule`` after epochs without a better monitor.

    Args:
        schedule: whose factor is lowered.
        patience: epochs to wait; early stopping should wait longer.
    """

    def __init__(self, schedule: PlateauSchedule, patience: int) -> None:
        self.schedule, self.patience, self.waited = schedule, max(patience, 1), 0

    def update(self, improved: bool) -> None:
        """Count an epoch; lower the rate when patience is at its end."""
        self.waited = 0 if improved else self.waited + 1
        if self.waited >= self.patience:
            self.waited = 0
            self.schedule.factor.assign(max(self.factor * PLATEAU_FACTOR, PLATEAU_FLOOR))

    @property
    def factor(self) -> float:
        """Present factor."""
        return float(ops.convert_to_numpy(self.schedule.factor))

    def state(self) -> dict[str, float]:
        """JSON-able state for ``restore``."""
        return {"waited": self.waited, "factor": self.factor}

    def restore(self, state: dict[str, float]) -> None:
        """Take over ``state``."""
        self.waited = int(state["waited"])
        self.schedule.factor.assign(state["factor"])
