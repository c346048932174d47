"""Series larger than memory: rows that stay on disk and are read in pieces, so that memory stays flat.

Reading goes through ``read`` calls at known places, not memory maps, so pages of the files never count as the
process's own memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from keras_seq.data.running_stats import Moments
from keras_seq.data.series import Schema, Series
from keras_seq.errors import DataError

PIECE = 1 << 16  # rows read at once where single rows are asked for
VALUES, TARGETS, TIME = range(3)


class StoredArray:
    """An array whose rows are read when slices or row numbers ask for them.

    Args:
        rows: number of rows.
        tail: the other axes; ``()`` of a one-dimensional one.
        dtype: of one value.
        fill: writes the rows from the given one on into an array ``(some, *tail)``.
    """

    def __init__(
        self, rows: int, tail: tuple[int, ...], dtype: DTypeLike, fill: Callable[[int, NDArray[Any]], None]
    ) -> None:
        self.shape, self.dtype, self._fill = (rows, *tail), np.dtype(dtype), fill

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self.read(0, len(self))
        return whole if dtype is None else whole.astype(dtype)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            rows, *rest = key
            if isinstance(rows, (int, np.integer)):
                return self[rows][tuple(rest)]
            chosen = self[rows]
            return chosen[(slice(None),) * (chosen.ndim - self.ndim + 1) + tuple(rest)]
        if isinstance(key, slice):
            low, high, step = key.indices(len(self))
            if step == 1:
                return self.read(low, max(low, high))
            return self[np.arange(low, high, step)]
        if isinstance(key, (int, np.integer)):
            return self._take(np.array([key], np.int64))[0]
        numbers = np.asarray(key)
        return self._take(np.flatnonzero(numbers) if numbers.dtype == bool else numbers)

    def read(self, low: int, high: int) -> NDArray[Any]:
        """Rows ``[low, high)`` as a fresh array."""
        result = np.empty((high - low, *self.shape[1:]), self.dtype)
        self._fill(low, result)
        return result

    def _take(self, numbers: NDArray[np.integer]) -> NDArray[Any]:
        """Rows of any numbers, reading every touched piece once."""
        rows, flat = len(self), numbers.reshape(-1)
        if len(flat) and (flat.min() < -rows or flat.max() >= rows):
            raise IndexError(f"rows {flat.min()} to {flat.max()} of {rows}")
        flat = np.where(flat < 0, flat + rows, flat)
        result = np.empty((len(flat), *self.shape[1:]), self.dtype)
        order = np.argsort(flat, kind="stable")
        piece = flat[order] // PIECE
        borders = np.concatenate([[0], np.flatnonzero(np.diff(piece)) + 1, [len(flat)]]) if len(flat) else [0]
        for first, last in pairwise(borders):
            chosen = order[first:last]
            low = int(flat[chosen[0]])
            result[chosen] = self.read(low, int(flat[chosen[-1]]) + 1)[flat[chosen] - low]
        return result.reshape(*numbers.shape, *self.shape[1:])


class StoredRows:
    """Where each row of a folder lies.

    Args:
        folder: the shards.
        manifest: content of ``manifest.json``.
        index: content of ``index.npz``.
        mend: advice of errors where a shard is damaged.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], index: dict[str, NDArray[Any]], mend: str) -> None:
        self.folder, self.manifest, self.index, self.mend = folder, manifest, index, mend
        self.starts = np.concatenate([[0], np.cumsum(index["piece_rows"])]).astype(np.int64)
        self._paths = [folder / shard["name"] for shard in manifest["shards"]]

    def array(self, what: int, tail: tuple[int, ...], dtype: DTypeLike = "<f4") -> StoredArray:
        """``VALUES``, ``TARGETS`` or ``TIME`` of all rows."""
        counted = what == TIME and not self.manifest["time"]
        fill = self._count if counted else lambda low, result: self._read(what, low, result)
        return StoredArray(int(self.manifest["rows"]), tail, dtype, fill)

    def _count(self, low: int, result: NDArray[Any]) -> None:
        """Steps from 0 in each unit."""
        rows, offsets = np.arange(low, low + len(result)), self.index["offsets"]
        result[:] = rows - offsets[np.searchsorted(offsets, rows, side="right") - 1]

    def _read(self, what: int, low: int, result: NDArray[Any]) -> None:
        piece = int(np.searchsorted(self.starts, low, side="right")) - 1
        done = 0
        while done < len(result):
            part = result[done : done + int(self.starts[piece + 1]) - low - done]
            self._read_piece(what, piece, low + done - int(self.starts[piece]), part)
            done, piece = done + len(part), piece + 1

    def _read_piece(self, what: int, piece: int, skip: int, part: NDArray[Any]) -> None:
        path = self._paths[self.index["piece_shard"][piece]]
        try:
            with open(path, "rb", buffering=0) as file:
                file.seek(int(self.index["at"][piece, what]) + skip * (part.nbytes // max(len(part), 1)))
                if file.readinto(part.reshape(-1).view(np.uint8).data) != part.nbytes:
                    raise OSError("it ends too early")
        except (OSError, ValueError) as error:
            raise DataError(f"Shard '{path}' cannot be read ({error}). {self.mend}") from None


@dataclass(frozen=True)
class StoredSeries(Series):
    """A ``Series`` whose values, targets per step and time stay on disk (``StoredArray``).

    ``series.values[a:b]`` and ``series.targets[numbers]`` read what they name; ``np.asarray`` of one
    reads all of it.

    Attributes:
        stored: where the rows lie, with the moments of every piece of them.
    """

    stored: StoredRows = field(kw_only=True)

    def fingerprint(self) -> str:
        """Digest taken when the rows were written."""
        return str(self.stored.manifest["digest"])

    def moments(self, ranges: Iterable[tuple[int, int]]) -> tuple[Moments, Moments]:
        """Moments of values and of targets in row ranges: stored ones merged, only pieces cut by a border are read."""
        tables, starts, features = self.stored.index["moments"], self.stored.starts, len(self.schema.columns)
        values, targets = Moments(features), Moments(len(self.schema.targets))
        wanted = np.zeros(len(starts) - 1, np.int64)  # how often each whole piece counts
        cut = []
        for low, high in ranges:
            first = int(np.searchsorted(starts, low))  # the first piece that begins in the range
            last = int(np.searchsorted(starts, high, side="right")) - 1  # the one after the last that ends in it
            wanted[first:last] += 1
            cut += [(low, int(starts[first])), (int(starts[last]), high)] if last >= first else [(low, high)]
        for rows in _row_numbers(cut):
            values.add(self.values[rows])
            if self.schema.target_per == "step":
                targets.add(self.targets[rows])
        for times in range(1, int(wanted.max(initial=0)) + 1):
            chosen = tables[wanted >= times]
            values.merge(chosen[:, :, :features])
            targets.merge(chosen[:, :, features:])
        return values, targets


def _row_numbers(ranges: Iterable[tuple[int, int]]) -> Iterator[NDArray[np.int64]]:
    """Row numbers of many short ranges, about ``PIECE`` at a time."""
    held, count = [], 0
    for low, high in ranges:
        held.append(np.arange(low, high))
        count += high - low
        if count >= PIECE:
            yield np.concatenate(held)
            held, count = [], 0
    if count:
        yield np.concatenate(held)


def is_stored(series: Series) -> bool:
    """Whether the rows of a series stay on disk."""
    return isinstance(series, StoredSeries)


def series_of(stored: StoredRows) -> StoredSeries:
    """The series of a folder, from its manifest and index."""
    manifest, index = stored.manifest, stored.index
    schema, units = Schema.model_validate(manifest["schema"]), np.array(manifest["units"])
    per_unit = schema.target_per == "unit"
    targets: Any = index["unit_targets"] if per_unit else stored.array(TARGETS, (len(schema.targets),))
    return StoredSeries(
        schema=schema,
        values=stored.array(VALUES, (len(schema.columns),)),  # type: ignore[arg-type]
        targets=targets,
        offsets=index["offsets"],
        unit_ids=units,
        groups=np.array(manifest["groups"]) if manifest["groups"] else units,
        time=stored.array(TIME, (), f"<{manifest['time'] or 'f8'}"),  # type: ignore[arg-type]
        official=np.array(manifest["official"] or [""] * len(units)),
        info=manifest["info"],
        stored=stored,
    )
