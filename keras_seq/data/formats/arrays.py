"""Arrays of NumPy, ``.npz`` and ``.npy``, never pickled: cases ``(cases, time, channels)`` with labels and lengths."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.formats.named_arrays import array_batches
from keras_seq.data.formats.registry import TableFormat, register
from keras_seq.data.reading.reading import Reading
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


@register(TableFormat("arrays", "a NumPy file", (".npz", ".npy"), options=("dataset",)))
def read_arrays(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Cases of ``X``, ``y`` and ``lengths``, of ``X_train``, ``X_test`` ... as parts; or columns of equal length."""
    arrays = _load(path)
    yield from array_batches(path, arrays, reading.dataset)


def _load(path: Path) -> dict[str, NDArray]:
    """The arrays of a file by name; those of Python objects are refused, as reading them could run code."""
    try:
        loaded = np.load(path, allow_pickle=False, mmap_mode=None if zipfile.is_zipfile(path) else "r")
        if hasattr(loaded, "files"):
            return {name: loaded[name] for name in loaded.files}
        return {name: loaded[name] for name in loaded.dtype.names} if loaded.dtype.names else {"X": loaded}
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError(
            f"File '{path}' holds pickled Python objects, which are never opened: they can run code. Save its arrays "
            "as numbers: np.savez('new.npz', X=..., y=...)."
        ) from None
