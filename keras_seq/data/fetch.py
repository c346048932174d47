"""Fetching the files of a known set: checked by size and sha256, renamed into place only when whole."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from keras_seq.data.home import data_home
from keras_seq.data.sources.registry import Download, SourceInfo, source_info
from keras_seq.errors import DataError
from keras_seq.figures import Say
from keras_seq.files import ensure_writable, owner, sha256, sweep

TIMEOUT = 30.0  # seconds without an answer
BLOCK = 2**16


def fetch(
    name: str,
    config_home: str | None = None,
    *,
    downloads: tuple[Download, ...] | None = None,
    tell: Say = print,
) -> list[Path]:
    """Bring the files of source ``name`` below the data home; whole ones that are there already stay.

    Args:
        name: a known source.
        config_home: data home, as ``data_home`` takes it.
        downloads: other places to get the files from.
        tell: called with one line per file.

    Returns:
        Paths of the files.

    Raises:
        ConfigError: unknown source.
        DataError: no public place is known, it cannot be reached, or what came is not the file expected.
        OutputError: the folder cannot be written.
    """
    info = source_info(name)
    files = info.downloads if downloads is None else downloads
    if info.folder is None:
        raise DataError(f"Source '{name}' needs no fetching: it is {'embedded' if info.embedded else 'your own file'}.")
    home = data_home(config_home)
    if not files:
        raise DataError(
            f"Source '{name}' has no public place to fetch it from ({info.licence}). Put "
            f"{', '.join(info.files_of())} into '{home / info.folder}' yourself."
        )
    folder = ensure_writable(home / info.folder, need_mb=sum(file.size for file in files) // 2**20 + 10)
    paths = []
    for file in files:
        path = folder / file.name
        if path.is_file() and path.stat().st_size == file.size and sha256(path) == file.sha256:
            tell(f"{path}: there already")
        else:
            _fetch_file(info, file, path)
            tell(f"{path}: fetched, {file.size} bytes")
        paths.append(path)
    return paths


def _fetch_file(info: SourceInfo, file: Download, path: Path) -> None:
    partial = path.with_name(f".{path.name}.partial-{owner()}")
    sweep(path.parent)
    try:
        digest, size = _stream(file, partial)
        if (digest, size) != (file.sha256, file.size):
            raise DataError(
                f"'{file.url}' gave {size} bytes with sha256 {digest[:12]}..., expected {file.size} bytes with "
                f"{file.sha256[:12]}...: another version or a broken transfer. Nothing was kept; try again, or put "
                f"'{file.name}' into '{path.parent}' yourself{f' (see {info.url})' if info.url else ''}."
            )
        os.replace(partial, path)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, zlib.error) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"'{file.url}' cannot be fetched ({reason}). Check the network, or put '{file.name}' into "
            f"'{path.parent}' yourself{f' (see {info.url})' if info.url else ''}."
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _stream(file: Download, partial: Path) -> tuple[str, int]:
    """Write the content aside, unpacked; its sha256 and size. Stops at one byte too many."""
    unpack = zlib.decompressobj(wbits=31) if file.url.endswith(".gz") and not file.name.endswith(".gz") else None
    digest, size = hashlib.sha256(), 0
    with urllib.request.urlopen(file.url, timeout=TIMEOUT) as answer, open(partial, "wb") as out:
        while size <= file.size and (block := answer.read(BLOCK)):
            data = unpack.decompress(block, BLOCK * 64) if unpack else block
            while True:
                out.write(data)
                digest.update(data)
                size += len(data)
                if not unpack or not unpack.unconsumed_tail or size > file.size:
                    break
                data = unpack.decompress(unpack.unconsumed_tail, BLOCK * 64)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest(), size
