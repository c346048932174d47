"""A bundle as a TFLite file: raw units in, final answers out, one window a call.

The graph has batch 1 and the whole window as fixed time, so that LSTM layers become one
UNIDIRECTIONAL_SEQUENCE_LSTM; ``keras_seq.runtime`` runs batches and pads shorter sequences. Every conversion runs in
a process of its own, since the converter can crash where no exception is caught.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq import files
from keras_seq.bundle import Bundle
from keras_seq.errors import ExportError, nearest
from keras_seq.export.isolated import SECONDS, run_apart
from keras_seq.export.metadata import KEY, Source, describe, source_of, write_digest

MODES = ("float32", "float16", "dynamic", "int8")
HALVED = 1024  # elements from which a constant is worth halving; scalers and thresholds keep their digits
INT8 = ("UNIDIRECTIONAL_SEQUENCE_LSTM", "FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "BATCH_MATMUL")


@dataclass(frozen=True)
class TfliteFile:
    """A file that the interpreter has loaded.

    Attributes:
        path: where it lies.
        mode: of ``MODES``.
        nodes: number of operations by name.
        bytes: its size.
    """

    path: Path
    mode: str
    nodes: dict[str, int]
    bytes: int


def write_tflite(
    bundle: Bundle | Source,
    path: str | Path,
    *,
    mode: str = "float32",
    samples: dict[str, np.ndarray] | None = None,
    seconds: float = SECONDS,
) -> TfliteFile:
    """Convert, load in the interpreter, then put in place with its ``.sha256``.

    Args:
        bundle: a bundle, or a model with its spec.
        path: the file to write.
        mode: ``float32``; ``float16``: large weights as half floats (a small model has none, and its file says
            float32); ``dynamic``: weights as int8; ``int8``: recurrent, convolution and dense layers in int8, scaling
            and answers in float32 (raw units of different size do not share one int8 range).
        samples: for int8: real training windows, ``values (n, time, features)`` and, where lengths vary,
            ``lengths (n,)``.
        seconds: limit of the conversion.

    Raises:
        ExportError: unknown mode, int8 without samples, or a conversion that fails or crashes (names the signal).
    """
    if mode not in MODES:
        raise ExportError(f"TFLite has no mode '{mode}'{nearest(mode, MODES)}")
    if mode == "int8" and not samples:
        raise ExportError(
            "TFLite int8 needs real training windows to measure ranges on: give samples, or mode dynamic."
        )
    source, path = source_of(bundle), Path(path)
    with files.scratch() as folder, files.new_file(path) as partial:
        _write_fixed(source, Path(folder) / "model")
        np.savez(Path(folder) / "samples.npz", **(samples or {}))  # type: ignore[arg-type]
        arguments = {"folder": folder, "out": str(partial), "mode": mode}
        nodes = run_apart(f"{__name__}:convert", arguments, what=f"TFLite {mode}", seconds=seconds, warm=True)
        halved = mode != "float16" or "DEQUANTIZE" in nodes  # a small model has no constant worth halving
        precision = mode if halved else "float32"
        with zipfile.ZipFile(partial, "a") as archive:  # as TFLite's associated files: after the model
            archive.writestr(f"{KEY}.json", json.dumps(describe(source, kind="tflite", precision=precision)))
    write_digest(path)
    return TfliteFile(path, mode, nodes, path.stat().st_size)


def _write_fixed(source: Source, folder: Path) -> None:
    """The served graph with batch 1 and the window's time as a SavedModel."""
    import keras
    import tensorflow as tf

    from keras_seq.export.convertible import FOR_TFLITE
    from keras_seq.models.views import plain_twin

    spec = source.spec
    twin = plain_twin(source.model, FOR_TFLITE)
    graph = source.graph(twin)
    shapes = {"values": (1, spec.time, len(spec.features)), "lengths": (1,)}
    signature = [tf.TensorSpec(shapes[known.name], known.dtype, name=known.name) for known in graph.signature]
    archive = keras.export.ExportArchive()
    archive.track(graph.model)
    archive.add_endpoint("serving_default", graph.function, input_signature=signature)
    with contextlib.redirect_stdout(io.StringIO()):
        archive.write_out(str(folder), verbose=False)


def convert(folder: str, out: str, mode: str) -> dict[str, int]:
    """The conversion itself, called in its own process.

    Args:
        folder: holds the SavedModel ``model`` and ``samples.npz``.
        out: the file to write.
        mode: of ``MODES``.

    Returns:
        Number of operations by name.

    Raises:
        ExportError: the converter gives nothing, or operations that need TensorFlow.
    """
    import tensorflow as tf

    make = tf.lite.TFLiteConverter.from_saved_model
    converter = make(f"{folder}/model")
    if mode in ("dynamic", "int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        content = _halved(converter.convert())
    elif mode == "int8":
        plain = make(f"{folder}/model").convert()
        content = _int8(converter, _representative(f"{folder}/samples.npz"), set(operations(plain)) - set(INT8))
    else:
        content = converter.convert()
    nodes = operations(content)
    flex = sorted(name for name in nodes if name.startswith("Flex"))
    if flex:
        raise ExportError(f"the file would need TensorFlow for {', '.join(flex)}; write another format.")
    Path(out).write_bytes(content)
    return nodes


def _halved(content: bytes) -> bytes:
    """A float32 model with its large constants as half floats, each widened by a DEQUANTIZE before its first use.

    The converter's own float16 halves every constant: the mean of a sensor at 8,000 rpm loses its last three bits, a
    fifth of its deviation, and a trained model a fifth of its accuracy.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    code = len(model.operatorCodes)
    widen = schema.OperatorCodeT()
    widen.builtinCode = widen.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    widen.version = 3  # the first that reads half floats
    model.operatorCodes.append(widen)
    halves: dict[int, int] = {}  # buffer of a constant: buffer of its half
    for graph in model.subgraphs:
        first = []
        for number, tensor in enumerate(list(graph.tensors)):
            data = model.buffers[tensor.buffer].data
            if tensor.type != schema.TensorType.FLOAT32 or data is None or len(data) < 4 * HALVED:
                continue
            if tensor.buffer not in halves:
                half = schema.BufferT()
                half.data = np.frombuffer(bytes(data), np.float32).astype(np.float16).view(np.uint8)
                halves[tensor.buffer] = len(model.buffers)
                model.buffers.append(half)
            first.append(_widening(schema, graph, number, halves[tensor.buffer], code))
            tensor.buffer = 0
        graph.operators = first + list(graph.operators)
    for number in halves:
        model.buffers[number].data = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _widening(schema: Any, graph: Any, number: int, half: int, code: int) -> Any:
    """The operation that fills tensor ``number`` of a graph from the buffer ``half``."""
    tensor = graph.tensors[number]
    half_tensor = schema.TensorT()
    half_tensor.name, half_tensor.shape, half_tensor.type, half_tensor.buffer = (
        tensor.name + b"/half",
        tensor.shape,
        1,
        half,
    )  # 1: FLOAT16
    graph.tensors.append(half_tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [len(graph.tensors) - 1], [number]
    return operator


def operations(content: bytes) -> dict[str, int]:
    """Load a model in the interpreter and count its operations, without those of delegates."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    return dict(Counter(operation["op_name"] for operation in interpreter._get_ops_details()))


def _representative(path: str) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
    with np.load(path) as stored:
        samples = dict(stored)

    def rows() -> Iterator[dict[str, np.ndarray]]:
        for row in range(len(samples["values"])):
            yield {name: array[row : row + 1] for name, array in samples.items()}

    return rows


def _int8(converter: Any, rows: Callable[[], Iterator[dict[str, np.ndarray]]], float_operations: set[str]) -> bytes:
    """Quantise all operations but those ``float_operations`` in float32."""
    import tensorflow as tf

    converter.representative_dataset = rows
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=sorted(float_operations))
    debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_dataset=rows, debug_options=options)
    return bytes(debugger.get_nondebug_quantized_model())
