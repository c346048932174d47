"""MATLAB files, version 5 by SciPy and 7.3 by h5py: numbers, texts, structs, and cells of matrices as cases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.formats.named_arrays import array_batches
from keras_seq.data.formats.registry import TableFormat, register
from keras_seq.data.reading.reading import Reading

if TYPE_CHECKING:
    import pyarrow as pa

MAGIC = (b"MATLAB 5.0", b"MATLAB 7.3")
Variables = dict[str, Any]


@register(TableFormat("matlab", "a MATLAB file", (".mat",), MAGIC, options=("dataset",), apart=True))
def read_matlab(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Variables and fields of structs (``mts.train``) as named arrays."""
    arrays: Variables = {}
    lengths: dict[str, NDArray] = {}
    for name, value in read_variables(path).items():
        if isinstance(value, list) and all(isinstance(case, str) for case in value):
            arrays[name] = np.array(value)
        elif isinstance(value, list):
            arrays[name], lengths[name] = _padded(value)
        elif isinstance(value, np.ndarray):
            arrays[name] = value.reshape(-1) if value.ndim == 2 and 1 in value.shape else value
    yield from array_batches(path, arrays, reading.dataset, lengths=lengths)


def read_variables(path: Path) -> Variables:
    """Variables by name, fields of structs with a dot: arrays, texts, and cells as lists.

    Raises:
        OSError, ValueError ...: as the library finds it damaged.
    """
    with open(path, "rb") as file:
        if file.read(len(MAGIC[1])) == MAGIC[1]:
            return _version_7(path)
    from scipy.io import loadmat

    loaded = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    return dict(_fields(loaded, ""))


def _fields(values: Any, before: str) -> Iterator[tuple[str, Any]]:
    """Numbers, texts and cells in a struct and in structs inside it; what else there is (functions, objects) is not."""
    for name, value in values.items():
        if value.dtype.names and value.size == 1:
            record = value.reshape(-1)[0]
            yield from _fields({field: record[field] for field in value.dtype.names}, f"{before}{name}.")
        elif value.dtype.kind == "O":
            cells = [cell[0] if cell.dtype.kind == "U" and cell.size else cell for cell in value.reshape(-1)]
            if all(isinstance(cell, str) or (cell.dtype.kind in "fiub" and cell.ndim == 2) for cell in cells):
                yield f"{before}{name}", [str(cell) if isinstance(cell, str) else cell for cell in cells]
        elif value.dtype.kind in "fiubU":
            yield f"{before}{name}", value


def _version_7(path: Path) -> Variables:
    """Variables of an HDF5 file, which holds matrices turned round and cells as references."""
    import h5py

    variables: Variables = {}

    def value_of(item: h5py.Dataset) -> Any:
        if item.attrs.get("MATLAB_class") == b"char":
            return "".join(map(chr, item[:].T.reshape(-1)))
        return item[:].T

    with h5py.File(path, "r") as file:

        def keep(name: str, item: Any) -> None:
            if not isinstance(item, h5py.Dataset) or name.startswith("#") or item.attrs.get("MATLAB_empty"):
                return
            if h5py.check_ref_dtype(item.dtype):
                cells = [value_of(file[reference]) for reference in item[:].T.reshape(-1)]
                variables[name.replace("/", ".")] = cells
            elif item.dtype.kind in "fiub":
                variables[name.replace("/", ".")] = np.atleast_1d(value_of(item))

        file.visititems(keep)
    return variables


def _padded(cells: list[NDArray]) -> tuple[NDArray, NDArray]:
    """Cases ``(cases, time, channels)``, NaN behind their ends, and their lengths, of cells of matrices.

    Channels are the side that is equal in all of them; where both are, or none, time is the longer one.
    """
    first = {cell.shape[0] for cell in cells}, {cell.shape[1] for cell in cells}
    turned = len(first[0]) < len(first[1]) if len(first[0]) != len(first[1]) else cells[0].shape[0] < cells[0].shape[1]
    cases = [cell.T if turned else cell for cell in cells]
    lengths = np.array([len(case) for case in cases])
    values = np.full((len(cases), lengths.max(), max(case.shape[1] for case in cases)), np.nan)
    for row, case in zip(values, cases, strict=True):
        row[: len(case), : case.shape[1]] = case
    return values, lengths
