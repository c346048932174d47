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
from keras_seq.models import blocks, history, preprocess, window_features, window_scale, words
from keras_seq.models.body import Variants
from keras_seq.models.heads import target_scale
from keras_seq.models.tensor import Tensor
from keras_seq.training.loss_scale import LossScale

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

Kind = Literal["history", "window", "recent", "last", "lags"]
MOST_LAGS = 336  # steps of a forecast's own past
WIDEST = 20.0  # deviations of its own window beyond which an answer teaches no more: it was nearly constant before
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
        level: ``(batch, targets)`` last values of a forecast's targets, or ``(batch, horizon, targets)`` of a season
            before, raw units, which are taken away before fitting and added to the answer; None where they are no
            inputs.
        spread: ``(batch, targets)`` deviations of windows that are scaled by themselves, which answers are divided by
            before fitting and multiplied by after; else None.
    """

    tensors: dict[str, Tensor]
    features: Tensor
    level: Tensor = None
    spread: Tensor = None

    @property
    def model(self) -> keras.Model:
        """The features (and level and spread) as a model of their own."""
        outputs = {"features": self.features, "level": self.level, "spread": self.spread}
        return keras.Model(self.tensors, {name: tensor for name, tensor in outputs.items() if tensor is not None})


@dataclass(frozen=True)
class TrainingTable:
    """Training rows.

    Attributes:
        features: float32 ``(rows, k)``.
        answers: float64 ``(rows, outputs)``: values in raw units (forecasts less their level, in their window's
            deviations where it is scaled by itself); or class numbers int64 ``(rows,)``.
        unit: unit of each row, ``(rows,)``.
        weight: of each row, ``(rows,)``: its window's deviation over what its errors are measured in.
    """

    features: NDArray[np.float32]
    answers: NDArray[Any]
    unit: NDArray[np.int64]
    weight: NDArray[np.float64]


def kind_of(model: ModelConfig, prepared: Prepared) -> Kind:
    """The features of ``model.features``; ``auto`` chooses by the data.

    History channels for an answer at every step, window statistics for a target per unit, and changes up to the last
    row for sliding windows.

    Raises:
        ConfigError: window features were asked for where they would look ahead.
    """
    per_step = prepared.spec.per_step
    if model.features == "lags" and not (prepared.spec.horizon and prepared.spec.target_index):
        raise ConfigError(
            f"Option 'model.features': 'lags' are of a forecast's own targets, but the task is '{prepared.spec.task}' "
            f"with inputs {', '.join(prepared.spec.features)}; use recent, history or auto."
        )
    if model.features == "auto":
        if prepared.spec.target_index and window_scale.by_window(model, prepared.spec):
            return "lags"
        if per_step:
            return "history"
        return "window" if prepared.series.schema.target_per == "unit" else "recent"
    if per_step and model.features in ("window", "recent"):
        raise ConfigError(
            f"Option 'model.features': '{model.features}' measures a whole window, but data.windows.per_step asks for "
            "an answer at every step, which may look back only; use history, last or auto."
        )
    return model.features


def make_inputs(model: ModelConfig, spec: DataSpec, kind: Kind, season: int = 1) -> Inputs:
    """Raw units in, features out; see ``Inputs``. ``season``: whose value before is the level of lags, steps.

    Raises:
        ConfigError: interpolation would look ahead, or no history channel is configured.
    """
    preprocess.check_causal(spec)
    tensors = preprocess.raw_inputs(spec)
    values, lengths = tensors["values"], tensors.get("lengths")
    call, level = blocks.with_lengths, None
    if window_scale.by_window(model, spec):
        return _own_inputs(model, spec, kind, season, tensors)
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
    if kind == "lags":
        features, before = _lagged(channels, lengths, spec, season)
        level = level if before is None else _raw_targets(before, spec, chosen=True)
        return Inputs(tensors, _rounded(features, spec), level)
    return Inputs(tensors, _rounded(_features(channels, lengths, model, spec, kind), spec), level)


def _features(channels: Tensor, lengths: Tensor, model: ModelConfig, spec: DataSpec, kind: Kind) -> Tensor:
    """Scaled channels to features of ``kind`` other than whole windows and lags."""
    call = blocks.with_lengths
    if kind == "recent":
        return call(window_features.RecentFeatures(name="recent_features"), channels, lengths)
    if kind == "history":
        settings = model.history.model_dump(mode="json")
        channels = call(history.History(settings, len(spec.features), name="history"), channels, lengths)
    return channels if spec.per_step else call(blocks.LastStep(name="last_row", dtype="float32"), channels, lengths)


def _own_inputs(model: ModelConfig, spec: DataSpec, kind: Kind, season: int, tensors: dict[str, Tensor]) -> Inputs:
    """The same of windows that are scaled by themselves; level and spread of a forecast are the window's."""
    values, lengths = tensors["values"], tensors.get("lengths")
    call, level, spread = blocks.with_lengths, None, None
    moments = window_scale.moments(values, lengths, spec)
    channels = window_scale.scaled_channels(values, lengths, moments, spec)
    before = None
    if kind == "window":
        count = channels.shape[-1]
        layer = window_features.WindowFeatures([0.0] * count, [1.0] * count, False, name="window_features")
        features = call(layer, channels, lengths)
    elif kind == "lags":
        features, before = _lagged(channels, lengths, spec, season)
    else:
        features = _features(channels, lengths, model, spec, kind)
    if spec.task == "forecast" and spec.target_index:
        if before is None:
            last = call(blocks.LastStep(name="last_values", dtype="float32"), channels, lengths)
            chosen = window_features.Channels(spec.target_index, name="target_channels")(last)
            before = keras.layers.Reshape((1, len(spec.targets)), dtype="float32", name="one_level")(chosen)
        level = window_scale.WindowRestore(spec.target_index, name="target_level")(before, moments)
        spread = window_scale.WindowSpread(spec.target_index, name="target_spread")(moments)
    return Inputs(tensors, window_features.Grid(GRID, name="grid")(features), level, spread)


def _lagged(channels: Tensor, lengths: Tensor, spec: DataSpec, season: int) -> tuple[Tensor, Tensor]:
    """Lags of the targets, latest first, with the last row of the other channels; and the values a season before.

    The second is ``(batch, horizon, targets)``, scaled, None without a season that the window holds.
    """
    count, targets = min(spec.time, MOST_LAGS), len(spec.targets)
    chosen = window_features.Channels(spec.target_index, name="lagged_targets")(channels)
    lags = blocks.with_lengths(window_features.Lags(count, name="lags", dtype="float32"), chosen, lengths)
    features = keras.layers.Reshape((targets * count,), dtype="float32", name="lags_in_a_row")(lags)
    others = [i for i in range(channels.shape[-1]) if i not in spec.target_index]
    if others:
        beside = window_features.Channels(others, name="other_channels")(channels)
        beside = blocks.with_lengths(blocks.LastStep(name="last_row", dtype="float32"), beside, lengths)
        features = keras.layers.Concatenate(dtype="float32", name="lags_and_last_row")([features, beside])
    if not 1 < season <= count:
        return features, None
    places = [season - 1 - step % season for step in range(spec.horizon)]
    before = window_features.Channels(places, name="a_season_before")(lags)
    return features, keras.layers.Permute((2, 1), dtype="float32", name="season_by_step")(before)


def _rounded(features: Tensor, spec: DataSpec) -> Tensor:
    """Features on the grid, if the inputs are scaled: of raw units nobody knows what is small."""
    plain = all(center == 0 for row in spec.scaling.center for center in row) and all(
        scale == 1 for row in spec.scaling.scale for scale in row
    )
    return features if plain else window_features.Grid(GRID, name="grid")(features)


def _raw_targets(channels: Tensor, spec: DataSpec, *, chosen: bool = False) -> Tensor:
    """Scaled channels ``(..., channels)`` to the targets among them (or ``chosen`` already) in raw units."""
    if not chosen:
        channels = window_features.Channels(spec.target_index, name="target_channels")(channels)
    mean, deviation = target_scale(spec, restored=True)
    name = "season_level" if chosen else "target_level"
    return preprocess.Rescale(mean, deviation, name=name)(channels)


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
    parts: list[tuple[NDArray[Any], ...]] = []
    position = 0
    for batch, targets, weights in batches:
        outputs = forward(batch)
        weight = np.ones(len(targets))
        answers, wanted = np.asarray(targets, np.float64), np.asarray(weights) > 0
        if spec.horizon:  # fitted whole: a horizon known in part is left out
            wanted = np.asarray(wanted.all(axis=1))
        if "level" in outputs:
            level = np.asarray(outputs["level"], np.float64)
            answers = answers - (level if level.ndim == 3 else level[:, None])
        if "spread" in outputs:  # a window that never varies teaches nothing: its forecast is its constant
            spread = np.asarray(outputs["spread"], np.float64)
            wanted = wanted & (spread > 0).all(axis=1)
            answers = np.clip(answers / np.where(spread > 0, spread, 1.0)[:, None], -WIDEST, WIDEST)
            weight = _weight(batch, spread, experiment, prepared)
        unit = units[position : position + len(wanted)]
        position += len(wanted)
        if spec.per_step:
            unit = np.repeat(unit[:, None], wanted.shape[1], 1)
        wanted = wanted & (rng.random(wanted.shape) < share)
        if spec.per_step:
            weight = np.repeat(weight[:, None], wanted.shape[1], 1)
        parts.append((outputs["features"].numpy()[wanted], answers[wanted], unit[wanted], weight[wanted]))
    features, answers, unit, weight = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
    answers = answers.reshape(len(answers), -1)
    table = TrainingTable(features, answers[:, 0].astype(np.int64) if spec.classifies else answers, unit, weight)
    _check_table(table, prepared)
    return table


def _weight(
    batch: dict[str, Tensor], spread: NDArray[np.float64], experiment: Experiment, prepared: Prepared
) -> NDArray[np.float64]:
    """What an error in a window's deviations counts by ``training.loss_scale``, ``(windows,)``."""
    if experiment.training.loss_scale != "season":
        return np.ones(len(spread))
    scale = LossScale.choose(experiment.training, experiment.model, prepared.spec, prepared.series)
    error = np.asarray(scale.measure(batch)[1], np.float64)
    return (spread / np.where(error > 0, error, 1.0)).mean(axis=1)


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
