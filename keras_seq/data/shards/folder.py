"""Reading a folder of shards: the series in it, and whether it is whole."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from keras_seq.data.home import stores_home
from keras_seq.data.running_stats import Moments
from keras_seq.data.series import Schema
from keras_seq.data.shards.merge import FORMAT
from keras_seq.data.shards.writer import WORK, parquet_names
from keras_seq.data.store import StoredArray, StoredSeries
from keras_seq.errors import DataError, KerasSeqError
from keras_seq.files import read_json, sha256, write_json

MANIFEST, INDEX = "manifest.json", "index.npz"
VALUES, TARGETS, TIME = range(3)
HASHERS = 2  # shards checked at the same time
AGAIN = "Copy it anew from where it was written, or write the shards again into an empty folder."


class ShardFolder:
    """Where each row of a folder of shards lies.

    Args:
        folder: the shards.
        manifest: content of ``manifest.json``.
        index: content of ``index.npz``.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], index: dict[str, NDArray[Any]]) -> None:
        self.folder, self.manifest, self.index = folder, manifest, index
        self.schema = Schema.model_validate(manifest["schema"])
        self.starts = np.concatenate([[0], np.cumsum(index["piece_rows"])]).astype(np.int64)
        self._paths = [folder / shard["name"] for shard in manifest["shards"]]
        self._local = threading.local()  # Parquet readers are not for several threads

    def read(self, what: int, low: int, high: int, result: NDArray[Any]) -> None:
        """Fill ``result`` ``(high - low, ...)`` with values, targets or time of the rows ``[low, high)``."""
        piece = int(np.searchsorted(self.starts, low, side="right")) - 1
        while low < high:
            end = min(high, int(self.starts[piece + 1]))
            part = result[len(result) - (high - low) :][: end - low]
            self._read_piece(what, piece, low - int(self.starts[piece]), part)
            low, piece = end, piece + 1

    def _read_piece(self, what: int, piece: int, skip: int, part: NDArray[Any]) -> None:
        path = self._paths[self.index["piece_shard"][piece]]
        try:
            if self.manifest["kind"] == "parquet":
                self._read_group(what, path, int(self.index["at"][piece, 0]), skip, part)
                return
            size = part.nbytes // max(len(part), 1)
            with open(path, "rb", buffering=0) as file:
                file.seek(int(self.index["at"][piece, what]) + skip * size)
                if file.readinto(part.reshape(-1).view(np.uint8).data) != part.nbytes:
                    raise OSError("it ends too early")
        except (OSError, ValueError) as error:
            raise DataError(f"Shard '{path}' cannot be read ({error}). {AGAIN}") from None

    def _read_group(self, what: int, path: Path, group: int, skip: int, part: NDArray[Any]) -> None:
        from pyarrow import parquet

        if getattr(self._local, "path", None) != path:
            self._local.file = parquet.ParquetFile(path, pre_buffer=False)
            self._local.path = path
        names, features, targets = parquet_names(self.schema)
        columns = (features, targets, names[2:])[what]
        table = self._local.file.read_row_group(group, columns=columns, use_threads=False)
        grid = part.reshape(len(part), -1)
        for j, name in enumerate(columns):
            column = table.column(name).to_numpy()[skip : skip + len(part)]
            grid[:, j] = column.view(grid.dtype) if column.dtype.kind == "M" else column


class ShardArray(StoredArray):
    """Values, targets or time of all shards; slices and row numbers are read when asked for.

    Args:
        shards: the folder.
        what: ``VALUES``, ``TARGETS`` or ``TIME``.
        columns: values per row; None: one-dimensional.
    """

    def __init__(self, shards: ShardFolder, what: int, columns: int | None, dtype: DTypeLike = "<f4") -> None:
        self.path, self.dtype, self.columns = shards.folder, np.dtype(dtype), columns
        self.shards, self.what = shards, what
        self._row_bytes = self.dtype.itemsize * (columns or 1)
        self._rows = int(shards.manifest["rows"])

    def read(self, low: int, high: int) -> NDArray[Any]:
        """Rows ``[low, high)`` as a fresh array."""
        low, high = max(0, min(low, self._rows)), max(0, min(high, self._rows))
        result = np.empty((high - low, *self.shape[1:]), self.dtype)
        if self.what == TIME and not self.shards.manifest["time"]:
            rows, offsets = np.arange(low, high), self.shards.index["offsets"]
            return (rows - offsets[np.searchsorted(offsets, rows, side="right") - 1]).astype(self.dtype)
        self.shards.read(self.what, low, high, result)
        return result


@dataclass(frozen=True)
class ShardSeries(StoredSeries):
    """A ``StoredSeries`` whose rows lie in shards, with the moments of every piece of them."""

    shards: ShardFolder | None = None

    @property
    def folder(self) -> ShardFolder:
        """Where the rows lie."""
        assert self.shards is not None
        return self.shards

    def moments(self, ranges: Iterable[tuple[int, int]]) -> tuple[Moments, Moments]:
        """Moments of values and of targets in row ranges: stored ones merged, only pieces cut by a border are read."""
        tables, starts, features = self.folder.index["moments"], self.folder.starts, len(self.schema.columns)
        values, targets = Moments(features), Moments(len(self.schema.targets))
        wanted = np.zeros(len(starts) - 1, np.int64)  # how often each whole piece counts
        for low, high in ranges:
            first = int(np.searchsorted(starts, low))  # the first piece that begins in the range
            last = int(np.searchsorted(starts, high, side="right")) - 1  # the one after the last that ends in it
            borders = [(low, min(high, int(starts[first]))), (max(low, int(starts[last])), high)]
            if last >= first:
                wanted[first:last] += 1
            else:
                borders = [(low, high)]
            for begin, end in borders:
                if begin < end:
                    values.add(self.values[begin:end])
                    if self.schema.target_per == "step":
                        targets.add(self.targets[begin:end])
        for times in range(1, int(wanted.max(initial=0)) + 1):
            chosen = tables[wanted >= times]
            values.merge(chosen[:, :, :features])
            targets.merge(chosen[:, :, features:])
        return values, targets


def open_shards(folder: str | Path) -> ShardSeries:
    """The series in a finished folder; reads manifest and index, and looks at the size of every shard.

    Raises:
        DataError: the folder is missing, unfinished or of another format; a shard is missing or truncated.
    """
    shards = _open(Path(folder).expanduser())
    return series_of(shards.folder, shards.manifest, shards.index)


def series_of(folder: Path, manifest: dict[str, Any], index: dict[str, NDArray[Any]]) -> ShardSeries:
    """The series that a manifest and an index describe."""
    shards = ShardFolder(folder, manifest, index)
    schema = shards.schema
    units = np.array(manifest["units"])
    per_unit = schema.target_per == "unit"
    return ShardSeries(
        schema=schema,
        values=ShardArray(shards, VALUES, len(schema.columns)),  # type: ignore[arg-type]
        targets=index["unit_targets"] if per_unit else ShardArray(shards, TARGETS, len(schema.targets)),  # type: ignore[arg-type]
        offsets=index["offsets"],
        unit_ids=units,
        groups=np.array(manifest["groups"]) if manifest["groups"] else units,
        time=ShardArray(shards, TIME, None, f"<{manifest['time'] or 'f8'}"),  # type: ignore[arg-type]
        official=np.array(manifest["official"] or [""] * len(units)),
        info=manifest["info"],
        digest=manifest["digest"],
        shards=shards,
    )


def _open(folder: Path) -> ShardFolder:
    if not (folder / MANIFEST).is_file():
        if (folder / WORK).is_dir():
            raise DataError(
                f"The shards in '{folder}' are unfinished: their writing was stopped. Finish it with the same "
                "'python -m keras_seq.data shard' command; finished shards are kept."
            )
        what = "has no manifest.json" if folder.is_dir() else "does not exist"
        raise DataError(f"'{folder}' {what}; data.path must name a folder written by 'python -m keras_seq.data shard'.")
    try:
        manifest = read_json(folder / MANIFEST)
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']}, this version reads {FORMAT}")
        if sha256(folder / INDEX) != manifest["index_sha256"]:
            raise ValueError(f"{INDEX} is not the one that was written")
        with np.load(folder / INDEX, allow_pickle=False) as file:
            shards = ShardFolder(folder, manifest, dict(file))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"The manifest of the shards in '{folder}' cannot be used ({error}). {AGAIN}") from None
    for shard in manifest["shards"]:
        _look(folder / shard["name"], shard["bytes"])
    return shards


def _look(path: Path, size: int) -> None:
    try:
        bytes_there = path.stat().st_size
    except OSError as error:
        raise DataError(f"Shard '{path}' is missing ({error.strerror}). {AGAIN}") from None
    if bytes_there != size:
        what = "truncated" if bytes_there < size else "longer than it was"
        raise DataError(f"Shard '{path}' is {what}: it has {bytes_there} bytes, the manifest says {size}. {AGAIN}")


def verify(series: ShardSeries, *, again: bool = False) -> int:
    """Check the sha256 of shards that have changed since they were last checked on this machine.

    Args:
        series: of the folder.
        again: check all of them.

    Returns:
        How many were read.

    Raises:
        DataError: names the first shard whose content is not what was written.
    """
    folder, shards = series.folder.folder, series.folder.manifest["shards"]
    stamp = _stamp(series)
    known = {} if again else _known(stamp)
    marks = {shard["name"]: _mark(folder / shard["name"]) for shard in shards}
    open_ones = [shard for shard in shards if known.get(shard["name"]) != marks[shard["name"]]]
    with ThreadPoolExecutor(HASHERS) as pool:  # hashing lets go of the interpreter's lock
        digests = pool.map(lambda shard: sha256(folder / shard["name"]), open_ones)
        for shard, digest in zip(open_ones, digests, strict=True):
            if digest != shard["sha256"]:
                raise DataError(
                    f"Shard '{folder / shard['name']}' has been changed: its sha256 is {digest}, the manifest says "
                    f"{shard['sha256']}. {AGAIN}"
                )
    if open_ones:
        remember(series)
    return len(open_ones)


def remember(series: ShardSeries) -> None:
    """Note on this machine that the shards are as they were written."""
    folder, shards = series.folder.folder, series.folder.manifest["shards"]
    try:
        write_json(_stamp(series), {shard["name"]: _mark(folder / shard["name"]) for shard in shards})
    except KerasSeqError:
        return  # they will be checked again


def _stamp(series: ShardSeries) -> Path:
    return stores_home() / f"checked-{series.digest[:24]}.json"


def _known(stamp: Path) -> dict[str, Any]:
    try:
        marks = read_json(stamp)
    except (OSError, ValueError):
        return {}
    return marks if isinstance(marks, dict) else {}


def _mark(path: Path) -> list[Any]:
    facts = path.stat()
    return [str(path.resolve()), facts.st_size, facts.st_mtime_ns, facts.st_ino]


def summary(series: ShardSeries) -> Iterator[str]:
    """A folder in a few lines, for people."""
    manifest = series.folder.manifest
    size = sum(shard["bytes"] for shard in manifest["shards"]) / 2**20
    yield (
        f"{manifest['name']}: task {series.schema.task}, {manifest['rows']} rows in {series.n_units} units, "
        f"{len(series.schema.features)} features; {len(manifest['shards'])} {manifest['kind']} shards, {size:.1f} MB"
    )
    for name, part in manifest["statistics"].items():
        yield f"  {name}: {part['units']} units, {part['rows']} rows"
