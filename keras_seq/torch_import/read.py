"""Tensors by name from ``.safetensors`` and ``.npz`` files; nothing in a file is ever executed.

A safetensors file is the header's length (u64, little-endian), a JSON header ``{name: {dtype, shape,
data_offsets}}``, and the raw little-endian data, without holes (github.com/huggingface/safetensors, "Format"). The
package of that name reads it where it is installed; else the format is read here, with every number of the header
checked before it is used.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ModelError

MAX_HEADER = 100_000_000  # bytes, the limit of the reference implementation
MAX_DIMENSIONS = 16
PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")
TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?",
}  # fmt: skip


class Weights(dict[str, NDArray[Any]]):
    """Tensors by name: floats as float32, the rest as it is.

    Attributes:
        source: where they come from, for messages.
        ordered: the order is the one in which the network lists its layers; a safetensors file sorts by name.
    """

    def __init__(self, tensors: Mapping[str, Any], *, source: str = "the given weights", ordered: bool = True) -> None:
        self.source, self.ordered = source, ordered
        super().__init__((str(name), _plain(str(name), value, source)) for name, value in tensors.items())


def read_weights(path: str | Path) -> Weights:
    """The tensors of a state dict.

    Args:
        path: ``.safetensors`` or ``.npz``.

    Returns:
        Arrays by name, in the layout of PyTorch; of a safetensors file in natural order of the names (``l2`` before
        ``l10``), since the file does not keep another.

    Raises:
        ModelError: missing, malformed, empty, or a pickle (then with the lines that convert it).
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in PICKLED:
        raise ModelError(_how_to_convert(path))
    if suffix not in (".safetensors", ".npz"):
        raise ModelError(f"'{path}' is no file of weights that can be read here; expected .safetensors or .npz.")
    if not path.is_file():
        raise ModelError(f"There is no file of weights at '{path}'.")
    try:
        if suffix == ".npz":
            weights = Weights(_read_npz(path), source=str(path))
        else:
            tensors = sorted(_read_safetensors(path).items(), key=lambda item: natural(item[0]))
            weights = Weights(dict(tensors), source=str(path), ordered=False)
    except OSError as error:
        raise ModelError(f"The weights '{path}' cannot be read ({error.strerror or error}).") from None
    if not weights:
        raise ModelError(f"The file of weights '{path}' holds no tensor.")
    return weights


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key under which ``fc2`` comes before ``fc10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _how_to_convert(path: Path) -> str:
    return (
        f"'{path}' is a pickle, which can run any code when it is opened, so it is not read here. Convert it where it "
        "was made:\n"
        "  import numpy, torch\n"
        f"  state = torch.load({path.name!r}, map_location='cpu', weights_only=True)\n"
        f"  numpy.savez({path.stem + '.npz'!r}, **{{name: tensor.float().numpy() for name, tensor in state.items()}})"
    )


def _plain(name: str, value: object, source: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"Tensor '{name}' of {source} is no array of numbers ({error}).") from None
    if array.dtype.kind not in "fiub":
        raise ModelError(f"Tensor '{name}' of {source} holds {array.dtype}, expected numbers.")
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):  # what does not fit float32 is refused when it is used
        return array.astype(np.float32)


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array without a name")
        with stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, MemoryError) as error:
        reason = "it holds pickled objects" if "pickle" in str(error).lower() else str(error)
        raise ModelError(
            f"'{path}' is no .npz file of plain arrays ({reason}). Write it with numpy.savez(path, **tensors)."
        ) from None


def _read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    data = path.read_bytes()
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:
        return {name: _decode(path, name, *entry) for name, entry in parse_safetensors(data, path).items()}
    try:
        entries = deserialize(data)
    except SafetensorError as error:
        raise _malformed(path, str(error)) from None
    return {name: _decode(path, name, e["dtype"], tuple(e["shape"]), e["data"]) for name, e in entries}


def parse_safetensors(data: bytes, path: Path) -> dict[str, tuple[str, tuple[int, ...], memoryview]]:
    """Type, shape and bytes of every tensor of a safetensors file.

    Args:
        data: the whole file.
        path: of the file, for messages.

    Raises:
        ModelError: a number of the header does not fit the file; names it.
    """
    if len(data) < 8:
        raise _malformed(path, f"it has {len(data)} bytes, fewer than the 8 of the header's length")
    size = int.from_bytes(data[:8], "little")
    if size > min(MAX_HEADER, len(data) - 8):
        raise _malformed(path, f"its header should have {size} bytes, but {len(data) - 8} follow")
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _malformed(path, f"its header is no JSON ({error})") from None
    if not isinstance(header, dict):
        raise _malformed(path, f"its header is a {type(header).__name__}, not an object")
    header.pop("__metadata__", None)
    buffer = memoryview(data)[8 + size :]
    ranges = {name: _range(path, name, entry, len(buffer)) for name, entry in header.items()}
    end = 0
    for name, (first, last) in sorted(ranges.items(), key=lambda item: item[1]):
        if first != end:
            raise _malformed(path, f"the data of '{name}' begin at byte {first}, expected {end}")
        end = last
    if end != len(buffer):
        raise _malformed(path, f"its tensors end at byte {end} of {len(buffer)}")
    return {
        name: (entry["dtype"], tuple(entry["shape"]), buffer[slice(*ranges[name])]) for name, entry in header.items()
    }


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name occurs twice")
    return entries


def _range(path: Path, name: str, entry: object, size: int) -> tuple[int, int]:
    """First and last byte of a tensor, checked against its type, its shape and the file."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise _malformed(path, f"'{name}' lacks dtype, shape or data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in TYPES:
        raise _malformed(path, f"'{name}' has type {dtype!r}; known: {', '.join(TYPES)}")
    if not _counts(shape) or len(shape) > MAX_DIMENSIONS:
        raise _malformed(path, f"'{name}' has shape {shape!r}")
    if not _counts(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= size:
        raise _malformed(path, f"'{name}' has data_offsets {offsets!r} in {size} bytes of data")
    needed = math.prod(shape) * np.dtype(TYPES[dtype]).itemsize
    if needed != offsets[1] - offsets[0]:
        raise _malformed(path, f"'{name}' of {dtype} {shape} needs {needed} bytes, its data_offsets are {offsets}")
    return offsets[0], offsets[1]


def _counts(value: object) -> bool:
    """A list of whole numbers of at least 0."""
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def _decode(path: Path, name: str, dtype: str, shape: tuple[int, ...], data: bytes | memoryview) -> NDArray[Any]:
    if dtype not in TYPES:
        raise _malformed(path, f"'{name}' has type {dtype!r}; known: {', '.join(TYPES)}")
    array = np.frombuffer(data, TYPES[dtype]).reshape(shape)
    if dtype == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(array.dtype.newbyteorder("="))


def _malformed(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"'{path}' is no safetensors file that can be read: {reason}. Write it again with "
        "safetensors.torch.save_file, or as .npz with numpy.savez."
    )
