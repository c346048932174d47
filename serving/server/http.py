"""HTTP/1.x over asyncio: one ``Connection`` a socket, one ``Exchange`` a request; no framework in between.

Parsing is httptools' (llhttp). What is refused before a request is whole is answered as libevent does in TensorFlow
Serving: an HTML page and the end of the connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import NamedTuple, Protocol, cast

import httptools

from serving.contract.routes import page
from serving.server import http_responses

MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 * 1024
MAX_PIPELINED = 64
_UNUSUAL = {b"transfer-encoding", b"expect", b"upgrade"}
LINGER = 2.0  # seconds in which what a refused client still sends is thrown away, so that it can read the reply


@dataclass(frozen=True)
class Limits:
    """Limits of sizes and times for a client.

    Attributes:
        max_body: bytes of one request.
        max_held: bytes of all requests that are not whole yet.
        max_connections: open at a time.
        read_timeout: seconds from a request's first byte to its last one.
        idle_timeout: seconds without a request.
    """

    max_body: int = 64 * 2**20
    max_held: int = 512 * 2**20
    max_connections: int = 4096
    read_timeout: float = 30.0
    idle_timeout: float = 120.0


class Front(Protocol):
    """Handler of whole requests; one for all connections."""

    limits: Limits
    connections: set[Connection]
    draining: bool
    held: int

    def answer(self, exchange: Exchange) -> None:
        """Answer now or later, once, with ``exchange.reply``."""


class Head(NamedTuple):
    """Start line and headers of a request that came whole, in one piece, with a body of a known length.

    Clients repeat themselves to the byte, and what was parsed once need not be parsed again.

    Attributes:
        data: bytes up to the body.
        size: of the request, body included.
        method, path, headers: that ``data`` says.
    """

    data: bytes
    size: int
    method: str
    path: str
    headers: dict[bytes, bytes]


class Exchange:
    """Exchange: one request and its reply.

    Attributes:
        method, path: as sent; the path with its query, undecoded.
        body: whole, still compressed if it was.
        headers: by name in lower case; of repeated ones the last.
        start: ``perf_counter`` when it was whole.
        data: bytes of the reply, once there is one.
    """

    __slots__ = ("body", "connection", "data", "headers", "keep", "method", "old", "path", "start")

    def __init__(
        self, connection: Connection, method: str, path: str, body: bytes, headers: dict[bytes, bytes]
    ) -> None:
        self.connection, self.method, self.path, self.body = connection, method, path, body
        self.headers = headers
        self.data: bytes | None = None
        self.keep, self.old = True, False
        self.start = perf_counter()

    @property
    def alive(self) -> bool:
        """Whether somebody still waits for the reply."""
        return self.data is None and not self.connection.lost

    @property
    def peer(self) -> str:
        """Address of the client."""
        peer = self.connection.transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def reply(self, status: int, kind: bytes, body: bytes, extra: bytes = b"") -> None:
        """Send the reply, after those of earlier requests of the connection; later calls do nothing."""
        if self.data is not None:
            return
        if self.connection.front.draining:
            self.keep = False
        if self.old:
            data = http_responses.http_1_0(status, kind, body, extra, keep=self.keep)
        else:
            data = http_responses.http_1_1(status, kind, body, extra, close=not self.keep)
        self.data = data[: len(data) - len(body)] if self.method == "HEAD" and body else data
        self.connection.flush()

    def refuse(self, status: int, extra: bytes = b"") -> None:
        """Answer with libevent's HTML page and end the connection."""
        self.keep = False
        self.reply(status, http_responses.HTML, page(status), extra)


class Connection(asyncio.Protocol):
    """Connection of one client."""

    __slots__ = (
        "again",
        "body",
        "body_size",
        "front",
        "head",
        "header_bytes",
        "headers",
        "held",
        "last",
        "linger",
        "lost",
        "parser",
        "paused",
        "queue",
        "reading",
        "taken",
        "transport",
        "url",
    )

    def __init__(self, front: Front) -> None:
        self.front = front
        self.parser = httptools.HttpRequestParser(self)
        self.queue: deque[Exchange] = deque()
        self.head: Head | None = None
        self.again, self.taken = ("", "", False), 0
        self.headers: dict[bytes, bytes] = {}
        self.url, self.body = b"", cast(list[bytes], [])
        self.body_size = self.header_bytes = self.held = 0
        self.reading = self.lost = self.paused = False
        self.last, self.linger = monotonic(), 0.0

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, or turn it away."""
        self.transport = cast(asyncio.Transport, transport)
        if len(self.front.connections) >= self.front.limits.max_connections:
            self._fail(503, b"Retry-After: 1\r\n")
        self.front.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it; replies that still come are dropped."""
        self.lost = True
        self._release()
        self.queue.clear()
        self.front.connections.discard(self)

    def pause_writing(self) -> None:
        """The client does not read: take no more requests."""
        self.paused = True
        self.last = monotonic()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.paused = False
        if not self.lost:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Parse; whole requests go to the front from ``on_message_complete``."""
        head = self.head
        if head is not None and len(data) == head.size and data.startswith(head.data):
            # only a request that is whole leaves a head behind, so the parser is between two of them
            self._take(Exchange(self, head.method, head.path, data[len(head.data) :], head.headers))
            return
        if self.linger:
            return
        self.head, fresh, before = None, not self.reading, self.taken
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.linger = monotonic() + LINGER  # its reply says that the connection ends
        except httptools.HttpParserError:
            if not self.linger:
                self._fail(400)
            return
        if self.linger:
            return
        if self.reading:
            self._hold(len(data))
        elif fresh and self.taken == before + 1:
            self._remember(data)

    # httptools' side

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self.reading = True
        self.url, self.headers, self.body = b"", {}, []
        self.body_size = self.header_bytes = 0
        self.last = monotonic()

    def on_url(self, url: bytes) -> None:
        """All of the target, or a part of it."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.header_bytes += len(name) + len(value)
        if self.header_bytes > MAX_HEADER_BYTES or len(self.headers) >= MAX_HEADERS:
            self._fail(431)
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Refuse a body that is announced too large; let a client that asks first go on."""
        if self.linger:
            return
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self.front.limits.max_body:
            self._fail(413)
        elif b"expect" in self.headers:
            if self.headers[b"expect"].lower() != b"100-continue":
                self._fail(417)
            elif not self.queue:
                self.transport.write(http_responses.CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self.linger:
            return
        self.body_size += len(body)
        if self.body_size > self.front.limits.max_body:
            self._fail(413)
        else:
            self.body.append(body)

    def on_message_complete(self) -> None:
        """A whole request."""
        if self.linger:
            return
        self.reading = False
        if self.held:
            self._release()
        parser, body = self.parser, self.body
        exchange = Exchange(
            self,
            parser.get_method().decode("latin-1"),
            self.url.decode("latin-1"),
            body[0] if len(body) == 1 else b"".join(body),
            self.headers,
        )
        self.body = []
        exchange.keep = parser.should_keep_alive() and not parser.should_upgrade()
        exchange.old = parser.get_http_version() == "1.0"
        self.taken += 1
        self.again = exchange.method, exchange.path, exchange.keep and not exchange.old
        self._take(exchange)

    # ours

    def _take(self, exchange: Exchange) -> None:
        """Have a whole request answered."""
        self.queue.append(exchange)
        if len(self.queue) >= MAX_PIPELINED:
            self.transport.pause_reading()
        self.front.answer(exchange)

    def _remember(self, data: bytes) -> None:
        """Keep the head of a request that ``data`` was all of, if the next one may be of the same."""
        (method, path, usual), headers = self.again, self.headers
        length, end = headers.get(b"content-length", b""), data.find(b"\r\n\r\n") + 4
        if usual and length.isdigit() and int(length) == len(data) - end and not _UNUSUAL & headers.keys():
            self.head = Head(data[:end], len(data), method, path, headers)

    def flush(self) -> None:
        """Write the replies whose turn it is."""
        queue = self.queue
        full = len(queue) >= MAX_PIPELINED
        while queue and queue[0].data is not None:
            exchange = queue.popleft()
            if self.lost:
                continue
            self.transport.write(cast(bytes, exchange.data))
            if not exchange.keep:
                self._end()
                return
        if not queue:
            self.last = monotonic()
        if full and len(queue) < MAX_PIPELINED and not self.paused and not self.lost:
            self.transport.resume_reading()

    def check(self, now: float) -> None:
        """End what takes too long; called about once a second."""
        limits = self.front.limits
        if self.linger:
            if now > self.linger and not self.queue:
                self.transport.abort()
        elif self.paused:
            if now - self.last > limits.read_timeout:
                self.transport.abort()
        elif self.reading:
            if now - self.last > limits.read_timeout:
                self._fail(408)
        elif not self.queue and now - self.last > limits.idle_timeout:
            self.transport.close()

    def drain(self) -> None:
        """End it, if nothing is under way."""
        if not self.queue and not self.reading and not self.lost:
            self.transport.close()

    def _hold(self, received: int) -> None:
        """Count what an unfinished request occupies."""
        if not self.body_size:
            self.header_bytes += received
            if self.header_bytes > 2 * MAX_HEADER_BYTES:
                self._fail(431)
            return
        self.front.held += self.body_size - self.held
        self.held = self.body_size
        if self.front.held > self.front.limits.max_held:
            self._fail(503, b"Retry-After: 1\r\n")

    def _release(self) -> None:
        self.front.held -= self.held
        self.held = 0

    def _fail(self, status: int, extra: bytes = b"") -> None:
        """Refuse a request that is not whole, after the replies that are due."""
        if self.linger:
            return
        self.linger = monotonic() + LINGER
        self.reading, self.body, self.head = False, [], None
        self._release()
        exchange = Exchange(self, "GET", "", b"", {})
        self.queue.append(exchange)
        exchange.refuse(status, extra)

    def _end(self) -> None:
        self.queue.clear()
        if self.linger and self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()
