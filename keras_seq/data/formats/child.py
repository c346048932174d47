"""The child of ``apart``: one file converted in this process, which ends with it."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from keras_seq.data.formats.converted import convert
from keras_seq.data.formats.registry import known_formats
from keras_seq.data.reading.reading import Reading
from keras_seq.errors import KerasSeqError
from keras_seq.processes import MISUSED

SLACK = 4 * 2**30  # bytes of addresses beyond the free memory: libraries reserve more than they use


def run() -> None:
    """The child: its last four words are file, format, reading and target."""
    path, name, reading, target = sys.argv[-4:]
    _limit_memory()
    try:
        convert(Path(path), known_formats()[name], Reading.model_validate_json(reading), Path(target))
    except KerasSeqError as error:
        print(json.dumps(str(error)))
        sys.exit(MISUSED)


def _limit_memory() -> None:
    """Let this process reserve what is free, so that a file's false counts end it and not its neighbours."""
    with suppress(ImportError, OSError, ValueError):  # not on every system
        import resource

        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (free + SLACK, resource.getrlimit(resource.RLIMIT_AS)[1]))
