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


Body = Callable[[Tensor, Tensor, ModelConfig, Steps], Encoded | Tensor]
Fit = Callable[[Experiment, "Prepared", Say], "keras.Model"]
Check = Callable[[ModelConfig, Steps], None]
Variants = Mapping[str, Mapping[str, Any]]  # fields of ModelConfig by variant
Space = Mapping[str, Any]  # search space: option -> values, or low and high


@dataclass(frozen=True)
class Family:
    """A registered family: trained by gradients (``body``) or fitted to data (``fit``).

    Attributes:
        name: as in ``model.family``.
        variants: its named sizes; ``standard`` holds where none is named.
        space: default search space of its own options; empty: none.
        check: called with the resolved configuration before anything is built; raises ``ConfigError``.
        body: scaled channels ``(batch, time, channels)`` to encoded steps.
        fit: experiment and prepared data to a finished model.
    """

    name: str
    variants: Variants = field(default_factory=dict)
    space: Space = field(default_factory=dict)
    check: Check | None = None
    body: Body | None = None
    fit: Fit | None = None
