"""What a file really holds: bytes of its weights by number type, read from the file itself."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

LEAST = 8  # elements: scalars and shapes are not weights


def bytes_by_type(path: Path) -> dict[str, int]:
    """Bytes of the constants of an ONNX, TFLite or Keras file by number type, most first.

    Args:
        path: ``*.onnx``, ``*.tflite`` or ``*.keras``.

    Returns:
        Such as ``{"float32": 4096, "int8": 1024}``; nothing of a file of another kind.
    """
    read = {".onnx": _onnx, ".tflite": _tflite, ".keras": _keras}.get(path.suffix)
    return dict(read(path).most_common()) if read else {}


def in_words(sizes: dict[str, int]) -> str:
    """``int8 80 %, float32 20 %``."""
    total = max(sum(sizes.values()), 1)
    return ", ".join(f"{name} {count / total:.0%}" for name, count in sizes.items())


def _onnx(path: Path) -> Counter[str]:
    import onnx

    sizes: Counter[str] = Counter()
    graph = onnx.load(str(path)).graph
    constants = [attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t")]
    for tensor in [*graph.initializer, *constants]:
        array = onnx.numpy_helper.to_array(tensor)
        if array.size >= LEAST:
            sizes[str(array.dtype)] += array.nbytes
    return sizes


def _tflite(path: Path) -> Counter[str]:
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    names = {value: name.lower() for name, value in vars(schema.TensorType).items() if name.isupper()}
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))
    sizes: Counter[str] = Counter()
    seen = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            elements = int(np.prod(tensor.shape)) if tensor.shape is not None and len(tensor.shape) else 1
            if data is not None and elements >= LEAST and tensor.buffer not in seen:
                seen.add(tensor.buffer)
                sizes[names[tensor.type]] += len(data)
    return sizes


def _keras(path: Path) -> Counter[str]:
    import h5py

    sizes: Counter[str] = Counter()

    def count(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.size >= LEAST:
            sizes[str(item.dtype)] += item.nbytes

    with zipfile.ZipFile(path) as archive:
        file = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(file, "r") as weights:
        weights.visititems(count)
    return sizes
