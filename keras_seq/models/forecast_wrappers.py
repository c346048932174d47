"""Forecast wrappers around the body: one model for every column, patches of time, a linear way past the body."""

from __future__ import annotations

from typing import Unpack

import keras
from keras import ops

from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError
from keras_seq.models import history
from keras_seq.models.blocks import with_lengths
from keras_seq.models.kalman import Recent
from keras_seq.models.layer import ConfiguredLayer, Float32Layer, package
from keras_seq.models.tensor import LayerOptions, Shape, Tensor


def check_wrappers(config: ModelConfig, spec: DataSpec) -> None:
    """Refuse wrappers that the data do not allow.

    Raises:
        ConfigError: names the option and what to set instead.
    """
    wrappers = {
        "skip": config.skip != "none",
        "channel_independent": config.channel_independent,
        "patch": config.patch > 0,
    }
    named = [name for name, used in wrappers.items() if used]
    if not named:
        return
    option = f"model.{named[0]}"
    if spec.task != "forecast" or len(spec.target_index) != len(spec.targets) or len(spec.scaling.center) > 1:
        raise ConfigError(
            f"Option '{option}' is for forecasts of input columns in one operating condition; the task is "
            f"'{spec.task}' with targets {', '.join(spec.targets)}. Leave it out."
        )
    if config.quantiles:
        raise ConfigError(f"Option '{option}' does not go with model.quantiles; leave one of them out.")
    if config.channel_independent and spec.target_index != tuple(range(len(spec.features))):
        raise ConfigError(
            "Option 'model.channel_independent' forecasts every input column from its own past, but the features are "
            f"{', '.join(spec.features)} and the targets {', '.join(spec.targets)}; make them the same, or set it to "
            "false."
        )
    if config.input_dense or (
        config.channel_independent and (spec.missing_indicator or history.wanted(config.history))
    ):
        raise ConfigError(
            f"Option '{option}' reads the columns as they are; leave model.input_dense, model.history and "
            "data.missing_indicator out."
        )
    if config.patch and (spec.variable_length or spec.time % config.patch):
        raise ConfigError(
            f"Option 'model.patch': windows of {spec.time} steps{' of varying length' if spec.variable_length else ''} "
            f"cannot be cut into patches of {config.patch}; use a divisor of a fixed data.windows.length, or 0."
        )


def check_forecaster(config: ModelConfig, spec: DataSpec) -> None:
    """Refuse data and options that a family which only forecasts cannot serve.

    Raises:
        ConfigError: names the option and what to set instead.
    """
    if spec.task != "forecast" or len(spec.target_index) != len(spec.targets) or len(spec.scaling.center) > 1:
        raise ConfigError(
            f"Option 'model.family': '{config.family}' forecasts input columns in one operating condition; the task is "
            f"'{spec.task}' with targets {', '.join(spec.targets)}. Use another family, such as gru or tcn."
        )
    wrapped = {"skip": config.skip != "none", "channel_independent": config.channel_independent}
    refused = [name for name, used in {**wrapped, "input_dense": config.input_dense > 0}.items() if used]
    if refused:
        raise ConfigError(
            f"Option 'model.{refused[0]}' is not for family '{config.family}', which reads the columns as they are; "
            "leave it out."
        )


@package
class ToColumns(ConfiguredLayer):
    """Every column becomes a sample: ``(batch, time, columns)`` to ``(batch * columns, time / patch, patch)``."""

    def __init__(self, patch: int = 1, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.patch = patch

    def call(self, x: Tensor) -> Tensor:
        """Columns of one sample lie side by side."""
        x = ops.transpose(x, (0, 2, 1))
        return ops.reshape(x, (-1, ops.shape(x)[2] // self.patch, self.patch))

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        """More samples of one channel."""
        return (None, None, self.patch)


@package
class RepeatLengths(ConfiguredLayer):
    """The length of a sample for each of its columns."""

    def __init__(self, columns: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**{**kwargs, "dtype": "int32"})
        self.columns = columns

    def call(self, lengths: Tensor) -> Tensor:
        """``(batch,)`` to ``(batch * columns,)``."""
        return ops.repeat(ops.cast(lengths, "int32"), self.columns)

    def compute_output_shape(self, lengths_shape: Shape) -> Shape:
        """One number a column."""
        return (None,)


@package
class FromColumns(Float32Layer):
    """Forecasts of columns back into samples: ``(batch * columns, horizon)`` to ``(batch, horizon, columns)``."""

    def __init__(self, columns: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.columns = columns

    def call(self, y: Tensor) -> Tensor:
        """Join."""
        return ops.transpose(ops.reshape(y, (-1, self.columns, y.shape[-1])), (0, 2, 1))

    def compute_output_shape(self, y_shape: Shape) -> Shape:
        """One sample of all columns."""
        return (None, y_shape[-1], self.columns)


@package
class LinearSkip(Float32Layer):
    """NLinear (Zeng et al., 2023): the last value plus a linear map of the window less its last value.

    One map for all targets, zero at first: training starts from the naive forecast.

    Args:
        index: positions of the targets among the channels.
        time: window rows.
        horizon: steps ahead.
    """

    def __init__(self, index: tuple[int, ...], time: int, horizon: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.index, self.time, self.horizon = list(index), time, horizon

    def build(self, x_shape: Shape) -> None:
        """Weights ``(time, horizon)``."""
        self.kernel = self.add_weight(shape=(self.time, self.horizon), name="kernel", initializer="zeros")
        self.bias = self.add_weight(shape=(self.horizon,), name="bias", initializer="zeros")

    def call(self, x: Tensor) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, horizon, targets)``."""
        x = ops.transpose(ops.take(x, self.index, axis=2), (0, 2, 1))
        last = x[:, :, -1:]
        return ops.transpose(ops.matmul(x - last, self.kernel) + self.bias + last, (0, 2, 1))

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        """One forecast a target."""
        return (x_shape[0], self.horizon, len(self.index))


def skip(x: Tensor, lengths: Tensor, spec: DataSpec) -> Tensor:
    """The linear way from scaled channels to the horizon, ``(batch, horizon, targets)``."""
    recent = with_lengths(Recent(spec.time, name="skip_window", dtype="float32"), x, lengths)
    return LinearSkip(spec.target_index, spec.time, spec.horizon, name="skip")(recent)


def columns(x: Tensor, lengths: Tensor, config: ModelConfig, spec: DataSpec) -> tuple[Tensor, Tensor]:
    """Channels as the body reads them: all together, or each column a sample; in patches where configured."""
    count, patch = len(spec.features), max(config.patch, 1)
    if config.channel_independent:
        x = ToColumns(patch, name="to_columns")(x)
        return x, None if lengths is None else RepeatLengths(count, name="repeat_lengths")(lengths)
    if patch > 1:
        x = keras.layers.Reshape((-1, patch * x.shape[-1]), name="patches")(x)
    return x, lengths
