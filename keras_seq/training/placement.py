"""What a training runs on, told at its start, and whether recurrent layers really use cuDNN."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_seq.config import TrainingConfig
from keras_seq.errors import DeviceError
from keras_seq.training.compiled import XlaPlan
from keras_seq.training.device import POLICIES, describe_device
from keras_seq.training.single_process import SingleProcess

CUDNN = ("CudnnRNN", "CudnnRNNV2", "CudnnRNNV3")
LOOPS = ("While", "StatelessWhile")


def describe_placement(
    model: keras.Model,
    training: TrainingConfig,
    *,
    device: str,
    plan: XlaPlan,
    group: SingleProcess | None = None,
    mirrored: tf.distribute.Strategy | None = None,
) -> list[str]:
    """Lines on the devices, the precision, XLA and the kernels of recurrent layers.

    Args:
        model: to be trained.
        training: mixed_precision.
        device: TensorFlow's name of the one in use.
        plan: what of the training step goes through XLA.
        group: the workers.
        mirrored: the strategy over several devices, if there is one.
    """
    names = [describe_device(device)]
    if mirrored is not None:
        names = [_short(name) for name in mirrored.extended.worker_devices]
    where = " and ".join(names)
    if group is not None and group.size > 1:
        where += f", worker {group.rank} of {group.size}"
    parts = [f"training on {where}"]
    if "GPU" in device:
        parts.append("GPU memory as needed" if memory_grows() else "all GPU memory taken at once")
    parts += [POLICIES[training.mixed_precision], _say_plan(plan)]
    kernels = Counter(f"{kind(layer)}: {kernel(layer, jit=plan.jit)}" for layer in recurrent_layers(model))
    parts += [name if count == 1 else f"{name} ({count} layers)" for name, count in kernels.items()]
    return [", ".join(parts)]


def _say_plan(plan: XlaPlan) -> str:
    if plan.loops:
        return (
            f"XLA on for recurrent loops ({plan.loops} at a time)" if plan.loops > 1 else "XLA on for recurrent loops"
        )
    if not plan.jit:
        return "XLA off"
    return f"XLA on, batches in {plan.parts} parts side by side" if plan.parts > 1 else "XLA on"


def memory_grows() -> bool:
    """Whether every visible GPU gives its memory out as it is needed."""
    gpus = tf.config.get_visible_devices("GPU")
    return bool(gpus) and all(tf.config.experimental.get_memory_growth(gpu) for gpu in gpus)


def recurrent_layers(model: keras.Model) -> list[keras.layers.RNN]:
    """LSTM and GRU layers, also those inside others."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, (keras.layers.LSTM, keras.layers.GRU))]


def kind(layer: keras.layers.RNN) -> str:
    """``LSTM`` or ``GRU``."""
    return "LSTM" if isinstance(layer, keras.layers.LSTM) else "GRU"


def kernel(layer: keras.layers.RNN, *, jit: bool) -> str:
    """Kernel of a recurrent layer's training step: ``own fused loop``, ``cuDNN`` or ``while loop``.

    Told from the layer's own conditions and this process's devices; ``cudnn_operations`` proves it on a graph.
    """
    own = getattr(layer, "_own_loop_fits", None)
    if own is not None:
        with tf.Graph().as_default():  # a layer's own loop is for graphs
            if own(tf.zeros((1, 1, 1), layer.compute_dtype), None, True):
                return "own fused loop"
    cudnn = not layer.supports_jit and not layer.recurrent_dropout  # Keras refuses XLA where cuDNN's conditions hold
    return "cuDNN" if cudnn and not jit and tf.config.list_logical_devices("GPU") else "while loop"


def operations(model: keras.Model, *, time: int = 4, batch: int = 2) -> Counter[str]:
    """Operations of the model's forward pass in training, by name, those of inner functions included.

    Args:
        model: with inputs ``values`` and, where lengths vary, ``lengths``.
        time: steps of the traced batch.
        batch: samples of it.
    """
    inputs = {
        tensor.name: tf.zeros([batch, *(time if size is None else size for size in tensor.shape[1:])], tensor.dtype)
        for tensor in model.inputs
    }
    traced = tf.function(lambda given: model(given, training=True), autograph=False).get_concrete_function(inputs)
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return Counter(node.op for node in nodes)


def verify_cudnn(model: keras.Model) -> str:
    """Prove by the names of the graph's operations that every recurrent layer runs in cuDNN.

    Returns:
        One line that says what was found.

    Raises:
        DeviceError: there is no GPU, or a layer runs as a loop; says which operations were found.
    """
    layers = recurrent_layers(model)
    if not tf.config.list_logical_devices("GPU"):
        raise DeviceError(
            "cuDNN cannot be checked: TensorFlow sees no GPU here. Run this where 'nvidia-smi' lists one, with "
            "pip install 'keras_seq[gpu]'."
        )
    with tf.device("/GPU:0"):
        counts = operations(model)
    ours = {name: counts[name] for name in (*CUDNN, *LOOPS) if counts[name]}
    listing = ", ".join(f"{name} x{count}" for name, count in ours.items()) or "no recurrent operation"
    if sum(counts[name] for name in CUDNN) < len(layers):
        raise DeviceError(
            f"The {len(layers)} recurrent layers do not all run in cuDNN; the graph holds {listing}. cuDNN takes "
            "tanh and sigmoid, a bias, no recurrent dropout and no unrolling (GRU: reset_after)."
        )
    return f"{len(layers)} recurrent layers, all in cuDNN: {listing}"


def device_lines() -> Sequence[str]:
    """Every device that TensorFlow sees."""
    gpus = tf.config.list_physical_devices("GPU")
    return [describe_device("/CPU:0"), *(describe_device(f"/GPU:{number}") for number in range(len(gpus)))]


def _short(name: str) -> str:
    """``/job:localhost/replica:0/task:0/device:GPU:1`` -> ``GPU 1``."""
    return " ".join(name.rpartition("device:")[2].split(":"))
