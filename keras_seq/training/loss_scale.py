"""``training.loss_scale``: errors of a forecast in its window's own measure: large series do not own the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_seq.config import ModelConfig, TrainingConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError
from keras_seq.models import window_scale
from keras_seq.models.tensor import Tensor

if TYPE_CHECKING:
    from keras_seq.data.series import Series


def season_of(model: ModelConfig, info: Mapping[str, Any]) -> int:
    """Season in steps: that of the source, so that all models of its series count alike, else of ``model.arima``; 1."""
    return int(info.get("season", 0)) or model.arima.seasonal[3] or round(model.arima.period) or 1


class LossScale:
    """Targets and answers as the loss compares them: as they are, or each window's in its own measure.

    With ``window`` they are less the window's mean and over its deviation, with ``season`` over its seasonal naive
    error; times the training deviation, which the loss divides by. A window in which a target does not vary keeps the
    training deviation.

    Args:
        kind: of ``training.loss_scale``.
        spec: of the data.
        season: steps.
    """

    def __init__(self, kind: str, spec: DataSpec, season: int = 1) -> None:
        self.kind, self.spec, self.season = kind, spec, season

    @classmethod
    def choose(cls, training: TrainingConfig, model: ModelConfig, spec: DataSpec, series: Series) -> LossScale:
        """The scale that a configuration asks for.

        Raises:
            ConfigError: the task has no windows that show their targets, or the loss counts in steps of the target.
        """
        check_scale(training, spec)
        return cls(training.loss_scale, spec, season_of(model, series.info))

    def __call__(self, inputs: Mapping[str, Tensor], targets: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        """``targets (batch, horizon, targets)`` and ``answers`` (with quantiles one axis more) as they are compared."""
        if self.kind == "none":
            return targets, answers
        center, scale = self.measure(inputs)
        std = np.asarray(self.spec.target_std, np.float32)
        factor = tf.where(scale > 0, std / tf.where(scale > 0, scale, 1.0), 1.0)[:, None]
        center = center[:, None]
        scaled = (tf.cast(targets, tf.float32) - center) * factor
        if len(answers.shape) > len(targets.shape):
            center, factor = center[..., None], factor[..., None]
        return scaled, (tf.cast(answers, tf.float32) - center) * factor

    def measure(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Level and scale of the targets in each window, raw units, ``(batch, targets)`` each; scale 0: constant."""
        values, lengths = inputs["values"], inputs.get("lengths")
        values = tf.gather(values, list(self.spec.target_index), axis=2)
        layer = window_scale.WindowMoments([self.spec.scaling.fill[i] for i in self.spec.target_index])
        moments = layer(values) if lengths is None else layer(values, lengths)
        scale = moments[:, 2]
        if self.kind == "season":
            season = min(self.season, max(self.spec.time - 1, 1))
            scale = window_scale.season_error(values, moments, lengths, season)
        return moments[:, 0] + moments[:, 1], scale


def check_scale(training: TrainingConfig, spec: DataSpec) -> None:
    """Refuse a scale that the task or the loss cannot have.

    Raises:
        ConfigError: names the option, its value and what to set instead.
    """
    if training.loss_scale == "none":
        return
    if spec.task != "forecast" or len(spec.target_index) != len(spec.targets):
        raise ConfigError(
            f"Option 'training.loss_scale' is '{training.loss_scale}', which measures a forecast by the window of its "
            f"own targets, but the task is '{spec.task}' with targets {', '.join(spec.targets)} and features "
            f"{', '.join(spec.features)}; set it to none, or make the targets inputs of a forecast."
        )
    if training.loss == "phm08":
        raise ConfigError(
            f"Option 'training.loss_scale' is '{training.loss_scale}', but training.loss=phm08 counts in cycles; set "
            "training.loss_scale=none, or another loss."
        )
