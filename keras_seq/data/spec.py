"""``DataSpec``: shapes, names and fitted numbers of the data that a model needs; kept in the bundle."""

from __future__ import annotations

from typing import Literal

from keras_seq.config import ConfigSection, TaskName
from keras_seq.tasks import classifies


class Scaling(ConfigSection):
    """Fitted numbers of the scaler, per operating condition.

    ``scaled = (value - center[condition]) / scale[condition]``. Features that are constant in train have scale 1 and
    are marked in ``constant``: whatever they are later, they scale to 0, since nothing could be learnt of them
    (``scale`` none leaves values as they are). ``fill`` (raw units) stands in for values that nothing before explains.
    """

    center: tuple[tuple[float, ...], ...]  # (conditions, features)
    scale: tuple[tuple[float, ...], ...]  # (conditions, features)
    fill: tuple[float, ...]  # (features,)
    constant: tuple[tuple[bool, ...], ...] = ()  # (conditions, features); empty: none is
    shared: tuple[int, ...] = ()  # positions of features that mean the same in every unit: never scaled by the window
    condition_features: tuple[int, ...] = ()  # positions of the columns that tell the condition
    condition_scale: tuple[float, ...] = ()  # deviations they are divided by before the distance
    centroids: tuple[tuple[float, ...], ...] = ()  # (conditions, condition_features), in raw units


class WordColumn(ConfigSection):
    """A feature that holds codes of words: 0 missing or other, ``n`` the ``n``-th word of the vocabulary."""

    feature: int  # position on the feature axis
    vocabulary: tuple[str, ...]
    seen: tuple[int, ...]  # codes that the train part holds, rising; the others are taken for 0


class DataSpec(ConfigSection):
    """Shapes, names and fitted numbers that turn raw windows into model inputs and back.

    The model's inputs are ``values (batch, time, features)`` float32 in raw units (NaN where
    missing) and, if ``variable_length``, ``lengths (batch,)`` int32.
    """

    task: TaskName
    features: tuple[str, ...]
    targets: tuple[str, ...]
    time: int  # window length, or the longest sequence
    variable_length: bool
    per_step: bool = False  # a target at every step
    horizon: int = 0  # forecast steps; 0: none
    classes: tuple[str, ...] = ()
    target_mean: tuple[float, ...] = ()  # regression/forecast: of train targets, raw units
    target_std: tuple[float, ...] = ()
    target_index: tuple[int, ...] = ()  # forecast: positions of the targets among the features
    censored: bool = False  # some training units had not failed: their targets are lower bounds
    impute: Literal["none", "forward", "interpolate", "mean"] = "none"
    missing_indicator: bool = False
    scaling: Scaling
    words: tuple[WordColumn, ...] = ()

    @property
    def weighs_steps(self) -> bool:
        """Whether samples have a weight at every step: of the window, or of the horizon."""
        return self.per_step or self.horizon > 0

    @property
    def classifies(self) -> bool:
        """Whether the targets are classes."""
        return classifies(self.task)
