"""Predictions of a model over windows, laid beside the truth point by point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig, EvaluationConfig
from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.data.windows import WindowIndex, window_targets

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Points:
    """Answers of a model beside their truth, a row each.

    Attributes:
        truth: ``(points, targets)``; ``(points,)`` class numbers; or ``(points, horizon, targets)``. Not capped.
        prediction: the model's answers, same leading axis.
        unit: unit number, ``(points,)``.
        row: absolute row of the last step seen, ``(points,)``.
        steps: steps of the unit up to and including that row, ``(points,)``.
    """

    truth: np.ndarray
    prediction: np.ndarray
    unit: np.ndarray
    row: np.ndarray
    steps: np.ndarray

    def select(self, chosen: np.ndarray) -> Points:
        """The points where ``chosen`` (mask or numbers) says so."""
        return Points(*(getattr(self, name)[chosen] for name in ("truth", "prediction", "unit", "row", "steps")))

    def scored(self, evaluation: EvaluationConfig, part: str) -> NDArray[np.bool_]:
        """Mask ``(points,)`` of those that metrics are of: with ``min_steps`` seen, or each unit's last one.

        The last one (however few steps it saw) where ``evaluation.at`` is "last", which concerns the test part alone.
        """
        if part != "test" or evaluation.at != "last":
            return np.asarray(self.steps >= evaluation.min_steps)
        last = np.zeros(len(self.unit), bool)
        order = np.lexsort((self.row, self.unit))
        ends = np.flatnonzero(np.diff(self.unit[order], append=-1))
        last[order[ends]] = True
        return last


def predict_windows(
    model: keras.Model, series: Series, index: WindowIndex, spec: DataSpec, config: DataConfig, *, batch_size: int = 256
) -> np.ndarray:
    """Outputs of ``model`` for every window, in the order of ``index``.

    Returns:
        ``(windows, ...)``; for models that answer at every step ``(points, targets)``, the real steps of
        all windows joined.
    """
    import tensorflow as tf

    from keras_seq.data.pipeline import make_dataset

    batches = make_dataset(series, index, spec, config, batch_size=batch_size, training=False)
    forward = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)
    outputs, position = [], 0
    for inputs, *_ in batches:
        output = forward(inputs).numpy()
        if spec.per_step:
            lengths = index.length[position : position + len(output)]
            position += len(output)
            output = output[np.arange(output.shape[1]) < lengths[:, None]]
        outputs.append(output)
    return np.concatenate(outputs).astype(np.float32)


def locate(series: Series, index: WindowIndex, spec: DataSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, unit and row of every answer that ``predict_windows`` gives for ``index``."""
    if spec.per_step:
        row = np.repeat(index.start - np.concatenate([[0], np.cumsum(index.length)[:-1]]), index.length)
        row = row + np.arange(index.length.sum())
        unit = np.repeat(index.unit, index.length)
        return series.targets[row], unit, row
    return window_targets(series, index, spec.horizon), index.unit, index.start + index.length - 1


def points(series: Series, index: WindowIndex, spec: DataSpec, prediction: np.ndarray) -> Points:
    """Lay predictions beside the truth; answers whose truth is missing or another part's are left out.

    A whole sequence of a split by time runs through rows of earlier parts: a model that answers at every step
    answers there too, but those steps were trained on and are not judged again.
    """
    truth, unit, row = locate(series, index, spec)
    known = np.isfinite(truth).reshape(len(truth), -1).all(axis=1)
    if spec.per_step:
        known &= row >= np.repeat(index.first, index.length)
    if spec.classifies:
        truth = truth[..., 0]
    if spec.task == "binary":
        prediction = prediction[..., 0]
    answers = Points(truth, prediction, unit, row, row - series.offsets[unit] + 1)
    return answers if known.all() else answers.select(known)


def has_quantiles(prediction: np.ndarray, truth: np.ndarray, levels: tuple[float, ...]) -> bool:
    """Whether answers hold a value for every level and target; a quantile model's baseline answers with points."""
    return bool(levels) and prediction.shape[-1] == len(levels) and prediction.size == np.size(truth) * len(levels)


def middle(prediction: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """The point forecast among quantiles ``(..., quantiles)``: the one nearest to the median."""
    return prediction[..., int(np.argmin(np.abs(np.array(quantiles) - 0.5)))]
