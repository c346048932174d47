"""What fitted families read: features computed inside the graph, and the training table made by running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_seq.config import Experiment, ModelConfig
from keras_seq.data.features.window_settings import GRID
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError, DataError
from keras_seq.models import blocks, history, preprocess, window_features, words
from keras_seq.models.body import Variants
from keras_seq.models.heads import target_scale
from keras_seq.models.tensor import Tensor

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

Kind = Literal["history", "window", "recent", "last"]
BATCH = 64  # windows whose features are computed at a time
# history channels where model.history is left open: few and smooth; with a second EWM, running and moving means trees
# were worse on all four turbofan sets
VARIANTS: Variants = {"standard": {"history": {"ewm": [0.9], "baseline": 20, "elapsed": 100.0}}}
FEWEST = 10  # rows below which nothing is fitted


@dataclass(frozen=True)
class Inputs:
    """The front of a fitted model.

    Attributes:
        tensors: ``values`` and, where windows vary, ``lengths``.
        features: ``(batch, k)``, or ``(batch, time, k)`` for an answer at every step.
        level: ``(batch, targets)`` last values of a forecast's targets, which are taken away before fitting and
            added to the answer; None where they are no inputs.
    """

    tensors: dict[str, Tensor]
    features: Tensor
    level: Tensor = None

    @property
    def model(self) -> keras.Model:
        """The features (and the level) as a model of their own."""
        outputs = {"features": self.features} | ({} if self.level is None else {"level": self.level})
        return keras.Model(self.tensors, outputs)


@dataclass(frozen=True)
class TrainingTable:
    """Training rows.

    Attributes:
        features: float32 ``(rows, k)``.
        answers: float64 ``(rows, outputs)``: values in raw units (forecasts less their level); or class numbers
            int64 ``(rows,)``.
        unit: unit of each row, ``(rows,)``.
    """

    features: NDArray[np.float32]
    answers: NDArray[Any]
    unit: NDArray[np.int64]


def kind_of(model: ModelConfig, prepared: Prepared) -> Kind:
    """The features of ``model.features``; ``auto`` chooses by the data.

    History channels for an answer at every step, window statistics for a target per unit, and changes up to the last
    row for sliding windows.

    Raises:
        ConfigError: window features were asked for where they would look ahead.
    """
    per_step = prepared.spec.per_step
    if model.features == "auto":
        if per_step:
            return "history"
        return "window" if prepared.series.schema.target_per == "unit" else "recent"
    if per_step and model.features in ("window", "recent"):
        raise ConfigError(
            f"Option 'model.features': '{model.features}' measures a whole window, but data.windows.per_step asks for "
            "an answer at every step, which may look back only; use history, last or auto."
        )
    return model.features


def make_inputs(model: ModelConfig, spec: DataSpec, kind: Kind) -> Inputs:
    """Raw units in, features out; see ``Inputs``.

    Raises:
        ConfigError: interpolation would look ahead, or no history channel is configured.
    """
    preprocess.check_causal(spec)
    tensors = preprocess.raw_inputs(spec)
    values, lengths = tensors["values"], tensors.get("lengths")
    call, level = blocks.with_lengths, None
    if kind == "window":
        center, scale = list(spec.scaling.center[0]), list(spec.scaling.scale[0])
        if spec.words:
            expand = words.ExpandWords(words.settings(spec), len(spec.features), name="words")
            values, center = expand(values), [*center, *[0.0] * expand.channels.count]
            scale += [1.0] * expand.channels.count
        length = model.length_feature and spec.variable_length
        layer = window_features.WindowFeatures(center, scale, length, name="window_features")
        return Inputs(tensors, window_features.Grid(GRID, name="grid")(call(layer, values, lengths)))
    channels = call(preprocess.Preprocess.from_spec(spec, name="preprocess"), values, lengths)
    if spec.target_index and len(spec.scaling.center) == 1:
        level = call(blocks.LastStep(name="last_values", dtype="float32"), channels, lengths)
        level = _raw_targets(level, spec)
    if kind == "recent":
        features = call(window_features.RecentFeatures(name="recent_features"), channels, lengths)
        return Inputs(tensors, _rounded(features, spec), level)
    if kind == "history":
        settings = model.history.model_dump(mode="json")
        channels = call(history.History(settings, len(spec.features), name="history"), channels, lengths)
    if not spec.per_step:
        channels = call(blocks.LastStep(name="last_row", dtype="float32"), channels, lengths)
    return Inputs(tensors, _rounded(channels, spec), level)


def _rounded(features: Tensor, spec: DataSpec) -> Tensor:
    """Features on the grid, if the inputs are scaled: of raw units nobody knows what is small."""
    plain = all(center == 0 for row in spec.scaling.center for center in row) and all(
        scale == 1 for row in spec.scaling.scale for scale in row
    )
    return features if plain else window_features.Grid(GRID, name="grid")(features)


def _raw_targets(channels: Tensor, spec: DataSpec) -> Tensor:
    """Scaled channels ``(batch, channels)`` to the targets among them in raw units, ``(batch, targets)``."""
    chosen = window_features.Channels(spec.target_index, name="target_channels")(channels)
    mean, deviation = target_scale(spec, restored=True)
    return preprocess.Rescale(mean, deviation, name="target_level")(chosen)


def collect(experiment: Experiment, prepared: Prepared, inputs: Inputs) -> TrainingTable:
    """Run the features over the training windows, in order and unchanged by augmentation.

    Rows whose target is missing or belongs to another part are left out. Steps before ``evaluation.min_steps``
    teach too, though they are not judged: turbofan engines are foretold better with them than without. Of more than
    ``model.trees.most_rows`` rows a share is taken by chance.

    Raises:
        DataError: too few rows, a constant target, or one class only.
    """
    from keras_seq.data.pipeline import make_dataset

    index, spec = prepared.index["train"], prepared.spec
    plain = experiment.data.model_copy(update={"balance": "none"})
    batches = make_dataset(prepared.series, index, spec, plain, batch_size=BATCH, training=False)
    model = inputs.model
    forward = tf.function(lambda batch: model(batch, training=False), reduce_retracing=True)
    units, rows = index.unit, int(index.length.sum()) if spec.per_step else len(index)
    share = experiment.model.trees.most_rows / rows
    rng = np.random.default_rng(experiment.seed)
    parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    position = 0
    for batch, targets, weights in batches:
        outputs = forward(batch)
        answers, wanted = np.asarray(targets, np.float64), np.asarray(weights) > 0
        if spec.horizon:  # fitted whole: a horizon known in part is left out
            wanted = np.asarray(wanted.all(axis=1))
        if "level" in outputs:
            answers = answers - np.asarray(outputs["level"], np.float64)[:, None]
        unit = units[position : position + len(wanted)]
        position += len(wanted)
        if spec.per_step:
            unit = np.repeat(unit[:, None], wanted.shape[1], 1)
        wanted = wanted & (rng.random(wanted.shape) < share)
        parts.append((outputs["features"].numpy()[wanted], answers[wanted], unit[wanted]))
    features, answers, unit = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
    answers = answers.reshape(len(answers), -1)
    table = TrainingTable(features, answers[:, 0].astype(np.int64) if spec.classifies else answers, unit)
    _check_table(table, prepared)
    return table


def _check_table(table: TrainingTable, prepared: Prepared) -> None:
    spec = prepared.spec
    where = f"data set '{prepared.series.schema.name}'"
    if len(table.features) < FEWEST:
        raise DataError(
            f"The train part of {where} gives {len(table.features)} rows with a known target, but at least {FEWEST} "
            "are needed to fit this family. Make data.split.validation and data.split.test smaller, or bring more data."
        )
    if spec.classifies:
        labels = np.unique(table.answers)
        if len(labels) < 2:
            name = spec.classes[labels[0]] if labels[0] < len(spec.classes) else str(labels[0])
            raise DataError(
                f"All {len(table.answers)} training rows of {where} have class '{name}', so there is nothing to learn. "
                "Use data.split.by=stratified or another data.split.seed, or bring examples of another class."
            )
        return
    constant = np.flatnonzero(np.ptp(table.answers, axis=0) == 0)
    if len(constant):
        name = spec.targets[int(constant[0]) % len(spec.targets)]
        raise DataError(
            f"Target '{name}' of {where} has the same value in all {len(table.answers)} training rows "
            f"({table.answers[0, constant[0]]:g}), so there is nothing to learn. Choose another target in data.targets."
        )
