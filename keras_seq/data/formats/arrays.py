"""Arrays of NumPy, ``.npz`` and ``.npy``, never pickled: cases ``(cases, time, channels)`` with labels and lengths."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.formats.cases import cases_of
from keras_seq.data.formats.registry import TableFormat, register
from keras_seq.data.reading.reading import Reading
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_NAME = re.compile(r"(?i)^(x|values|data|y|labels?|targets?|lengths?)(?:_?(train|valid|validation|val|test))?$")
_VALUES = ("x", "values", "data")


@register(TableFormat("arrays", "a NumPy file", (".npz", ".npy"), options=("dataset",)))
def read_arrays(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Cases of ``X`` with ``y`` and ``lengths``, or of ``X_train``, ``X_test`` ... as parts of one table."""
    arrays = _load(path)
    yield from cases_of(path, _by_part(path, arrays, reading.dataset))


def _load(path: Path) -> dict[str, NDArray]:
    """The arrays of a file by name; those of Python objects are refused, as reading them could run code."""
    try:
        loaded = np.load(path, allow_pickle=False, mmap_mode=None if zipfile.is_zipfile(path) else "r")
        return {name: loaded[name] for name in loaded.files} if hasattr(loaded, "files") else {"X": loaded}
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError(
            f"File '{path}' holds pickled Python objects, which are never opened: they can run code. Save its arrays "
            "as numbers: np.savez('new.npz', X=..., y=...)."
        ) from None


def _by_part(path: Path, arrays: Mapping[str, NDArray], asked: str | None) -> dict[str, dict[str, NDArray]]:
    """Arrays by part ("" where there is one) and by what they are: x, y, length.

    Raises:
        DataError: none is called as values are, or the one asked for is not there.
    """
    if asked is not None and asked in arrays:
        return {"": {"x": arrays[asked]}}
    parts: dict[str, dict[str, NDArray]] = {}
    for name, array in arrays.items():
        if named := _NAME.match(name):
            what = "x" if named[1].lower() in _VALUES else named[1].lower()[0]
            parts.setdefault((named[2] or "").lower(), {})[what] = array
    parts = {part: own for part, own in parts.items() if "x" in own and asked in (None, part)}
    if not parts and asked is None and len(arrays) == 1:
        parts = {"": {"x": next(iter(arrays.values()))}}
    if not parts:
        shown = ", ".join(f"{name} {array.shape}" for name, array in list(arrays.items())[:8])
        what = f"no array '{asked}'" if asked else "several arrays and none called X"
        raise DataError(f"File '{path}' has {what}: {shown}. Name the one to read: --data.dataset NAME.")
    return {"": parts[""]} if "" in parts and asked is None else parts
