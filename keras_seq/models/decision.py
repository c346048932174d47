"""The last step inside the graph: from a model's output to calibrated answers, calls and intervals.

The numbers are fitted on validation (``keras_seq.training.decision``) and kept in the bundle's
``decision.json``. The served graph, ``evaluate`` and ``predict`` all go through ``decide``, so that
they cannot differ. All layers are element-wise sums, products and clips: they convert to ONNX and TFLite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import tensorflow as tf
from keras import ops

from keras_seq.data.spec import DataSpec
from keras_seq.models.layer import Float32Layer, package
from keras_seq.models.tensor import LayerOptions, Tensor

EPSILON = 1e-7  # float32's resolution near 1
CHUNK = 4096  # answers decided at once outside a graph


@package
class PlattScaling(Float32Layer):
    """``sigmoid(slope * logit(p) + offset)`` (Platt 1999); with offset 0 a temperature ``1 / slope``.

    Args:
        slope: positive factor of the logit.
        offset: added to it.
    """

    def __init__(self, slope: float, offset: float = 0.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.slope, self.offset = slope, offset

    def call(self, probability: Tensor) -> Tensor:
        """``(...)`` probabilities to the same shape."""
        p = ops.clip(probability, EPSILON, 1 - EPSILON)
        return ops.sigmoid(self.slope * (ops.log(p) - ops.log(1 - p)) + self.offset)


@package
class TableScaling(Float32Layer):
    """Straight lines between the knots of a rising table, constant outside: isotonic calibration.

    Args:
        x: rising knots.
        y: values there.
    """

    def __init__(self, x: Sequence[float], y: Sequence[float], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.x, self.y = list(x), list(y)

    def call(self, probability: Tensor) -> Tensor:
        """``(...)`` probabilities to the same shape."""
        return interpolate(probability, np.array(self.x), np.array(self.y))


@package
class TemperatureScaling(Float32Layer):
    """``softmax(log(p) / temperature)`` over the last axis (Guo et al. 2017); the class called stays the same.

    Args:
        temperature: above 1 flattens, below 1 sharpens.
    """

    def __init__(self, temperature: float, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.temperature = temperature

    def call(self, probabilities: Tensor) -> Tensor:
        """``(..., classes)`` to the same shape."""
        return ops.softmax(ops.log(ops.clip(probabilities, EPSILON, 1.0)) / self.temperature, axis=-1)


@package
class Interval(Float32Layer):
    """``prediction -+ width``, or ``prediction -+ width * spread(prediction)`` where the scale hangs on the level.

    Args:
        width: ``(targets,)`` or ``(horizon, targets)``, nested lists.
        knots: ``(..., knots)``, predicted levels, or empty.
        spread: ``(..., knots)``, expected absolute error there.
        bounds: lowest and highest value a target can take, None where there is no limit.
    """

    def __init__(
        self,
        width: Sequence[Any],
        knots: Sequence[Any] = (),
        spread: Sequence[Any] = (),
        bounds: Sequence[float | None] = (None, None),
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.width, self.knots, self.spread, self.bounds = width, knots, spread, list(bounds)

    def call(self, prediction: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, ..., targets)`` to lower and upper ends of the same shape."""
        half = ops.convert_to_tensor(np.array(self.width, np.float32))
        if len(self.knots):
            half = half * interpolate(prediction, np.array(self.knots), np.array(self.spread))
        return _bounded(prediction - half, self.bounds), _bounded(prediction + half, self.bounds)


@package
class QuantileInterval(Float32Layer):
    """``[q_low - margin, q_high + margin]`` of a quantile model (Romano et al. 2019).

    Args:
        low: position of the lower quantile.
        high: position of the upper one.
        margin: ``()``, ``(targets,)`` or ``(horizon, targets)``; may be negative.
        bounds: as for ``Interval``.
    """

    def __init__(
        self,
        low: int,
        high: int,
        margin: float | Sequence[Any],
        bounds: Sequence[float | None] = (None, None),
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.low, self.high, self.margin, self.bounds = low, high, margin, list(bounds)

    def call(self, quantiles: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, ..., quantiles)`` to lower and upper ends ``(batch, ...)``, which never cross."""
        margin = ops.convert_to_tensor(np.array(self.margin, np.float32))
        low, high = quantiles[..., self.low], quantiles[..., self.high]
        middle = (low + high) / 2
        low, high = ops.minimum(low - margin, middle), ops.maximum(high + margin, middle)
        return _bounded(low, self.bounds), _bounded(high, self.bounds)


def interpolate(values: Tensor, x: np.ndarray, y: np.ndarray) -> Tensor:
    """Piecewise linear ``y(values)``, constant outside the knots, as a sum of clipped ramps (no gather).

    Args:
        values: tensor ``(batch, ...)``.
        x: ``(..., knots)``, rising along the last axis; a step may have zero width.
        y: ``(..., knots)``.
    """
    width = np.maximum(np.diff(x, axis=-1), 1e-9).astype(np.float32)
    ramp = ops.clip((ops.expand_dims(values, -1) - x[..., :-1].astype(np.float32)) / width, 0.0, 1.0)
    return y[..., 0].astype(np.float32) + ops.sum(ramp * np.diff(y, axis=-1).astype(np.float32), axis=-1)


def calibrate(output: Tensor, calibration: Mapping[str, Any]) -> Tensor:
    """Calibrated probabilities of the same shape; the layer named by ``calibration["method"]``.

    Args:
        output: ``(..., 1)`` or ``(...)`` of the positive class, or ``(..., classes)`` for method "temperature"
            with ``multiclass`` set.
        calibration: of ``decision.json``: method none, platt, isotonic or temperature and its numbers.
    """
    method = calibration.get("method", "none")
    if method == "none":
        return output
    if method == "isotonic":
        return TableScaling(calibration["x"], calibration["y"], name="calibration")(output)
    if method == "platt":
        return PlattScaling(calibration["slope"], calibration["offset"], name="calibration")(output)
    if calibration.get("multiclass"):
        return TemperatureScaling(calibration["temperature"], name="calibration")(output)
    return PlattScaling(1 / calibration["temperature"], name="calibration")(output)


def decide(
    output: Tensor, spec: DataSpec, decision: Mapping[str, Any], quantiles: Sequence[float] = ()
) -> dict[str, Any]:
    """Name a model's output and add the decision, as a server's clients see it.

    Args:
        output: the model's output tensor, ``(batch, ...)``.
        spec: of the model.
        decision: of the bundle; empty: the model's own answers, threshold 0.5, no intervals.
        quantiles: levels of a quantile model, else empty.

    Returns:
        ``probability (batch, 1)`` and ``class (batch, 1)``; ``probabilities (batch, classes)`` and ``class
        (batch,)``; or ``prediction`` [and ``lower``, ``upper`` of its shape] [and ``quantiles``].
    """
    output = ops.cast(output, "float32")
    if spec.task == "binary":
        probability = calibrate(output, decision.get("calibration", {}))
        return {"probability": probability, "class": ops.cast(probability >= decision.get("threshold", 0.5), "int32")}
    if spec.task == "multiclass":
        probabilities = calibrate(output, decision.get("calibration", {}))
        best = tf.argmax(probabilities, axis=-1, output_type=tf.int32)  # keras.ops.argmax does not convert to ONNX
        return {"probabilities": probabilities, "class": best}
    interval = decision.get("interval") or {"method": "none"}
    numbers = {name: value for name, value in interval.items() if name != "method"}
    answers = {"prediction": output}
    if quantiles:
        nearest = int(np.argmin(np.abs(np.array(quantiles) - 0.5)))
        middle = output[..., nearest : nearest + 1] if spec.task == "regression" else output[..., nearest]
        answers = {"quantiles": output, "prediction": middle}
    if interval["method"] == "none":
        return answers
    layer = (QuantileInterval if interval["method"] == "cqr" else Interval)(**numbers, name="interval")
    lower, upper = layer(output)
    shape = ops.shape(answers["prediction"])
    return {**answers, "lower": ops.reshape(lower, shape), "upper": ops.reshape(upper, shape)}


def decide_array(
    prediction: np.ndarray, spec: DataSpec, decision: Mapping[str, Any], quantiles: Sequence[float] = ()
) -> dict[str, np.ndarray]:
    """``decide`` for an array of model outputs ``(batch, ...)``, through the same layers; answers ``(batch, ...)``."""
    parts = [
        {name: ops.convert_to_numpy(value) for name, value in decide(chunk, spec, decision, quantiles).items()}
        for chunk in np.split(prediction, range(CHUNK, len(prediction), CHUNK))
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _bounded(value: Tensor, bounds: Sequence[float | None]) -> Tensor:
    low, high = bounds
    value = value if low is None else ops.maximum(value, low)
    return value if high is None else ops.minimum(value, high)
