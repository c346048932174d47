"""The errors a user can meet, each one paragraph: what, where, and how to mend it.

::

    KerasSeqError
    |- ConfigError      an option: unknown key, bad value, contradictory settings
    |- DataError        a file or a table: missing, malformed, too short, leaking
    |- ModelError       a model that cannot be built, loaded or warm-started
    |- DeviceError      a device that was asked for and is not there
    |- TrainingError    a training run that cannot go on: its loss is not a number
    |  `- WorkerLost    another worker of the run is gone (``keras_seq.training.cluster``)
    |- OutputError      a folder or disk that cannot be written, a version that exists
    |- ExportError      a format that cannot be written or differs from the model
    `- ServingError     a request or a server that cannot be answered or started

Command lines print the message of a ``KerasSeqError`` and leave with exit code 2; anything else
is a bug and keeps its traceback. No message shows a password that stands in a URI.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

HIDDEN = "***"
_IN_URI = re.compile(r"(?<=://)([^\s'\"/:@]*:)([^\s'\"]+)(?=@)")  # scheme://user:password@host
_IN_QUERY = re.compile(r"(?i)([?&](?:[a-z_]*password|passwd|pwd|token|secret|api_?key)=)([^\s'\"&]+)")


def hide_passwords(text: str) -> str:
    """``text`` with ``***`` for passwords in URIs, of the user or of the query."""
    return _IN_QUERY.sub(rf"\g<1>{HIDDEN}", _IN_URI.sub(rf"\g<1>{HIDDEN}", text))


def find_passwords(text: str) -> set[str]:
    """Passwords that stand in URIs of ``text``, as they are written there."""
    return {found[2] for kind in (_IN_URI, _IN_QUERY) for found in kind.finditer(text)}


def shorten(value: object, width: int = 200) -> str:
    """A value as Python writes it, for messages; only its start if that is long."""
    text = repr(value)
    return text if len(text) <= width else f"{text[:width]}..."


class KerasSeqError(Exception):
    """Base of every error that a user can mend."""

    def __str__(self) -> str:
        """The message, without passwords."""
        return hide_passwords(super().__str__())


class ConfigError(KerasSeqError, ValueError):
    """An option is unknown or its value is not allowed."""


class DataError(KerasSeqError, ValueError):
    """The data cannot be used as they are."""


class ModelError(KerasSeqError, ValueError):
    """A model cannot be built, loaded or warm-started."""


class DeviceError(KerasSeqError, RuntimeError):
    """A device was asked for that this machine does not have."""


class TrainingError(KerasSeqError, RuntimeError):
    """A training run cannot go on."""


class OutputError(KerasSeqError, OSError):
    """Something cannot be written where it should go."""


class ExportError(KerasSeqError, RuntimeError):
    """A model cannot be written in a format, or its copy there differs."""


class ServingError(KerasSeqError, RuntimeError):
    """A server cannot start, or a request cannot be answered."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name is meant: ``"; did you mean 'units'?"`` or the list of what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}."
