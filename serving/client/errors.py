"""Errors of calls that a server refused, with its own text inside."""

from __future__ import annotations

from keras_seq.errors import ServingError
from serving.contract.status import Code


class CallRefused(ServingError):
    """Error that a server answered with.

    Attributes:
        code: canonical code; of an HTTP reply the one its status stands for.
        said: the server's own text.
    """

    code: Code = Code.UNKNOWN
    said: str = ""


_OF_STATUS = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ABORTED,
    413: Code.RESOURCE_EXHAUSTED,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    500: Code.INTERNAL,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}
_ADVICE = {
    Code.UNAUTHENTICATED: "Give the token the server was started with.",
    Code.PERMISSION_DENIED: "Give the token the server was started with.",
    Code.UNAVAILABLE: "The server is busy or not ready; ask again later, or with fewer rows a call.",
    Code.DEADLINE_EXCEEDED: "Ask with fewer rows a call, or give a longer timeout.",
}


def code_of(status: int) -> Code:
    """The canonical code that an HTTP status stands for."""
    return _OF_STATUS.get(status, Code.UNKNOWN)


def refused(what: str, where: str, code: Code, text: str, status: int | None = None) -> CallRefused:
    """The error of an answered call: what was asked, where, and what the server said."""
    shown = f"{code.name}, HTTP {status}" if status else code.name
    advice = _ADVICE.get(code, "")
    if status == 413:
        advice = "The body is larger than the server takes; lower rows_per_request."
    error = CallRefused(f"{where} refused to {what} ({shown}): {_ended(text)}{' ' * bool(advice)}{advice}")
    error.code, error.said = code, text
    return error


def _ended(text: str) -> str:
    text = text.strip() or "it gave no reason"
    return text if text.endswith((".", "!", "?")) else text + "."
