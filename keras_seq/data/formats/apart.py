"""Conversion in a process of its own: a library that breaks off over a damaged file takes nothing else with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from keras_seq.data.reading.reading import Reading
from keras_seq.errors import DataError
from keras_seq.processes import MISUSED, end_words

CODE = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from keras_seq.data.formats.child import run; run()"


def convert_apart(path: Path, what: str, name: str, reading: Reading, target: Path) -> None:
    """Write the table of ``path`` as Parquet to ``target``, in a child.

    Args:
        path: the file.
        what: its kind with the article, for messages.
        name: its format.
        reading: options of the format.
        target: file to write.

    Raises:
        DataError: what the child says of the file, or that it broke off.
    """
    words = [json.dumps(sys.path), str(path), name, reading.model_dump_json(), str(target)]
    done = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    if done.returncode == MISUSED and done.stdout:
        raise DataError(json.loads(done.stdout))
    raise DataError(
        f"File '{path}' cannot be read as {what}: the library that reads it broke off ({end_words(done.returncode)}), "
        "as it does over damaged files, cells far apart on a sheet, and where memory ends. Write the file anew, or "
        "convert it to CSV or Parquet."
    )
