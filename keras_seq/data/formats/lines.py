"""Lines of text files one by one, packed or not, in UTF-8 or, where a line is none, in Windows-1252."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from keras_seq.data.reading.stream import open_bytes
from keras_seq.errors import DataError

LONGEST = 2**27  # bytes of one line


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number, from 1, and stripped text of every line that is not blank.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    try:
        with open_bytes(path) as file:
            number = 0
            while line := file.readline(LONGEST):
                number += 1
                if len(line) == LONGEST:
                    raise DataError(f"Line {number} of '{path}' is longer than {LONGEST} bytes: no text file?")
                if b"\0" in line:
                    raise DataError(f"Line {number} of '{path}' holds bytes that no text has.")
                if text := _decoded(line).strip().removeprefix("\ufeff"):
                    yield number, text
    except FileNotFoundError:
        raise DataError(f"File '{path}' does not exist.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"File '{path}' cannot be read as a text file: {error}.") from None


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")
