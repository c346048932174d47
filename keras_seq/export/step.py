"""One time step of a recurrent model: a row and the state so far in, answers and the new state out.

The step form runs the layers of the trained model on windows of one step; layers that remember carry their memory as
state tensors of constant size. The state before the first step is zeros. Over a sequence the answers are those of the
whole sequence up to each step. Forecasts whose windows are scaled by themselves keep the window's rows as their state.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_seq.bundle import Bundle
from keras_seq.errors import ExportError
from keras_seq.export.convertible import in_float32
from keras_seq.export.metadata import Source, describe, source_of
from keras_seq.export.onnx import OnnxFile, convert, save_onnx
from keras_seq.export.window_step import step_window, steps_by_window, window_state
from keras_seq.models.blocks import LastStep, MaxOverTime, MeanOverTime, SumOverTime
from keras_seq.models.decision import decide
from keras_seq.models.heads import MonotoneQuantiles
from keras_seq.models.history import History
from keras_seq.models.normalise import MaskedBatchNormalization
from keras_seq.models.preprocess import Preprocess, Rescale

if TYPE_CHECKING:
    from keras_seq.models.tensor import Tensor

FAMILIES = ("lstm", "gru")  # that can stream, one-way, with pooling last, mean, max or sum
COUNT = "state_steps"  # steps seen before this one, of every unit
RECURRENT = (keras.layers.LSTM, keras.layers.GRU)
POOLED = (LastStep, MeanOverTime, MaxOverTime, SumOverTime)
POINTWISE = (  # the same at every step, or after pooling
    keras.layers.Dense,
    keras.layers.Activation,
    keras.layers.Softmax,
    keras.layers.LayerNormalization,
    keras.layers.Dropout,
    keras.layers.GaussianNoise,
    MaskedBatchNormalization,
    MonotoneQuantiles,
    Rescale,
)
State = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """The step form of a model.

    Attributes:
        function: takes ``values (batch, features)`` and the state tensors by name, returns answers and state tensors.
        signature: of its arguments, all with a free batch.
        model: whose weights it uses.
    """

    function: Callable[..., dict[str, Any]]
    signature: list[Any]
    model: Any

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state tensors of one unit, by name."""
        return {spec.name: tuple(spec.shape[1:]) for spec in self.signature if spec.name.startswith("state_")}


def why_no_step(bundle: Bundle | Source) -> str:
    """Why a model has no step form; empty if it has one."""
    source = source_of(bundle)
    model = source.model
    if steps_by_window(model, source.spec):
        return ""
    for layer in model.layers:
        if isinstance(layer, (keras.layers.InputLayer, History, *RECURRENT, *POOLED, *POINTWISE)):
            if getattr(layer, "go_backwards", False) or getattr(layer, "two_way", False):
                return f"layer '{layer.name}' reads the sequence backwards, so an answer needs its end"
        elif isinstance(layer, Preprocess):
            if layer.impute == "interpolate":
                return "data.impute interpolate looks ahead within the window; forward can stream"
        elif not (isinstance(layer, keras.layers.Reshape) and len(layer.input.shape) == 2):
            return f"layer '{layer.name}' ({type(layer).__name__}) needs the whole window, not one step and a state"
    if not any(isinstance(layer, RECURRENT) for layer in model.layers):
        return "it has no recurrent layer that carries a state"
    return ""


def make_step(bundle: Bundle | Source) -> Step:
    """The step form of a model.

    Raises:
        ExportError: the model has none; says why and which families have one.
    """
    source = source_of(bundle)
    reason = why_no_step(source)
    if reason:
        raise ExportError(
            f"The model '{source.model.name}' cannot answer step by step: {reason}. One-way families "
            f"{' and '.join(FAMILIES)} with model.pooling last, mean, max or sum can."
        )
    model = in_float32(source.model)
    by_window = steps_by_window(model, source.spec)
    shapes = {COUNT: (1,), **window_state(source.spec)} if by_window else _states(model)
    signature = [tf.TensorSpec((None, len(source.spec.features)), tf.float32, name="values")]
    signature += [tf.TensorSpec((None, *shape), tf.float32, name=name) for name, shape in shapes.items()]

    def step(**inputs: Tensor) -> dict[str, Any]:
        values = inputs.pop("values")
        if by_window:
            output, state = step_window(model, source.spec, values, inputs, COUNT)
        else:
            output, state = _walk(model, values, inputs)
        answers = decide(
            output[:, 0] if source.spec.per_step else output, source.spec, source.decision, source.quantiles
        )
        return answers | state

    return Step(_with_names(step, [spec.name for spec in signature]), signature, model)


def write_step(bundle: Bundle | Source, path: str | Path) -> OnnxFile:
    """Write the step form as ONNX for ``keras_seq.runtime.Stepper``.

    ONNX does not let an input and an output share a name: the state after the step is ``next_state_*``.

    Raises:
        ExportError: the model has no step form, or cannot be converted.
    """
    source = source_of(bundle)
    step = make_step(source)

    def renamed(**inputs: Tensor) -> dict[str, Any]:
        return {f"next_{name}" if name in step.state else name: t for name, t in step.function(**inputs).items()}

    function = _with_names(renamed, [spec.name for spec in step.signature])
    about = describe(source, kind="onnx-step", precision="float32", state=step.state)
    return save_onnx(convert(function, step.signature), path, about)


def _with_names(function: Callable[..., Any], names: list[str]) -> Callable[..., Any]:
    """The function with named arguments in a fixed order, as ``tf.function`` and tf2onnx want them."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def named(*tensors: Tensor, **by_name: Tensor) -> Any:
        return function(**signature.bind(*tensors, **by_name).arguments)

    named.__signature__ = signature  # type: ignore[attr-defined]
    return named


def _states(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Shapes of the state tensors, without batch, in the order of the layers."""
    shapes: dict[str, tuple[int, ...]] = {COUNT: (1,)}
    for layer in model.layers:
        if isinstance(layer, RECURRENT):
            keys: Mapping[str, tuple[int, ...]] = {key: (layer.units,) for key in _gates(layer)}
        elif isinstance(layer, (MeanOverTime, MaxOverTime, SumOverTime)):
            keys = {"kept": (layer.input[0] if isinstance(layer.input, list) else layer.input).shape[-1:]}
        elif isinstance(layer, Preprocess):
            keys = {"last": (len(layer.fill),)} if layer.impute == "forward" else {}
        elif isinstance(layer, History):
            keys = {key: value.shape[1:] for key, value in layer.initial_state(1).items() if key in _remembered(layer)}
        else:
            keys = {}
        shapes |= {_name(layer, key): tuple(shape) for key, shape in keys.items()}
    return shapes


def _walk(model: keras.Model, values: Tensor, state: State) -> tuple[Any, State]:
    """Run the layers in their order on one step ``(batch, features)``; the output and the state after it."""
    count = state[COUNT]
    outputs, after = {}, {COUNT: count + 1.0}
    for layer in model.operations:
        before = layer.input[0] if isinstance(layer.input, list) and layer.input else layer.input  # beside: lengths
        if isinstance(layer, keras.layers.InputLayer):
            outputs[id(layer.output)] = values[:, None] if layer.name == "values" else None
            continue
        x = outputs[id(before)]
        own = {name.removeprefix(_name(layer, "")): value for name, value in state.items() if _owns(layer, name)}
        x, memory = _advance(layer, x, own, count)
        outputs[id(layer.output)] = x
        after |= {_name(layer, key): value for key, value in memory.items() if _name(layer, key) in state}
    return outputs[id(model.outputs[0])], {name: after[name] for name in state}


def _advance(layer: keras.layers.Layer, x: Tensor, state: State, count: Tensor) -> tuple[Any, State]:
    """One layer, one step: ``(batch, 1, channels)`` to the same with its state, or pooled ``(batch, channels)``."""
    first = tf.equal(count, 0.0)
    if isinstance(layer, RECURRENT):
        keys = _gates(layer)
        output, states = layer.cell(x[:, 0], [state[key] for key in keys], training=False)
        return output[:, None], dict(zip(keys, states, strict=True))
    if isinstance(layer, Preprocess):
        last = tf.where(first, layer.fill, state["last"]) if state else None
        channels, memory = layer.step(x[:, 0], {"last": last})
        return channels[:, None], memory
    if isinstance(layer, History):
        batch = tf.shape(count)[:1]
        idle = {key: tf.zeros(tf.concat([batch, value.shape[1:]], 0)) for key, value in layer.initial_state(1).items()}
        channels, memory = layer.step(x[:, 0], idle | state | {"count": count})
        return channels[:, None], memory
    if isinstance(layer, LastStep):
        return x[:, 0], {}
    if isinstance(layer, MaxOverTime):
        memory = tf.where(first, x[:, 0], tf.maximum(x[:, 0], state["kept"]))
        return memory, {"kept": memory}
    if isinstance(layer, (MeanOverTime, SumOverTime)):
        memory = state["kept"] + x[:, 0]
        return memory / (count + 1.0 if isinstance(layer, MeanOverTime) else float(layer.steps)), {"kept": memory}
    return layer(x, training=False) if _takes_training(layer) else layer(x), {}


def _takes_training(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, (keras.layers.Dropout, keras.layers.GaussianNoise, MaskedBatchNormalization))


def _gates(layer: keras.layers.Layer) -> tuple[str, ...]:
    return ("h", "c") if isinstance(layer, keras.layers.LSTM) else ("h",)


def _remembered(layer: History) -> set[str]:
    """Keys of a history layer's state that its channels need; the count is common to all layers."""
    config = layer.config
    used = {
        "ewm": bool(config.ewm),
        "total": config.running_mean,
        "early": config.baseline > 0,
        "recent": max(config.means, default=1) > 1,
    }
    return {key for key, wanted in used.items() if wanted}


def _name(layer: keras.layers.Layer, key: str) -> str:
    return f"state_{layer.name}_{key}"


def _owns(layer: keras.layers.Layer, name: str) -> bool:
    """Whether a state tensor is this layer's: its keys hold no underscore."""
    return name.rpartition("_")[0] == f"state_{layer.name}"
