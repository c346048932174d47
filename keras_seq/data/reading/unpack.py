"""A text file's bytes, unpacked where its content says that it is packed: gzip, bzip2, xz, zstd, zip of one table."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from keras_seq.errors import ConfigError, DataError, nearest

PACKINGS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # an empty one
}
LARGEST_RATIO = 1000  # unpacked bytes to packed ones, above which a file is no table
FREE_BYTES = 2**30  # unpacked bytes that are read at any ratio
TABLES = (".csv", ".txt", ".tsv", ".tab", ".dat", ".data", ".asc", ".prn", "")  # endings of tables in a zip file
_FAULTS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError)


def packing(path: Path) -> str | None:
    """How a file is packed, by its first bytes; None: not at all."""
    with open(path, "rb") as file:
        head = file.read(8)
    return next((name for magic, name in PACKINGS.items() if head.startswith(magic)), None)


def open_bytes(path: Path, member: str | None = None) -> IO[bytes]:
    """The file's bytes, unpacked; what is read is bounded.

    Args:
        path: the file.
        member: which one of a zip file; None: its only table.

    Raises:
        DataError: it cannot be unpacked, or not to any sensible size; also while reading.
        ConfigError: the zip file has several tables and ``member`` names none of them.
    """
    kind = packing(path)
    if kind is None:
        return open(path, "rb")
    size = path.stat().st_size
    try:
        if kind == "zip":
            raw, size = _open_member(path, member)
        else:
            raw = _OPENERS[kind](path)
    except _FAULTS as error:
        raise _broken(path, kind, error) from None
    return io.BufferedReader(_Unpacked(raw, path, kind, size), 2**16)


class _Unpacked(io.RawIOBase):
    """Unpacked bytes; a fault, or a size that no table has, is refused with the file's name."""

    def __init__(self, raw: IO[bytes], path: Path, kind: str, size: int) -> None:
        super().__init__()
        self._raw, self._path, self._kind, self._read = raw, path, kind, 0
        self._most = max(FREE_BYTES, LARGEST_RATIO * size)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        try:
            block = self._raw.read(len(buffer))
        except _FAULTS as error:
            raise _broken(self._path, self._kind, error) from None
        self._read += len(block)
        if self._read > self._most:
            raise DataError(
                f"File '{self._path}' unpacks to more than {self._most / 2**30:.3g} GB, over {LARGEST_RATIO} times its "
                f"packed size: no table does, so reading stopped. If it is one, unpack it first ({self._kind})."
            )
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._raw.close()
        super().close()


def _broken(path: Path, kind: str, error: Exception) -> DataError:
    if "password" in str(error) or "encrypted" in str(error):
        return DataError(f"File '{path}' is a zip file with a password; unpack it first.")
    return DataError(
        f"File '{path}' cannot be read: {str(error).splitlines()[0][:120] if str(error) else 'it ends too early'} "
        f"({kind}). It is damaged or cut; get it again, or unpack it with a tool that mends."
    )


def _open_zstd(path: Path) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


_OPENERS: dict[str, Callable[[Path], Any]] = {
    "gzip": gzip.open,
    "bzip2": bz2.open,
    "xz": lzma.open,
    "zstd": _open_zstd,
}


def _open_member(path: Path, member: str | None) -> tuple[Any, int]:
    """A table of a zip file, and its packed size."""
    archive = zipfile.ZipFile(path)
    names = [
        info.filename
        for info in archive.infolist()
        if not info.is_dir() and not info.filename.startswith("__MACOSX/") and _name(info.filename)[:1] != "."
    ]
    tables = [name for name in names if PurePosixPath(name).suffix.lower() in TABLES]
    if len(tables) > 1 and len([name for name in tables if PurePosixPath(name).suffix]) == 1:
        tables = [name for name in tables if PurePosixPath(name).suffix]
    if member is not None:
        if member not in names:
            raise ConfigError(f"File '{path}' has no member '{member}' (data.member){nearest(member, names)}")
        chosen = member
    elif len(tables) == 1:
        chosen = tables[0]
    elif not tables:
        shown = ", ".join(names[:8]) or "nothing"
        raise DataError(
            f"File '{path}' is a zip file without a table of text: it holds {shown}. Save the table as CSV (UTF-8), "
            "or name one of them (--data.member)."
        )
    else:
        more = f" and {len(tables) - 8} more" if len(tables) > 8 else ""
        raise ConfigError(
            f"File '{path}' holds {len(tables)} tables: {', '.join(tables[:8])}{more}. Name one of them "
            f"(--data.member {tables[0]})."
        )
    return archive.open(chosen), archive.getinfo(chosen).compress_size


def _name(member: str) -> str:
    return PurePosixPath(member).name
