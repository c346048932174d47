"""A finished folder: the series in it, and whether it is as it was written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq.data.home import stores_home
from keras_seq.data.store.series import StoredRows, StoredSeries, series_of
from keras_seq.data.store.writer import WORK
from keras_seq.errors import DataError, KerasSeqError
from keras_seq.files import read_json, sha256, write_json

FORMAT = 2
MANIFEST, INDEX = "manifest.json", "index.npz"
HASHERS = 2  # shards checked at the same time
AGAIN = "Copy it anew from where it was written, or write the shards again into an empty folder."


def open_store(folder: str | Path, mend: str = AGAIN) -> StoredSeries:
    """The series in a finished folder; reads manifest and index, and looks at the size of every shard.

    Args:
        folder: the shards.
        mend: advice where it is damaged.

    Raises:
        DataError: the folder is missing, unfinished or of another format; a shard is missing or truncated.
    """
    folder = Path(folder).expanduser()
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
            raise ValueError(f"its format is {manifest['format']}, this version reads {FORMAT} alone: write it anew")
        if sha256(folder / INDEX) != manifest["index_sha256"]:
            raise ValueError(f"{INDEX} is not the one that was written")
        with np.load(folder / INDEX, allow_pickle=False) as file:
            series = series_of(StoredRows(folder, manifest, dict(file), mend))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"The manifest of the shards in '{folder}' cannot be used ({error}). {mend}") from None
    for shard in manifest["shards"]:
        path, told = folder / shard["name"], shard["bytes"]
        if not path.is_file():
            raise DataError(f"Shard '{path}' is missing. {mend}")
        if (size := path.stat().st_size) != told:
            what = "truncated" if size < told else "longer than it was"
            raise DataError(f"Shard '{path}' is {what}: it has {size} bytes, the manifest says {told}. {mend}")
    return series


def verify(series: StoredSeries, *, again: bool = False) -> int:
    """Check the sha256 of shards that have changed since they were last checked on this machine.

    Args:
        series: of the folder.
        again: check all of them.

    Returns:
        How many were read.

    Raises:
        DataError: names the first shard whose content is not what was written.
    """
    stored, marks = series.stored, _marks(series)
    known = {} if again else _known(_stamp(series))
    changed = [shard for shard in stored.manifest["shards"] if known.get(shard["name"]) != marks[shard["name"]]]
    with ThreadPoolExecutor(HASHERS) as pool:  # hashing lets go of the interpreter's lock
        digests = pool.map(lambda shard: sha256(stored.folder / shard["name"]), changed)
        for shard, digest in zip(changed, digests, strict=True):
            if digest != shard["sha256"]:
                raise DataError(
                    f"Shard '{stored.folder / shard['name']}' has been changed: its sha256 is {digest}, the manifest "
                    f"says {shard['sha256']}. {AGAIN}"
                )
    if changed:
        remember(series)
    return len(changed)


def remember(series: StoredSeries) -> None:
    """Note on this machine that the shards are as they were written."""
    try:
        write_json(_stamp(series), _marks(series))
    except KerasSeqError:
        return  # they will be checked again


def _stamp(series: StoredSeries) -> Path:
    return stores_home() / f"checked-{series.fingerprint()[:24]}.json"


def _known(stamp: Path) -> dict[str, Any]:
    try:
        marks = read_json(stamp)
    except (OSError, ValueError):
        return {}
    return marks if isinstance(marks, dict) else {}


def _marks(series: StoredSeries) -> dict[str, list[Any]]:
    """Path, size, date and inode of every shard, by name."""
    marks = {}
    for shard in series.stored.manifest["shards"]:
        path = series.stored.folder / shard["name"]
        facts = path.stat()
        marks[shard["name"]] = [str(path.resolve()), facts.st_size, facts.st_mtime_ns, facts.st_ino]
    return marks
