"""Series larger than memory: raw arrays on disk, read in pieces; memory stays flat as the file grows.

A store is a folder: ``values.f32``, ``targets.f32`` and ``time.<f64|M8[ns]>`` (little-endian, row after row),
``offsets.i64``, and ``header.json`` with schema, units, groups and the digest. It is written beside and
renamed into place, and found again while the content of the source file (sha256, 1.4 GB/s on one core) and the
options that shape it stay the same.
Reading goes through ``read`` calls, not memory maps, so pages of the file never count as the
process's own memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from keras_seq.config import DataConfig
from keras_seq.config.database import FIELDS
from keras_seq.data.databases.extract import table_path
from keras_seq.data.formats.converted import content_digest
from keras_seq.data.formats.members import labels_path, table_stem
from keras_seq.data.series import Schema, Series
from keras_seq.errors import DataError
from keras_seq.files import read_json

FORMAT = 1
PIECE = 1 << 16  # rows read at once where single rows are asked for
HEADER = "header.json"
NOT_SHAPING = {  # fields of the data section that leave the rows as they are; every other one makes another store
    *(
        "source",
        "subset",
        "home",
        "path",
        *FIELDS,
        "schema_file",
        "caster",
        "covariates",
        "split",
        "windows",
        "target_cap",
    ),
    *("scale", "conditions", "augment", "balance", "shuffle", "bucket", "cache", "prefetch", "shards", "known_ahead"),
}


class StoredArray:
    """A two- or one-dimensional array in a raw file; slices and row numbers are read when asked for.

    Args:
        path: raw little-endian file.
        dtype: of one value.
        columns: values per row; None: one-dimensional.
    """

    def __init__(self, path: Path, dtype: DTypeLike, columns: int | None) -> None:
        self.path, self.dtype, self.columns = Path(path), np.dtype(dtype), columns
        self._row_bytes = self.dtype.itemsize * (columns or 1)
        self._rows = self.path.stat().st_size // self._row_bytes

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, columns)`` or ``(rows,)``."""
        return (self._rows,) if self.columns is None else (self._rows, self.columns)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return self._rows * (self.columns or 1)

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self._rows * self._row_bytes

    def __len__(self) -> int:
        return self._rows

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self.read(0, self._rows)
        return whole if dtype is None else whole.astype(dtype)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            rows, *rest = key
            if isinstance(rows, (int, np.integer)):
                return self[rows][tuple(rest)]
            chosen = self[rows]
            return chosen[(slice(None),) * (chosen.ndim - self.ndim + 1) + tuple(rest)]
        if isinstance(key, slice):
            low, high, step = key.indices(self._rows)
            if step == 1:
                return self.read(low, max(low, high))
            return self[np.arange(low, high, step)]
        if isinstance(key, (int, np.integer)):
            row = int(key) % self._rows if -self._rows <= key < self._rows else int(key)
            if not 0 <= row < self._rows:
                raise IndexError(f"row {int(key)} of {self._rows}")
            return self.read(row, row + 1)[0]
        numbers = np.asarray(key)
        return self._take(np.flatnonzero(numbers) if numbers.dtype == bool else numbers)

    def read(self, low: int, high: int) -> NDArray[Any]:
        """Rows ``[low, high)`` as a fresh array."""
        values = np.fromfile(self.path, self.dtype, (high - low) * (self.columns or 1), offset=low * self._row_bytes)
        return values if self.columns is None else values.reshape(-1, self.columns)

    def pieces(self, rows: int = PIECE) -> Iterator[NDArray[Any]]:
        """The whole array, ``rows`` rows at a time."""
        for low in range(0, self._rows, rows):
            yield self.read(low, min(low + rows, self._rows))

    def _take(self, numbers: NDArray[np.integer]) -> NDArray[Any]:
        """Rows of any numbers, reading every touched piece of the file once."""
        flat = numbers.reshape(-1)
        if len(flat) and (flat.min() < -self._rows or flat.max() >= self._rows):
            raise IndexError(f"rows {flat.min()} to {flat.max()} of {self._rows}")
        flat = np.where(flat < 0, flat + self._rows, flat)
        result = np.empty((len(flat), *self.shape[1:]), self.dtype)
        order = np.argsort(flat, kind="stable")
        piece = flat[order] // PIECE
        borders = np.concatenate([[0], np.flatnonzero(np.diff(piece)) + 1, [len(flat)]]) if len(flat) else [0]
        for first, last in pairwise(borders):
            chosen = order[first:last]
            low = int(flat[chosen[0]])
            result[chosen] = self.read(low, int(flat[chosen[-1]]) + 1)[flat[chosen] - low]
        return result.reshape(*numbers.shape, *self.shape[1:])


@dataclass(frozen=True)
class StoredSeries(Series):
    """A ``Series`` whose values, targets per step and time stay on disk (``StoredArray``).

    ``series.values[a:b]`` and ``series.targets[numbers]`` read what they name; ``np.asarray`` of one
    reads all of it.
    """

    digest: str = ""
    targets_known: bool = False  # no target is missing; False: not known

    def fingerprint(self) -> str:
        """Digest taken when the store was written."""
        return self.digest


def is_stored(series: Series) -> bool:
    """Whether the rows of a series stay on disk."""
    return isinstance(series, StoredSeries)


def store_key(config: DataConfig) -> str:
    """Name of the store of ``config.path``: changes with the file's content and every option that shapes the rows.

    Raises:
        DataError: the file, or its schema file, cannot be read.
    """
    try:
        file = (table_path(config) or Path("")).resolve()
        content = content_digest(file)
        schema = content_digest(Path(config.schema_file)) if config.schema_file else ""
        schema += content_digest(Path(config.static.path).expanduser()) if config.static.path else ""
        labels = labels_path(file, config.labels)
        content += content_digest(labels) if labels else ""
    except OSError as error:
        raise DataError(f"File '{error.filename}' cannot be read ({error.strerror}).") from None
    options = config.model_dump(mode="json", exclude=NOT_SHAPING) | {"per_step": config.windows.per_step}
    parts = [FORMAT, str(file), content, schema, options, bool(config.windows.horizon)]
    return f"{table_stem(file)}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"


def open_store(folder: str | Path) -> StoredSeries:
    """The series in a store folder; reads the header and the offsets only.

    Raises:
        DataError: the folder holds no (whole) store of this format.
    """
    folder = Path(folder)
    try:
        header = read_json(folder / HEADER)
        if header["format"] != FORMAT:
            raise KeyError("format")
        schema = Schema.model_validate(header["schema"])
        values = StoredArray(folder / "values.f32", "<f4", len(schema.columns))
        targets = StoredArray(folder / "targets.f32", "<f4", len(schema.targets))
        time = StoredArray(folder / f"time.{header['time']}", f"<{header['time']}", None)
        offsets = np.fromfile(folder / "offsets.i64", "<i8").astype(np.int64)
        if not len(values) == header["rows"] == offsets[-1]:
            raise KeyError("rows")
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"'{folder}' does not hold a whole data store ({error}); remove it, it is made anew.") from None
    units = np.array(header["units"])
    return StoredSeries(
        schema=schema,
        values=values,  # type: ignore[arg-type]
        targets=np.asarray(targets) if schema.target_per == "unit" else targets,  # type: ignore[arg-type]
        offsets=offsets,
        unit_ids=units,
        groups=np.array(header["groups"]) if header["groups"] else units,
        time=time,  # type: ignore[arg-type]
        official=np.array([""] * len(units)),
        info=header["info"],
        digest=header["digest"],
        targets_known=header.get("targets_known", False),
    )
