"""TensorFlow Serving's REST API: requests to calls, answers to JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

from serving.contract.routes import Page, Route, preflight, read_route
from serving.contract.status import Code, Refused
from serving.contract.writing import error_body
from serving.models.servable import Arrays, Lease, Servable
from serving.observers import Observer
from serving.server import http_responses, rest_handlers
from serving.server.app import MAX_REQUEST_ID, CallTarget, ServerApp, code_of
from serving.server.extras import ExtrasFront
from serving.server.http import Connection, Exchange, Limits
from serving.server.inflate import SMALL, TooLarge, inflate
from serving.server.queued_call import QueuedCall
from serving.server.tls import is_allowed

LARGE = 256 * 1024  # bytes of a body that are read in a thread, so that the loop goes on answering
_CORS = (
    b"Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: POST, GET\r\n"
    b"Access-Control-Allow-Headers: Content-Type\r\n"
)


class Pending(NamedTuple):
    """A call whose answer is being computed."""

    exchange: Exchange
    route: Route
    lease: Lease
    servable: Servable
    write: Callable[[Arrays], bytes]
    watchers: Sequence[Observer]
    request_id: str


class RestFront:
    """REST front: answers whole requests.

    Args:
        app: of this worker.
        limits: for clients.
        token: that clients must send; None: none.
    """

    def __init__(self, app: ServerApp, limits: Limits, *, token: bytes | None = None) -> None:
        self.limits, self.draining, self.held = limits, False, 0
        self.connections: set[Connection] = set()
        self._app, self._token = app, token
        self._cors = _CORS if app.settings.rest_api_enable_cors_support else b""
        self._metrics_path = app.monitoring.path if app.monitoring.enable else None
        self._extras = ExtrasFront(app) if app.settings.extras_prefix else None

    def answer(self, exchange: Exchange) -> None:
        """Answer now, or when the run is done."""
        try:
            if self._token and not is_allowed(self._token, exchange.headers.get(b"authorization", b"")):
                self._unauthorised(exchange)
                return
            if b"content-encoding" in exchange.headers and b"gzip" in exchange.headers[b"content-encoding"]:
                if len(exchange.body) > SMALL:
                    self._app.loop.run_in_executor(None, self._inflate_large, exchange)
                    return
                exchange.body = inflate(exchange.body, self.limits.max_body)
            self._dispatch(exchange)
        except TooLarge:
            exchange.refuse(413)
        except Exception as error:
            self._fail(exchange, None, error)

    def _inflate_large(self, exchange: Exchange) -> None:
        """Inflate in a thread, then go on as ``answer`` does."""
        loop = self._app.loop
        try:
            exchange.body = inflate(exchange.body, self.limits.max_body)
        except TooLarge:
            loop.call_soon_threadsafe(exchange.refuse, 413)
        except Exception as error:
            loop.call_soon_threadsafe(self._fail, exchange, None, error)
        else:
            loop.call_soon_threadsafe(self._dispatch, exchange)

    def _dispatch(self, exchange: Exchange) -> None:
        """Answer a request whose body is plain."""
        path = exchange.path
        try:
            if self._metrics_path is not None and path.partition("?")[0] == self._metrics_path:
                self._metrics(exchange)
            elif self._extras is not None and self._extras.owns(path):
                self._extras.answer(exchange, exchange.body)
            else:
                self._answer(exchange, read_route(exchange.method, path))
        except Page as page:
            exchange.refuse(page.status)
        except Exception as error:
            self._fail(exchange, None, error)

    def _answer(self, exchange: Exchange, route: Route) -> None:
        if route.kind in rest_handlers.CALLS:
            if len(exchange.body) > LARGE:
                self._app.loop.run_in_executor(None, self._read_large, exchange, route)
            else:
                self._call(exchange, route)
        elif route.kind == "preflight":
            origin = exchange.headers.get(b"origin")
            status = preflight(origin.decode("latin-1") if origin is not None else None)
            exchange.reply(status, http_responses.PLAIN_HTML, b"", self._cors)
        else:
            body, version = rest_handlers.describe_model(self._app.models, route)
            extra = b"X-Model-Version: %d\r\n" % version if version is not None else b""
            exchange.reply(200, http_responses.JSON, body, extra + self._cors)

    def _target(self, exchange: Exchange, route: Route) -> CallTarget:
        request_id = exchange.headers.get(b"x-request-id", b"")[:MAX_REQUEST_ID].decode("latin-1")
        peer = exchange.peer if self._app.router is not None else ""
        return CallTarget(route.model, route.version, route.label, request_id, peer)

    def _call(self, exchange: Exchange, route: Route) -> None:
        """Read a call and queue its run."""
        try:
            read = rest_handlers.read_call(route, exchange.body, partial(self._acquire, exchange, route))
        except Exception as error:
            self._fail(exchange, route, error)
            return
        self._submit(exchange, route, read)

    def _read_large(self, exchange: Exchange, route: Route) -> None:
        """The same in a thread."""
        loop = self._app.loop
        try:
            read = rest_handlers.read_call(route, exchange.body, partial(self._acquire, exchange, route))
        except Exception as error:
            loop.call_soon_threadsafe(self._fail, exchange, route, error)
        else:
            loop.call_soon_threadsafe(self._submit, exchange, route, read)

    def _acquire(self, exchange: Exchange, route: Route) -> Lease:
        app = self._app
        if app.router is None:
            return app.models.acquire(route.model, route.version, route.label)
        return app.acquire(self._target(exchange, route))

    def _submit(self, exchange: Exchange, route: Route, read: rest_handlers.ReadCall) -> None:
        exchange.body = b""
        app = self._app
        watchers: Sequence[Observer] = ()
        request_id = ""
        if app.observers and route.kind == "predict" and (watchers := app.watchers(route.model)):
            request_id = self._target(exchange, route).request_id or app.new_id()
        pending = Pending(exchange, route, read.lease, read.servable, read.write, watchers, request_id)
        call: QueuedCall | None = None

        def done(answers: Arrays | None, error: Exception | None) -> None:
            self._done(pending, call, answers, error)

        try:
            if read.examples:
                app.metrics.example_count(route.model, read.examples)
            call = app.submit(read.servable, read.signature, read.inputs, read.outputs, done, lambda: exchange.alive)
        except Exception as error:
            read.lease.__exit__(None, None, None)
            self._fail(exchange, route, error)

    def _done(self, pending: Pending, call: QueuedCall | None, answers: Arrays | None, error: Exception | None) -> None:
        exchange, route = pending.exchange, pending.route
        try:
            if error is not None or answers is None:
                raise error or AssertionError("neither answers nor an error")
            body = pending.write(answers)
            extra = b"X-Model-Version: %d\r\n%b" % (pending.servable.version, self._cors)
            if pending.request_id:
                extra += b"X-Request-Id: %b\r\n" % pending.request_id.encode("latin-1")
            exchange.reply(200, http_responses.JSON, body, extra)
            seconds = perf_counter() - exchange.start
            self._app.metrics.request(route.model, route.kind, "REST", Code.OK, seconds)
            if pending.watchers and call is not None:
                target = CallTarget(route.model, route.version, route.label, pending.request_id)
                self._app.observed(target, call, answers, seconds, pending.watchers)
        except Exception as failure:
            self._fail(exchange, route, failure)
        finally:
            pending.lease.__exit__(None, None, None)

    def _fail(self, exchange: Exchange, route: Route | None, error: Exception) -> None:
        """The error as JSON; bugs show nothing of themselves."""
        if not isinstance(error, Refused):
            self._app.unexpected(error)
            error = Refused(Code.INTERNAL, "Internal error")
        if route is not None and route.kind in rest_handlers.CALLS:
            seconds = perf_counter() - exchange.start
            self._app.metrics.request(route.model, route.kind, "REST", code_of(error), seconds)
        extra = b"Retry-After: 1\r\n" if error.code is Code.UNAVAILABLE else b""
        exchange.reply(error.http_status, http_responses.JSON, error_body(error), extra + self._cors)

    def _metrics(self, exchange: Exchange) -> None:
        if exchange.path != self._metrics_path:
            text = f"Unexpected path: {exchange.path}. Should be {self._metrics_path}"
            exchange.reply(400, http_responses.TEXT, text.encode("latin-1", "replace"))
            return
        self._app.metrics.gauges.put(("connections",), len(self.connections))
        exchange.reply(200, http_responses.TEXT, self._app.page().encode())

    def _unauthorised(self, exchange: Exchange) -> None:
        refused = Refused(Code.UNAUTHENTICATED, "A token is needed: Authorization: Bearer <token>")
        exchange.reply(
            refused.http_status, http_responses.JSON, error_body(refused), b"WWW-Authenticate: Bearer\r\n" + self._cors
        )
