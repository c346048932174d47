"""Raw windows in, mended and scaled channels out: the first layer of every model.

The served graph takes raw physical units because this layer travels with the weights. Its numbers
are the ``DataSpec``'s (fitted on train only), kept in the layer's configuration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError
from keras_seq.models.blocks import shift, step_mask
from keras_seq.models.layer import Float32Layer, SameShape, package
from keras_seq.models.tensor import LayerOptions, Shape, Tensor
from keras_seq.models.words import WordChannels, settings

LARGEST = 3.0e38  # what is larger counts as infinite in float32


def finite(x: Tensor) -> tuple[Tensor, Tensor]:
    """Finite values (0 for NaN, the largest number for infinities) and where they were finite before.

    The condition of the ``where`` must be ``x != x`` itself: tf2onnx writes every other one as a
    product with 0 and 1, through which NaN passes, and TFLite has no ``IsNan``.
    """
    missing = ops.not_equal(x, x)
    x = ops.clip(ops.where(missing, ops.zeros_like(x), x), -LARGEST, LARGEST)
    return x, ops.logical_and(ops.logical_not(missing), ops.less(ops.abs(x), LARGEST))


def raw_inputs(spec: DataSpec) -> dict[str, Tensor]:
    """Input tensors in raw units: ``values (batch, time, features)`` and, where lengths vary, ``lengths (batch,)``."""
    inputs = {"values": keras.Input((None, len(spec.features)), dtype="float32", name="values")}
    if spec.variable_length:
        inputs["lengths"] = keras.Input((), dtype="int32", name="lengths")
    return inputs


def check_causal(spec: DataSpec) -> None:
    """Refuse interpolation where an answer at every step is wanted.

    Raises:
        ConfigError: says why and what to set.
    """
    if spec.per_step and spec.impute == "interpolate":
        raise ConfigError(
            "Option 'data.impute': interpolation looks ahead, so an answer at every step (data.windows.per_step) "
            "would see its own future; use data.impute forward."
        )


@package
class Preprocess(Float32Layer):
    """Impute, scale per operating condition, mark what was missing.

    ``impute``: ``forward`` carries the last observed value on; ``interpolate`` draws a line between
    the neighbours (looks ahead within the window) and carries the last one on; ``mean`` puts the
    train mean; ``none`` puts ``fill`` too, as a last safety. Before a unit's first observed value
    stands ``fill``. Non-finite values count as missing. A value is carried over gaps of at least
    ``time`` steps. A feature that was constant in train scales to 0. Output is 0 at padded steps, whatever they hold.

    Columns of words (``words``) hold codes: they are neither imputed nor scaled; 0 stands in their place, and behind
    the columns come the channels of their words (see ``keras_seq.models.words``), then the indicators.

    Streaming state of ``step``: per feature the last observed (or filled) value: ``(batch, features)``.

    Args:
        scaling: ``Scaling`` as plain values.
        impute: see above.
        missing_indicator: append one 0/1 channel per feature.
        time: longest sequence expected (steps).
        words: columns of words; see ``WordChannels``.
    """

    def __init__(
        self,
        scaling: dict[str, Any],
        impute: str = "none",
        missing_indicator: bool = False,
        time: int = 1,
        words: Sequence[dict[str, Any]] = (),
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)  # raw units do not fit half precision
        self.words = list(words)
        self.coded = WordChannels(self.words, len(scaling["fill"])) if words else None
        self.scaling, self.impute, self.missing_indicator, self.time = scaling, impute, missing_indicator, time
        self.center = np.asarray(scaling["center"], np.float32)
        self.scale = np.asarray(scaling["scale"], np.float32)
        self.fill = np.asarray(scaling["fill"], np.float32)
        constant = np.asarray(scaling.get("constant") or np.zeros(self.center.shape), np.float32)
        self.varies = None if not constant.any() else 1.0 - constant
        self.condition_features = list(scaling["condition_features"])
        self.condition_scale = np.asarray(scaling["condition_scale"], np.float32)
        self.centroids = np.asarray(scaling["centroids"], np.float32)

    @classmethod
    def from_spec(cls, spec: DataSpec, **kwargs: Unpack[LayerOptions]) -> Preprocess:
        """The layer for data of ``spec``."""
        scaling = spec.scaling.model_dump(mode="json")
        return cls(scaling, spec.impute, spec.missing_indicator, spec.time, settings(spec), **kwargs)

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, features)`` raw to ``(batch, time, features [+ channels of words] [+ features])``."""
        real = None if lengths is None else step_mask(x, lengths)
        x, observed = finite(x)
        if real is not None:
            observed = ops.logical_and(observed, real)
        coded, x, observed = self._apart(x, observed)
        seen = ops.cast(observed, "float32")
        x = x * seen
        scaled = self._scaled(self._imputed(x, seen), seen)
        channels = self._joined(scaled, coded, seen)
        return channels if real is None else ops.where(real, channels, 0.0)

    def step(self, x: Tensor, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """One time step: raw ``(batch, features)`` and state to channels and state.

        Raises:
            ValueError: interpolation looks ahead and cannot stream.
        """
        if self.impute == "interpolate":
            raise ValueError("impute='interpolate' looks ahead within the window, so it cannot stream; use 'forward'.")
        x, observed = finite(x)
        coded, x, observed = self._apart(x, observed)
        seen = ops.cast(observed, "float32")
        stand_in = state["last"] if self.impute == "forward" else ops.broadcast_to(self.fill, ops.shape(x))
        filled = ops.where(observed, x, stand_in)
        scaled = self._scaled(filled[:, None], seen[:, None])[:, 0]
        return self._joined(scaled, coded, seen), {"last": filled}

    def _apart(self, x: Tensor, observed: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Channels of words; the columns with 0, observed, in place of codes; what was observed."""
        if self.coded is None:
            return [], x, observed
        known = ops.logical_or(observed, ops.cast(1.0 - self.coded.numbers, "bool"))
        return self.coded(x), x * self.coded.numbers, known

    def _joined(self, scaled: Tensor, coded: list[Tensor], seen: Tensor) -> Tensor:
        parts = [scaled, *coded, *([1.0 - seen] if self.missing_indicator else [])]
        return ops.concatenate(parts, axis=-1) if len(parts) > 1 else scaled

    def initial_state(self, batch: int) -> dict[str, Any]:
        """State before the first step."""
        return {"last": np.repeat(self.fill[None], batch, axis=0)}

    def _imputed(self, x: Tensor, seen: Tensor) -> Tensor:
        if self.impute in ("none", "mean"):
            return x + (1.0 - seen) * self.fill
        value, known, age = self._carried(x, seen, forward=True)
        if self.impute == "interpolate":
            after, comes, wait = self._carried(x, seen, forward=False)
            weight = known * comes * age / ops.maximum(age + wait, 1.0)
            value = value + weight * (after - value)
        return value + (1.0 - known) * self.fill

    def _carried(self, x: Tensor, seen: Tensor, *, forward: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Nearest observed value before (or after), whether there is one, and its distance in steps.

        Shifts by 1, 2, 4, ... double the reach each time: no loop, few ops. After the shifts up to
        ``s`` every step knows the nearest observation within ``2 s - 1`` steps.
        """
        features = len(self.fill)
        known, age = seen, ops.zeros_like(seen)
        for power in range(max(1, math.ceil(math.log2(max(self.time, 2))))):
            distance = 2**power
            moved = shift(ops.concatenate([x, known, age], axis=-1), distance if forward else -distance)
            far, far_known, far_age = (moved[..., i * features : (i + 1) * features] for i in range(3))
            take = (1.0 - known) * far_known
            x, age = x + take * far, age + take * (far_age + float(distance))
            known = known + take
        return x, known, age

    def _scaled(self, x: Tensor, seen: Tensor) -> Tensor:
        if len(self.center) == 1:
            if self.varies is not None:  # what never changed in train stands at its centre
                x = x * self.varies[0] + self.center[0] * (1.0 - self.varies[0])
            return (x - self.center[0]) / self.scale[0]
        where = ops.take(x, self.condition_features, axis=-1)[:, :, None, :]
        distance = ops.sum(ops.square((where - self.centroids) / self.condition_scale), axis=-1)
        condition = ops.top_k(-distance, k=1)[1][..., 0]  # the nearest; keras.ops.argmin does not convert to ONNX
        # tables are looked up, not multiplied: half of a TF32 product's digits would be lost on GPUs
        center = ops.take(self.center, condition, axis=0)
        if self.varies is not None:
            varies = ops.take(self.varies, condition, axis=0)
            x = x * varies + center * (1.0 - varies)
        scaled = (x - center) / ops.take(self.scale, condition, axis=0)
        return scaled * seen if self.impute == "mean" else scaled

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        """Indicators double the columns; words add channels."""
        words = 0 if self.coded is None else self.coded.count
        return (*x_shape[:-1], x_shape[-1] * (2 if self.missing_indicator else 1) + words)


@package
class Rescale(SameShape, Float32Layer):
    """Back to raw target units: ``y * deviation + mean``.

    Args:
        mean: per target.
        deviation: per target.
        quantiles: the last axis of ``y`` holds quantiles and the targets' axis is before it.
    """

    def __init__(
        self, mean: Sequence[float], deviation: Sequence[float], quantiles: bool = False, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.mean, self.deviation, self.quantiles = list(mean), list(deviation), quantiles

    def call(self, y: Tensor) -> Tensor:
        """``(batch, ..., targets)`` (or ``(batch, ..., targets, quantiles)``) to the same shape."""
        mean, deviation = np.asarray(self.mean, np.float32), np.asarray(self.deviation, np.float32)
        if self.quantiles:
            mean, deviation = mean[:, None], deviation[:, None]
        return y * deviation + mean
