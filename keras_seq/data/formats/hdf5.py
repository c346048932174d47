"""HDF5 and netCDF 4 by h5py: columns of a group, a table of records, rows by columns, or cases; never pickles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.formats.named_arrays import array_batches, labelled
from keras_seq.data.formats.registry import TableFormat, register
from keras_seq.data.reading.reading import Reading
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import h5py
    import pyarrow as pa

SUFFIXES = (".h5", ".hdf5", ".hdf", ".nc", ".nc4")
MAGIC = b"\x89HDF\r\n\x1a\n"
NAMES = ("columns", "column_names", "names", "channels", "channel_names")  # attributes that name columns
NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"
_SINCE = re.compile(r"(?i)^(day|hour|minute|second|millisecond|microsecond)s? since (.+)$")
_MICROSECONDS = {"day": 86.4e9, "hour": 3.6e9, "minute": 6e7, "second": 1e6, "millisecond": 1e3, "microsecond": 1.0}


@register(
    TableFormat(
        "hdf5", "an HDF5 file", (".h5", ".hdf5", ".hdf", ".nc", ".nc4"), (MAGIC,), options=("dataset",), apart=True
    )
)
def read_hdf5(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Rows of the group or data set that ``data.dataset`` names, else of the group with most values."""
    import h5py

    with h5py.File(path, "r") as file:
        asked = (reading.dataset or "").strip("/") or None
        if asked and isinstance(file.get(asked), h5py.Dataset):
            folder, _, name = asked.rpartition("/")
            yield from _group(path, file[folder or "/"], name)
            return
        root = file.get(asked, file) if asked else file
        asked = None if asked and asked in file else asked
        children = [(name, child) for name, child in root.items() if isinstance(child, h5py.Group)]
        kinds = {tuple(child) for _, child in children if _arrays(child)}
        if len(children) > 1 and len(kinds) == 1 and not _arrays(root):
            for name, child in children:
                yield from labelled(_group(path, child, asked), name)
            return
        groups: list[Any] = [root]
        root.visititems(lambda _, item: groups.append(item) if isinstance(item, h5py.Group) else None)
        yield from _group(path, max(groups, key=lambda own: sum(a.size for a in _arrays(own).values())), asked)


def _arrays(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Data sets of a group that hold numbers, texts or records."""
    import h5py

    return {
        name: item
        for name, item in group.items()
        if isinstance(item, h5py.Dataset)
        and item.shape
        and (item.dtype.kind in "fiubSV" or h5py.check_string_dtype(item.dtype))
    }


def _group(path: Path, group: h5py.Group, asked: str | None) -> Iterator[pa.RecordBatch]:
    """Batches of one group's arrays.

    Raises:
        DataError: pandas wrote it, and pickled the names of its columns.
    """
    own = _arrays(group)
    arrays: dict[str, Any] = {}
    for name, item in own.items():
        if item.dtype.names and item.ndim == 1:
            arrays |= {column: item[column] for column in item.dtype.names}
        elif not item.dtype.names and not _text(item.attrs.get("NAME", "")).startswith(NO_VARIABLE):
            arrays[name] = _decoded(item)
    if "pandas_type" in group.attrs and any(name.startswith(("values_block", "block0")) for name in arrays):
        raise DataError(
            f"File '{path}' was written by pandas.to_hdf, which pickles the names of columns; pickles are never "
            "opened, as they can run code. Write it anew: frame.to_parquet('new.parquet')."
        )
    columns = {name: found for name, item in own.items() if (found := _column_names(item))}
    yield from array_batches(path, arrays, asked, names=columns)


def _column_names(item: h5py.Dataset) -> Sequence[str] | None:
    """Names of the columns of a data set ``(rows, columns)`` from its attributes."""
    for attribute in NAMES if item.ndim == 2 else ():
        values = np.asarray(item.attrs.get(attribute, ())).reshape(-1).tolist()
        if len(values) == item.shape[1]:
            return [_text(value) for value in values]
    return None


def _decoded(item: h5py.Dataset) -> h5py.Dataset | NDArray[Any]:
    """Values as netCDF means them: fill values missing, scaled, stamps since a moment as dates."""
    attributes = {name: item.attrs[name] for name in ("_FillValue", "scale_factor", "add_offset") if name in item.attrs}
    since = _SINCE.match(_text(item.attrs.get("units", "")))
    if item.dtype.kind not in "fiu" or not (attributes or since):
        return item
    values = item[:].astype(np.float64)
    if "_FillValue" in attributes:
        values[item[:] == attributes["_FillValue"]] = np.nan
    values = values * np.ravel(attributes.get("scale_factor", 1))[0] + np.ravel(attributes.get("add_offset", 0))[0]
    if not since:
        return values
    moment = since[2].removesuffix("UTC").removesuffix("Z").strip().replace(" ", "T", 1)
    origin = np.datetime64(moment[:26], "us")
    steps = np.round(values * _MICROSECONDS[since[1].lower()])
    whole = np.where(np.isnan(values), 0, steps).astype(np.int64).astype("timedelta64[us]")
    return np.where(np.isnan(values), np.datetime64("NaT"), origin + whole)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
