"""Named arrays as a table: cases with labels and lengths, or columns of equal length side by side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.formats.cases import cases_of
from keras_seq.data.formats.roles import Roles, with_roles
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_WHAT = r"x|values|data|y|labels?|targets?|lengths?"
_PART = r"train|valid|validation|val|test"
_NAME = re.compile(rf"(?i)^(?:.*[./])?(?:(?P<a>{_WHAT})(?:_?(?P<b>{_PART}))?|(?P<c>{_PART})(?:_?(?P<d>{_WHAT}))?)$")
_VALUES = ("x", "values", "data", "")
BATCH = 2**17  # rows read at once
UNIT = "group"  # column of the groups' names, where several are joined
Arrays = Mapping[str, Any]  # of NumPy, or what is read as they are in pieces (h5py.Dataset)


def array_batches(
    path: Path,
    arrays: Arrays,
    asked: str | None,
    *,
    names: Mapping[str, Sequence[str]] | None = None,
    lengths: Mapping[str, NDArray] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Record batches of arrays.

    Args:
        path: their file, for messages.
        arrays: by name; numbers, texts, dates.
        asked: name of the one to read, or a part of the data (``train``); None: told from names and shapes.
        names: columns' names of arrays ``(rows, columns)``, where the file tells them.
        lengths: of the cases of arrays that are padded, where it tells them so.

    Raises:
        DataError: there are several and nothing tells which is meant, or the one asked for is not there.
    """
    if asked in arrays or (asked is None and len(arrays) == 1):
        name = asked or next(iter(arrays))
        own = {"x": _flat("x", arrays[name])} | ({"l": lengths[name]} if lengths and name in lengths else {})
        rows = own["x"].ndim == 1 or (own["x"].ndim == 2 and name in (names or {}))
        yield from _columns({name: own["x"]}, names or {}) if rows else cases_of(path, {"": own})
    elif parts := _by_part(arrays, asked, lengths or {}):
        yield from cases_of(path, parts)
    elif asked is None and (columns := _equal(arrays)):
        yield from _columns(columns, names or {})
    else:
        shown = ", ".join(f"{name} {array.shape}" for name, array in list(arrays.items())[:8])
        what = f"no array '{asked}'" if asked else "several arrays and none called X"
        raise DataError(f"File '{path}' has {what}: {shown or 'none'}. Name the one to read: --data.dataset NAME.")


def _by_part(arrays: Arrays, asked: str | None, lengths: Mapping[str, NDArray]) -> dict[str, dict[str, Any]]:
    """Arrays by part ("" where there is one) and by what they are: x, y, l; none where no name tells values."""
    parts: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        if match := _NAME.match(name):
            what = (match["a"] or match["d"] or "").lower()
            part = (match["b"] or match["c"] or "").lower()
            kind = "x" if what in _VALUES else "l" if what.startswith("length") else "y"
            parts.setdefault(part, {})[kind] = array
            if kind == "x" and name in lengths:
                parts[part]["l"] = lengths[name]
    parts = {
        part: {what: _flat(what, array) for what, array in own.items()}
        for part, own in parts.items()
        if "x" in own and own["x"].ndim > 1 and asked in (None, part)
    }
    if "" not in parts or asked is not None:
        return parts
    shape = parts[""]["x"].shape
    beside = [array for name, array in arrays.items() if not _NAME.match(name) and array.shape == shape[:1]]
    return {} if len(shape) == 2 and beside else {"": parts[""]}


def _flat(what: str, array: Any) -> Any:
    """Labels and lengths as vectors; values as they are, unless they are one series."""
    return np.asarray(array).reshape(-1) if what != "x" else array if array.ndim > 2 else np.asarray(array)


def _equal(arrays: Arrays) -> dict[str, Any]:
    """Arrays of the commonest length, where they are columns; those of other lengths are left out."""
    vectors = {name: array for name, array in arrays.items() if array.ndim in (1, 2) and array.dtype.kind in "fiubUSOM"}
    counts = Counter(len(array) for array in vectors.values() if len(array) > 1)
    if not counts or any(array.ndim > 2 for array in arrays.values()):
        return {}
    rows = max(counts, key=lambda length: (counts[length], length))
    return {name: array for name, array in vectors.items() if len(array) == rows}


def _columns(arrays: Arrays, names: Mapping[str, Sequence[str]]) -> Iterator[pa.RecordBatch]:
    """Batches of arrays ``(rows,)`` and ``(rows, columns)`` side by side."""
    import pyarrow as pa

    rows = len(next(iter(arrays.values())))
    for start in range(0, rows, BATCH):
        columns: dict[str, pa.Array] = {}
        for name, array in arrays.items():
            block = np.asarray(array[start : start + BATCH])
            if block.ndim == 1:
                columns[name] = arrow_column(block)
                continue
            own = names.get(name) or [f"{name}_{i + 1}" for i in range(block.shape[1])]
            own = own if block.shape[1] > 1 or name in names else [name]
            columns |= {column: arrow_column(block[:, i]) for i, column in enumerate(own)}
        yield pa.RecordBatch.from_pydict(columns)


def arrow_column(values: NDArray) -> pa.Array:
    """A vector as Arrow has it: texts as strings, NaN as missing, dates to the microsecond."""
    import pyarrow as pa

    if values.dtype.kind in "SO":
        texts = [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in values.tolist()]
        return pa.array([None if text is None else str(text) for text in texts], pa.string())
    if values.dtype.kind == "M":
        return pa.array(values.astype("datetime64[us]"))
    return pa.array(values.astype(values.dtype.newbyteorder("=")), from_pandas=True)


def labelled(batches: Iterator[pa.RecordBatch], label: str) -> Iterator[pa.RecordBatch]:
    """Batches with the name of their unit in front."""
    import pyarrow as pa

    for batch in batches:
        first = pa.repeat(pa.scalar(label), batch.num_rows)
        schema = pa.schema([pa.field(UNIT, pa.string()), *batch.schema])
        yield pa.RecordBatch.from_arrays([first, *batch.columns], schema=with_roles(schema, Roles(unit=UNIT)))
