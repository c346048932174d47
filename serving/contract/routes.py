"""Routes of the REST API: method and request target, exactly as TensorFlow Serving reads them.

The patterns are those of ``http_rest_api_util.cc``; how a target is cut into path, query and fragment, and what is
answered with a page instead of JSON, is libevent's doing (``evhttp_uri_parse``, ``evhttp_send_error``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Literal, cast

from serving.contract.status import Code, Refused, invalid

Kind = Literal["predict", "classify", "regress", "status", "metadata", "preflight"]

_API = re.compile(r"(?i)/v1/.*")
_POST = re.compile(
    r"(?i)/v1/models/([^/:]+)(?:(?:/versions/([0-9]+))|(?:/labels/([^/:]+)))?:(classify|regress|predict)"
)
_GET = re.compile(r"(?i)/v1/models(?:/([^/:]+))?(?:(?:/versions/([0-9]+))|(?:/labels/([^/:]+)))?(?:/(metadata))?")
_METHODS = frozenset(("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"))
_TARGET = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.\-]*:)?(?://[^/?#]*)?"
    r"(?P<rest>(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*"
    r"(?:\?(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*)?"
    r"(?:#(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*)?)"
)
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
REASONS = {int(status): status.phrase for status in HTTPStatus} | {499: "Client Closed Request"}
_INT64_MAX = 2**63 - 1


@dataclass(frozen=True)
class Route:
    """Kind of a call, and the model and version it goes to.

    Attributes:
        kind: predict, classify, regress (POST); status, metadata (GET); preflight (OPTIONS, for browsers).
        model: name, URL-decoded; bytes that are not UTF-8 are kept as surrogate escapes.
        version: number in the path, if any.
        label: version label in the path, URL-decoded, if any. Never together with ``version``.
    """

    kind: Kind
    model: str = ""
    version: int | None = None
    label: str | None = None


class Page(Exception):
    """The reply is libevent's own HTML page (``Content-Type: text/html``), not JSON.

    Attributes:
        status: of HTTP: 404 outside /v1/, 400 for a target that is no URI, 501 for an unknown method.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    @property
    def body(self) -> bytes:
        """The page."""
        return page(self.status)


class RefusedWithoutBody(Refused):
    """A refusal that the real server answers with its status alone: the body stays empty."""


def page(status: int) -> bytes:
    """Error page of libevent (``evhttp_send_error``) for an HTTP status."""
    title = REASONS[status]
    return (
        f"<HTML><HEAD>\n<TITLE>{status} {title}</TITLE>\n</HEAD><BODY>\n<H1>{title}</H1>\n</BODY></HTML>\n"
    ).encode()


@lru_cache(maxsize=1024)
def read_route(method: str, target: str) -> Route:
    """Route of a request line.

    Args:
        method: as sent: "GET", "POST", ...
        target: as sent, undecoded, with query and fragment.

    Raises:
        Page: answered with a page.
        Refused: INVALID_ARGUMENT "Malformed request: GET /v1/...", "Missing model name in request.".
        RefusedWithoutBody: the version does not fit into 64 bits.
    """
    if method not in _METHODS:
        raise Page(501)
    path = path_and_query(target)
    if path is None:
        raise Page(400)
    if not _API.fullmatch(path):
        raise Page(404)
    if method == "OPTIONS":
        return Route("preflight")
    match = _POST.fullmatch(path) if method == "POST" else _GET.fullmatch(path) if method == "GET" else None
    malformed = invalid(f"Malformed request: {method} {path}")
    if match is None:
        raise malformed
    name, digits, label, last = match.groups()
    version = None
    if digits is not None:
        version = int(digits) if len(digits) < 400 else _INT64_MAX + 1
        if version > _INT64_MAX:
            raise RefusedWithoutBody(Code.INVALID_ARGUMENT, f"Failed to convert version: {digits} to numeric.")
    if method == "POST":
        if last not in ("classify", "regress", "predict"):  # other cases match but are served by nobody
            raise malformed
        return Route(cast(Kind, last), decode(name), version, label and decode(label))
    if not name:
        raise invalid("Missing model name in request.")
    return Route("metadata" if last == "metadata" else "status", decode(name), version, label and decode(label))


def path_and_query(target: str) -> str | None:
    """What the server calls ``uri_path``: the target less scheme and authority; None if it is no URI."""
    match = _TARGET.fullmatch(target)
    return match["rest"] if match else None


def decode(text: str) -> str:
    """Resolve ``%XX``; anything else, "+" included, stays (``curl_easy_unescape``)."""
    if "%" not in text:
        return text
    raw = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def preflight(origin: str | None) -> int:
    """HTTP status of a browser's preflight: 200 if its ``Origin`` is a web page's, else 400. The body is empty."""
    return 200 if origin and re.search("https?://", origin) else 400
