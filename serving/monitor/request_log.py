"""Request log: answered calls (inputs, answers, time, version) as Parquet files of bounded size.

::

    request_id  string     the client's X-Request-Id, or the server's; the key for labels that come later
    time        timestamp  of the answer, microseconds, UTC
    model       string
    version     int64
    signature   string
    seconds     float64    from the whole request read to the answer computed
    rows        int32      of the batch
    inputs      list of {name, dtype, shape, data, strings}
    outputs     likewise

``data`` are the array's bytes, little-endian, C order, dtype as NumPy writes it (``<f4``); for strings ``dtype`` is
``object`` and ``strings`` holds them. ``read_calls`` gives arrays back. Files appear complete or not at all; names sort
by time, and when all files together are too large the oldest go.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq import files
from keras_seq.errors import DataError
from serving.models.servable import Arrays
from serving.observers import ObservedCall

FOLDER = "requests"
MEGABYTE = 2**20
STALE = 3600.0  # seconds after which a half-written file is of a process that is gone
KINDS = "fiub"


def schema() -> Any:
    """Arrow schema of the log's files."""
    import pyarrow as pa

    array = pa.struct(
        [
            ("name", pa.string()),
            ("dtype", pa.string()),
            ("shape", pa.list_(pa.int64())),
            ("data", pa.binary()),
            ("strings", pa.list_(pa.binary())),
        ]
    )
    return pa.schema(
        [
            ("request_id", pa.string()),
            ("time", pa.timestamp("us", tz="UTC")),
            ("model", pa.string()),
            ("version", pa.int64()),
            ("signature", pa.string()),
            ("seconds", pa.float64()),
            ("rows", pa.int32()),
            ("inputs", pa.list_(array)),
            ("outputs", pa.list_(array)),
        ]
    )


class RequestLog:
    """Collects calls and writes a file when there are enough; used by one thread.

    Args:
        folder: of the monitor.
        most_mb: size of all files.
        file_mb: size of the arrays at which a file is written.
        seconds: longest time until a call is in a file.
    """

    def __init__(self, folder: str | Path, *, most_mb: float, file_mb: float, seconds: float) -> None:
        self.folder = Path(folder) / FOLDER
        self.most, self.file_bytes = int(most_mb * MEGABYTE), int(min(file_mb, most_mb / 2) * MEGABYTE)
        self.seconds = seconds
        self._calls: list[ObservedCall] = []
        self._bytes, self._since, self._written = 0, time.monotonic(), 0

    def add(self, call: ObservedCall, size: int) -> None:
        """Keep a call; ``size`` is that of its arrays in bytes."""
        if not self._calls:
            self._since = time.monotonic()
        self._calls.append(call)
        self._bytes += size

    @property
    def due(self) -> bool:
        """Whether a file is to be written."""
        return bool(self._calls) and (self._bytes >= self.file_bytes or time.monotonic() - self._since >= self.seconds)

    def write(self) -> Path | None:
        """Write what was collected; it is given up if it cannot be written, so that memory stays bounded.

        Raises:
            OutputError: the file cannot be written.
        """
        calls, self._calls, self._bytes = self._calls, [], 0
        if not calls:
            return None
        self._written += 1
        stamp = next_stamp(self.folder, int(time.time() * 1000))
        name = f"{stamp:013d}-{os.getpid()}-{self._written:06d}.parquet"
        path = write_calls(self.folder / name, calls)
        prune(self.folder, self.most)
        return path


def write_calls(path: Path, calls: Sequence[ObservedCall]) -> Path:
    """Write calls as one file, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [
        [call.request_id for call in calls],
        pa.array([int(call.time * 1e6) for call in calls], pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        [call.model for call in calls],
        [call.version for call in calls],
        [call.signature for call in calls],
        [call.seconds for call in calls],
        [max((len(value) for value in call.inputs.values() if value.ndim), default=0) for call in calls],
        _column([call.inputs for call in calls]),
        _column([call.outputs for call in calls]),
    ]
    arrays = [pa.array(c, f.type) if isinstance(c, list) else c for c, f in zip(columns, schema(), strict=True)]
    with files.new_file(path) as partial:
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema()), partial, compression="zstd")
    return path


def prune(folder: Path, most: int) -> None:
    """Remove the oldest files until all together have at most ``most`` bytes; and halves that nobody finishes."""
    sizes = []
    for path in list_files(folder):
        with suppress(OSError):
            sizes.append((path, path.stat().st_size))
    total = sum(size for _, size in sizes)
    for path, size in sizes[:-1]:
        if total <= most:
            break
        path.unlink(missing_ok=True)
        total -= size
    for path in folder.glob(".*.partial-*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()


def list_files(folder: Path) -> list[Path]:
    """Complete files, oldest first."""
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))


def next_stamp(folder: Path, now: int) -> int:
    """``now``, or one more than the newest file's number: names keep their order though the clock be put back."""
    newest = max((int(path.stem.split("-")[0]) for path in list_files(folder) if path.name[:13].isdigit()), default=0)
    return max(now, newest + 1)


def read_calls(folder: str | Path, *, model: str | None = None) -> Iterator[ObservedCall]:
    """Calls of a monitor's folder, oldest file first; of one model if it is named.

    Raises:
        DataError: a file cannot be read; files that are removed meanwhile are passed over.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in list_files(Path(folder) / FOLDER):
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=256):
                    yield from (_call(row) for row in batch.to_pylist() if model in (None, row["model"]))
        except FileNotFoundError:
            continue
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"The request log's file '{path}' cannot be read ({str(error).splitlines()[0]}); remove it."
            ) from None


def _column(parts: Sequence[Arrays]) -> Any:
    """Named arrays of each call as one column; put together field by field, which is ten times as fast as by rows."""
    import pyarrow as pa

    kind = schema().field("inputs").type
    packed = [_pack(name, np.asarray(arrays[name])) for arrays in parts for name in sorted(arrays)]
    fields = [pa.array([value[field.name] for value in packed], field.type) for field in kind.value_type]
    offsets = np.cumsum([0] + [len(arrays) for arrays in parts]).astype(np.int32)
    values = pa.StructArray.from_arrays(fields, fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=kind)


def _pack(name: str, value: np.ndarray) -> dict[str, Any]:
    packed: dict[str, Any] = {"name": name, "dtype": "object", "shape": list(value.shape), "data": None}
    if value.dtype.kind in KINDS:
        plain = value.astype(value.dtype.newbyteorder("<"), copy=False)
        return packed | {"dtype": plain.dtype.str, "data": np.ascontiguousarray(plain).tobytes(), "strings": None}
    texts = [item if isinstance(item, bytes) else str(item).encode() for item in value.reshape(-1).tolist()]
    return packed | {"strings": texts}


def _unpack(packed: dict[str, Any]) -> np.ndarray:
    shape = tuple(packed["shape"])
    if packed["dtype"] != "object":
        dtype = np.dtype(packed["dtype"])
        if dtype.kind not in KINDS:
            raise ValueError(f"dtype {dtype} of '{packed['name']}'")
        return np.frombuffer(packed["data"], dtype).reshape(shape)
    texts = packed["strings"] or []
    if len(texts) != math.prod(shape):
        raise ValueError(f"{len(texts)} strings in '{packed['name']}' of shape {shape}")
    array = np.empty(len(texts), object)
    array[:] = texts
    return array.reshape(shape)


def _call(row: dict[str, Any]) -> ObservedCall:
    return ObservedCall(
        model=row["model"],
        version=row["version"],
        signature=row["signature"],
        inputs={packed["name"]: _unpack(packed) for packed in row["inputs"]},
        outputs={packed["name"]: _unpack(packed) for packed in row["outputs"]},
        seconds=row["seconds"],
        time=row["time"].timestamp(),
        request_id=row["request_id"],
    )
