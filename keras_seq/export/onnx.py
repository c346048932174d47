"""A bundle as one ONNX file: raw units in, final answers out, recurrent layers as fused operations."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import files
from keras_seq.bundle import Bundle
from keras_seq.errors import ExportError
from keras_seq.export.metadata import KEY, Source, describe, source_of, write_digest
from keras_seq.export.onnx_fold import fold

if TYPE_CHECKING:
    import onnx

OPSET = 17
LOOPS = ("Loop", "Scan")


@dataclass(frozen=True)
class OnnxFile:
    """A file that ONNX Runtime has loaded.

    Attributes:
        path: where it lies.
        nodes: number of nodes by operation.
        outputs: names of the answers.
        bytes: its size.
    """

    path: Path
    nodes: dict[str, int]
    outputs: tuple[str, ...]
    bytes: int

    @property
    def loops(self) -> int:
        """Nodes that run step by step; 0 where every recurrent layer is fused."""
        return sum(self.nodes.get(name, 0) for name in LOOPS)


def write_onnx(bundle: Bundle | Source, path: str | Path, *, opset: int = OPSET) -> OnnxFile:
    """Convert, load in ONNX Runtime, then put in place with its ``.sha256``.

    Inputs are ``values (batch, time, features)`` float32 and, for a spec of variable length, ``lengths (batch,)``
    int32; batch and time are free. Outputs are those of the served graph.

    Args:
        bundle: a bundle, or a model with its spec.
        path: the file to write.
        opset: of the standard operations; 17 or later.

    Raises:
        ExportError: tf2onnx cannot convert the model, or ONNX Runtime refuses the result.
    """
    from keras_seq.export.convertible import FOR_ONNX
    from keras_seq.models.views import plain_twin

    source = source_of(bundle)
    twin = plain_twin(source.model, FOR_ONNX)
    graph = source.graph(twin)
    proto = convert(graph.function, graph.signature, opset=opset)
    return save_onnx(proto, path, describe(source, kind="onnx", precision="float32"))


def convert(function: Any, signature: list[Any], *, opset: int = OPSET) -> Any:
    """The ``onnx.ModelProto`` of a function of named tensors that returns named tensors.

    Raises:
        ExportError: tf2onnx fails, or leaves operations that ONNX does not have.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    traced = tf.function(function, input_signature=signature)
    with _quiet():
        try:
            proto, _ = tf2onnx.convert.from_function(
                traced, input_signature=signature, opset=opset, custom_op_handlers={"SelectV2": (_select, [])}
            )
        except Exception as error:  # tf2onnx raises whatever its handlers meet
            raise ExportError(
                f"The model cannot be converted to ONNX (opset {opset}): {_first_line(error)}. "
                "Export it as a SavedModel or TFLite instead, or use another layer where the message names one."
            ) from None
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    foreign = sorted(set(_operations(proto.graph)) - known)
    if foreign:  # tf2onnx only logs these
        raise ExportError(
            f"The model cannot be converted to ONNX (opset {opset}): it uses {', '.join(foreign)}, which ONNX does not "
            "have. Export it as a SavedModel or TFLite instead, or use another layer."
        )
    _drop_zero_states(proto.graph)
    fold(proto)
    _hold_constants(proto.graph, traced.get_concrete_function(*signature).graph.captures)
    extra = sorted({value.name for value in proto.graph.input} - {known.name for known in signature})
    if extra:
        raise ExportError(
            f"The ONNX file would need inputs that nobody gives ({', '.join(extra)}): a layer holds numbers that were "
            "neither weights nor constants."
        )
    return proto


def _select(context: Any, node: onnx.NodeProto, *_: Any) -> None:
    """A ``where`` as one operation: tf2onnx writes two products, a sum, a negation and two casts."""
    node.type = "Where"


def quantise_onnx(path: str | Path, out: str | Path) -> OnnxFile:
    """Weights as int8, activations quantised while running (``quantize_dynamic``, QInt8).

    LSTM layers and matrix products become int8; GRU layers stay float32, since ONNX Runtime has no int8 one.

    Args:
        path: a file of ``write_onnx``.
        out: the file to write.

    Raises:
        ExportError: the file cannot be quantised or the result not loaded.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path, out = Path(path), Path(out)
    described = describe_file(path)
    with files.new_file(out) as partial:
        try:
            with _quiet():
                quantize_dynamic(path, partial, weight_type=QuantType.QInt8)
        except Exception as error:  # the quantiser raises whatever its operators meet
            raise ExportError(f"'{path}' cannot be quantised to int8: {_first_line(error)}.") from None
        proto = onnx.load(partial)
    return save_onnx(proto, out, described | {"precision": "int8-dynamic"})


def save_onnx(proto: onnx.ModelProto, path: str | Path, described: dict[str, Any]) -> OnnxFile:
    """Write a converted graph with what it says of itself; in place once ONNX Runtime has loaded it.

    Raises:
        ExportError: ONNX Runtime refuses it.
    """
    _shorten(proto.graph)
    _annotate(proto, described)
    return _put(proto, Path(path))


def inspect_onnx(path: str | Path) -> OnnxFile:
    """Load a file in ONNX Runtime and count its operations, those inside loops too.

    Raises:
        ExportError: it is no ONNX file, or ONNX Runtime refuses it.
    """
    import onnx
    import onnxruntime

    path = Path(path)
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        nodes = Counter(_operations(onnx.load(path).graph))
    except Exception as error:  # ONNX Runtime and protobuf have classes of their own for every failure
        raise ExportError(
            f"'{path}' is not a valid ONNX file: ONNX Runtime {onnxruntime.__version__} refuses it "
            f"({_first_line(error)}). Write it again from the bundle."
        ) from None
    return OnnxFile(path, dict(nodes), tuple(output.name for output in session.get_outputs()), path.stat().st_size)


def describe_file(path: str | Path) -> dict[str, Any]:
    """What a file of ``write_onnx`` says of itself.

    Raises:
        ExportError: it cannot be read or says nothing.
    """
    import onnx

    try:
        metadata = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    except Exception as error:  # protobuf's DecodeError, or the file is not there
        raise ExportError(f"'{path}' is not a valid ONNX file ({_first_line(error)}).") from None
    if KEY not in metadata:
        raise ExportError(f"ONNX file '{path}' was not written by keras_seq: its metadata has no entry '{KEY}'.")
    return json.loads(metadata[KEY])


def _hold_constants(graph: onnx.GraphProto, captures: Any) -> None:
    """Keep in the file what tf2onnx makes inputs: arrays that a layer holds beside its weights."""
    import onnx
    import tensorflow as tf

    constants = {inner.name: outer for outer, inner in captures if outer.dtype != tf.resource}
    for given in [value for value in graph.input if value.name in constants]:
        graph.initializer.append(onnx.numpy_helper.from_array(constants[given.name].numpy(), given.name))
        graph.input.remove(given)


def _drop_zero_states(graph: onnx.GraphProto) -> None:
    """Leave out initial states of recurrent nodes that are zeros anyway: seven operations a layer."""
    producers = {name: node for node in graph.node for name in node.output}
    constants = {value.name: value for value in graph.initializer}
    for node in graph.node:
        if node.op_type in ("LSTM", "GRU"):
            for place in range(5, min(len(node.input), 7)):  # initial_h, initial_c
                if node.input[place] and _is_zero(node.input[place], producers, constants):
                    node.input[place] = ""
    while dead := _unread(graph):
        for node in dead:
            graph.node.remove(node)


def _is_zero(name: str, producers: dict[str, Any], constants: dict[str, Any]) -> bool:
    """Whether a tensor is zeros of some shape."""
    import onnx

    while name in producers and producers[name].op_type in ("Unsqueeze", "Expand"):
        name = producers[name].input[0]
    return name in constants and not onnx.numpy_helper.to_array(constants[name]).any()


def _unread(graph: onnx.GraphProto) -> list[Any]:
    read = _read(graph)
    return [node for node in graph.node if not read & set(node.output)]


def _read(graph: onnx.GraphProto) -> set[str]:
    return set(_inputs(graph)) | {value.name for value in graph.output}


def _annotate(proto: onnx.ModelProto, described: dict[str, Any]) -> None:
    import onnx

    onnx.helper.set_model_props(proto, {KEY: json.dumps(described, separators=(",", ":"))})
    proto.producer_name = f"keras_seq {described['versions']['keras_seq']} (tf2onnx)"


def _shorten(graph: onnx.GraphProto, names: dict[str, str] | None = None) -> None:
    """Drop what nobody reads; short names for all but inputs and outputs, which else outweigh small int8 weights."""
    if names is None:
        names = {"": ""} | {value.name: value.name for value in (*graph.input, *graph.output)}

    def short(name: str) -> str:
        return names.setdefault(name, _letters(len(names)))

    used = _read(graph)
    for value in [value for value in graph.initializer if value.name not in used]:
        graph.initializer.remove(value)
    del graph.value_info[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = short(value.name)
    for node in graph.node:
        node.name, node.doc_string = "", ""
        for ends in (node.input, node.output):
            ends[:] = [short(name) for name in ends]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _shorten(attribute.g, names)


def _letters(number: int) -> str:
    """``number`` in capital letters, which no input or answer is named by."""
    higher, last = divmod(number, 26)
    return (_letters(higher - 1) if higher else "") + chr(ord("A") + last)


def _put(proto: onnx.ModelProto, path: Path) -> OnnxFile:
    """Write aside, load, rename."""
    with files.new_file(path) as partial:
        partial.write_bytes(proto.SerializeToString())
        loaded = inspect_onnx(partial)
    write_digest(path)
    return OnnxFile(path, loaded.nodes, loaded.outputs, loaded.bytes)


def _inputs(graph: onnx.GraphProto) -> Iterator[str]:
    """Names that nodes read, those inside loops too."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _inputs(attribute.g)


def _operations(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _operations(attribute.g)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what converters print, warn and log; what matters of it is checked here."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300].rstrip(".") if lines else type(error).__name__
