"""Family ``minirocket``: shares of 84 kernels' convolutions above biases, and a linear head."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.fitted import fit_on_table
from keras_seq.baselines.inputs import Inputs
from keras_seq.baselines.rocket_head import grow_head
from keras_seq.config import Experiment
from keras_seq.data.features.rocket_kernels import KERNELS, WIDTH, Kernels, biases_of, draw_kernels
from keras_seq.errors import ConfigError
from keras_seq.figures import Say
from keras_seq.models import blocks, preprocess
from keras_seq.models.body import Space
from keras_seq.models.registry import register
from keras_seq.models.rocket_features import ChannelLevels, RocketFeatures, WholeNumbers
from keras_seq.training.class_weights import chosen_weights, class_shares

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.windows import WindowIndex

SPACE: Space = {
    "model.rocket.features": [840, 2520, 9996, 19992],
    "model.rocket.dilations": [8, 16, 32],
}
MOST_NUMBERS = 100_000_000  # of the training table: 400 MB
MEASURED = 512  # windows that tell how far a channel spreads
RESOLUTION = 2048  # whole numbers in a deviation of a channel
BATCH = 64


@register("minirocket", fitted=True, space=SPACE)
def minirocket(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """MiniRocket (Dempster, Schmidt and Webb, 2021) with a ridge head: classes or values of whole windows.

    Raises:
        ConfigError: an answer at every step, or a forecast, is asked for.
    """
    _check_windows(experiment, prepared)
    shares = max(experiment.model.rocket.features, KERNELS) // KERNELS * KERNELS
    trees = experiment.model.trees
    most = trees.model_copy(update={"most_rows": max(1, min(trees.most_rows, MOST_NUMBERS // shares))})
    taught = experiment.model_copy(update={"model": experiment.model.model_copy(update={"trees": most})})
    weights = chosen_weights(experiment.training, class_shares(prepared, experiment.data), prepared.spec)
    return fit_on_table(
        taught,
        prepared,
        say,
        partial(grow_head, shares=shares, class_weights=weights),
        front=lambda model, spec, kind: rocket_inputs(experiment, prepared),
        reads="minirocket",
    )


def _check_windows(experiment: Experiment, prepared: Prepared) -> None:
    spec = prepared.spec
    if spec.per_step or spec.horizon:
        asked = "an answer at every step" if spec.per_step else f"a forecast of {spec.horizon} steps"
        raise ConfigError(
            f"Family '{experiment.model.family}' measures whole windows and gives one answer a window, but the data "
            f"section asks for {asked}; leave data.windows.per_step and data.windows.horizon out, or choose another "
            "model.family (hist_gradient_boosting, ridge, a network)."
        )


def rocket_inputs(experiment: Experiment, prepared: Prepared) -> Inputs:
    """Raw units in, shares out, with the kernels that the seed draws and biases from training windows."""
    spec, settings = prepared.spec, experiment.model.rocket
    preprocess.check_causal(spec)
    tensors = preprocess.raw_inputs(spec)
    values, lengths = tensors["values"], tensors.get("lengths")
    channels = blocks.with_lengths(preprocess.Preprocess.from_spec(spec, name="preprocess"), values, lengths)
    windows = TrainingWindows(experiment, prepared, keras.Model(tensors, channels))
    units = channel_units(windows)
    longest = int(np.max(prepared.index["train"].length)) if spec.variable_length else spec.time
    kernels = draw_kernels(
        experiment.seed,
        windows=len(windows),
        channels=channels.shape[-1],
        length=longest,
        features=settings.features,
        most=settings.dilations,
    )
    alternate = not spec.variable_length and spec.time >= WIDTH
    layer = RocketFeatures(kernels.dilations.tolist(), kernels.counts.tolist(), alternate, name="minirocket")
    whole = WholeNumbers(units.tolist(), name="whole_numbers")(channels)
    features = blocks.with_lengths(layer, whole, lengths)
    layer.set_weights([kernels.channels, fit_biases(kernels, windows, units)])
    if settings.levels:
        levels = blocks.with_lengths(ChannelLevels(float(RESOLUTION), name="levels"), whole, lengths)
        features = keras.layers.Concatenate(dtype="float32", name="features")([features, levels])
    return Inputs(tensors, features)


class TrainingWindows:
    """Training windows as the kernels see them: mended, scaled, without padding.

    Args:
        experiment: its data section.
        prepared: series and windows.
        front: raw windows to channels.
    """

    def __init__(self, experiment: Experiment, prepared: Prepared, front: keras.Model) -> None:
        self.data = experiment.data.model_copy(update={"balance": "none"})
        self.prepared, self.front = prepared, front
        self.index: WindowIndex = prepared.index["train"]

    def __len__(self) -> int:
        return len(self.index)

    def read(self, numbers: NDArray[np.integer]) -> Any:
        """Yield ``(steps, channels)`` of each window, in order of ``numbers``, which rise."""
        from keras_seq.data.pipeline import make_dataset

        index = self.index.take(numbers)
        batches = make_dataset(
            self.prepared.series, index, self.prepared.spec, self.data, batch_size=BATCH, training=False
        )
        for inputs, _, _ in batches:
            channels = np.asarray(self.front(inputs, training=False))
            lengths = inputs["lengths"] if "lengths" in inputs else [channels.shape[1]] * len(channels)
            for window, length in zip(channels, np.asarray(lengths), strict=True):
                yield window[: int(length)]


def channel_units(windows: TrainingWindows) -> NDArray[np.float64]:
    """Unit that each channel is rounded to: a power of two near ``1 / RESOLUTION`` of its deviation."""
    numbers = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), MEASURED)).astype(np.int64))
    count, total, squares = 0, 0.0, 0.0
    for window in windows.read(numbers):
        wide = window.astype(np.float64)
        count, total, squares = count + len(wide), total + wide.sum(0), squares + (wide**2).sum(0)
    variance = np.asarray(squares) / max(count, 1) - (np.asarray(total) / max(count, 1)) ** 2
    level = np.asarray(squares) / max(count, 1)
    deviation = np.sqrt(np.where(variance > 1e-12 * level, variance, 1.0))
    return 2.0 ** np.round(np.log2(deviation)) / RESOLUTION


def fit_biases(kernels: Kernels, windows: TrainingWindows, units: NDArray[np.float64]) -> NDArray[np.float32]:
    """Biases ``(sum of counts, 84)``: quantiles of training convolutions, between two whole numbers."""
    biases = np.zeros((int(kernels.counts.sum()), KERNELS), np.float32)
    first = np.cumsum(kernels.counts) - kernels.counts
    numbers = np.unique(kernels.window)
    for number, window in zip(numbers, windows.read(numbers), strict=True):
        whole = np.round(window / units)
        for place, kernel, found in biases_of(kernels, int(number), whole):
            biases[first[place] : first[place] + len(found), kernel] = np.floor(found) + 0.5
    return biases
