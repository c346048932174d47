"""Bytes of HTTP replies, as libevent writes them in TensorFlow Serving: no Server header, HTML for what is not ours."""

from __future__ import annotations

import time
from email.utils import formatdate

from serving.contract.routes import REASONS

JSON = b"application/json"
TEXT = b"text/plain"
HTML = b"text/html"
PLAIN_HTML = b"text/html; charset=ISO-8859-1"  # what libevent puts where nobody chose one
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_LINES = {status: f"HTTP/1.1 {status} {phrase}\r\n".encode() for status, phrase in REASONS.items()}
_LINES_1_0 = {status: f"HTTP/1.0 {status} {phrase}\r\n".encode() for status, phrase in REASONS.items()}
_OK_JSON = _LINES[200] + b"Content-Type: application/json\r\n"


class _Clock:
    second = 0
    line = b""


def _date() -> bytes:
    now = int(time.time())
    if now != _Clock.second:
        _Clock.second, _Clock.line = now, f"Date: {formatdate(now, usegmt=True)}\r\nContent-Length: ".encode()
    return _Clock.line


def http_1_1(status: int, kind: bytes, body: bytes, extra: bytes = b"", *, close: bool = False) -> bytes:
    """Bytes of an HTTP/1.1 reply.

    Args:
        status: of the line.
        kind: Content-Type.
        body: to send.
        extra: further header lines, each with its line end.
        close: say that the connection ends.
    """
    if status == 200 and kind is JSON and not close:  # the hot one
        return b"%b%b%b%d\r\n\r\n%b" % (_OK_JSON, extra, _date(), len(body), body)
    closing = b"Connection: close\r\n" if close else b""
    head = b"%bContent-Type: %b\r\n%b%b%b%d\r\n\r\n" % (_LINES[status], kind, extra, closing, _date(), len(body))
    return head + body


def http_1_0(status: int, kind: bytes, body: bytes, extra: bytes = b"", *, keep: bool = False) -> bytes:
    """Bytes of an HTTP/1.0 reply: ended by closing, unless the client asked to keep the connection."""
    if keep:
        extra += b"Connection: keep-alive\r\nContent-Length: %d\r\n" % len(body)
    return b"%bContent-Type: %b\r\n%b\r\n%b" % (_LINES_1_0[status], kind, extra, body)
