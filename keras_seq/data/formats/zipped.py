"""Zipped files: what they hold, and whether they unpack into more than is read."""

from __future__ import annotations

import zipfile
from pathlib import Path

from keras_seq.errors import DataError

MOST_BYTES = 4 * 2**30  # unpacked, all members together; a sheet of a million rows of twenty columns is 1 GB


def zip_names(path: Path) -> list[str]:
    """Names of a zip file's members; none where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return []


def check_zip(path: Path) -> None:
    """Refuse a zip file that unpacks into too much, or into something else than it says.

    Raises:
        DataError: it does; files that are not zipped pass.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > MOST_BYTES:
            raise DataError(
                f"File '{path}' unpacks into {size / 2**30:.1f} GB, at most {MOST_BYTES / 2**30:.0f} GB are read. "
                "Convert it to CSV or Parquet."
            )
        broken = archive.testzip()  # reads no more of a member than its stated size
    if broken is not None:
        raise DataError(f"File '{path}' is damaged: its part '{broken}' does not unpack. Copy it again.")
