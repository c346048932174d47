"""A family of models, and what its body takes and returns; no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keras_seq.config import Experiment, ModelConfig
from keras_seq.figures import Say
from keras_seq.models.tensor import Tensor

if TYPE_CHECKING:
    import keras

    from keras_seq.data.prepare import Prepared


@dataclass(frozen=True)
class Steps:
    """Window length and limits that a body is built for.

    Attributes:
        time: window length, or the longest sequence seen in training (steps).
        per_step: an answer at every step is wanted, so nothing may look ahead.
        fast_lstm: LSTM and GRU layers may use the own CPU kernels.
    """

    time: int
    per_step: bool = False
    fast_lstm: bool = True


@dataclass(frozen=True)
class Encoded:
    """Encoded sequence of a body.

    Attributes:
        x: ``(batch, time', width)``.
        lengths: ``(batch,)`` real steps of ``x`` (changed by pooling over time), or None.
        two_way: the second half of ``width`` ran backwards in time, so its last state is at step 0.
    """

    x: Tensor
    lengths: Tensor = None
    two_way: bool = False


@dataclass(frozen=True)
class Horizon:
    """What a forecaster is built for.

    Attributes:
        time: window length (steps).
        steps: steps ahead.
        targets: positions of the targets among the channels.
        levels: quantiles that are answered; 1 for the mean.
        channels: how many of the first channels are columns of the data; history and marks of gaps follow.
    """

    time: int
    steps: int
    targets: tuple[int, ...]
    levels: int
    channels: int


@dataclass(frozen=True)
class Ahead:
    """Answer of a forecaster, in units of the scaled channels.

    Attributes:
        y: free numbers ``(batch, steps, targets * levels)``.
        base: ``(batch, steps or 1, targets)`` that is added to every level, or None.
    """

    y: Tensor
    base: Tensor = None


Body = Callable[[Tensor, Tensor, ModelConfig, Steps], Encoded | Tensor]
ForecastBody = Callable[[Tensor, Tensor, ModelConfig, Horizon], Ahead]
Fit = Callable[[Experiment, "Prepared", Say], "keras.Model"]
Check = Callable[[ModelConfig, Steps], None]
Variants = Mapping[str, Mapping[str, Any]]  # fields of ModelConfig by variant
Space = Mapping[str, Any]  # search space: option -> values, or low and high


@dataclass(frozen=True)
class Family:
    """A registered family: trained by gradients (``body``, or ``forecast``) or fitted to data (``fit``).

    Attributes:
        name: as in ``model.family``.
        variants: its named sizes; ``standard`` holds where none is named.
        space: default search space of its own options; empty: none.
        check: called with the resolved configuration before anything is built; raises ``ConfigError``.
        body: scaled channels ``(batch, time, channels)`` to encoded steps.
        forecast: the same channels to the steps ahead; such a family does nothing but forecast.
        fit: experiment and prepared data to a finished model.
    """

    name: str
    variants: Variants = field(default_factory=dict)
    space: Space = field(default_factory=dict)
    check: Check | None = None
    body: Body | None = None
    forecast: ForecastBody | None = None
    fit: Fit | None = None
