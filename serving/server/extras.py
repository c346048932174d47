"""Adapter between the server and ``serving.extras``: what they ask of it, and their answers over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from serving.contract.status import Code, Refused
from serving.models.servable import Arrays, Models
from serving.server.app import MAX_REQUEST_ID, CallTarget, ServerApp
from serving.server.http import Exchange
from serving.server.queued_call import QueuedCall

if TYPE_CHECKING:
    from serving.extras.http import Caller

Result = TypeVar("Result")
TIMEOUT = "Timed out waiting for notification"


class ExtrasApp:
    """The server as the extras see it; its methods are called in threads.

    Args:
        app: of this worker.
    """

    def __init__(self, app: ServerApp) -> None:
        self._app = app

    @property
    def models(self) -> Models:
        """All models."""
        return self._app.models

    def metrics(self) -> str:
        """The metrics page."""
        return self._on_loop(self._app.page)

    def folder(self, model: str, version: int) -> Path | None:
        """Where a version lies."""
        return self._app.folder(model, version)

    def shares(self, model: str) -> dict[int, float]:
        """Shares of the calls that name no version, of a rollout."""
        router = self._app.router
        return {} if router is None else router.shares(model)

    def count(self, model: str, code: Code, seconds: float) -> None:
        """Count a call of a model."""
        self._app.loop.call_soon_threadsafe(self._app.metrics.request, model, "predict", "REST", code, seconds)

    def predict(
        self, model: str, version: int | None, label: str | None, signature: str, inputs: Arrays, caller: Caller
    ) -> tuple[int, Arrays]:
        """Answer through the queue that REST and gRPC use; observers see it.

        Raises:
            Refused: as any call.
        """
        app, began = self._app, perf_counter()
        target = CallTarget(model, version, label, *caller)
        future: Future[Arrays] = Future()
        calls: list[QueuedCall] = []

        def done(answers: Arrays | None, error: Exception | None) -> None:
            if answers is None:
                future.set_exception(error or AssertionError("neither answers nor an error"))
                return
            app.observed(target, calls[0], answers, perf_counter() - began)
            future.set_result(answers)

        with app.acquire(target) as servable:
            submit = partial(app.submit, servable, signature, inputs, None, done, lambda: True)
            self._on_loop(lambda: calls.append(submit()))
            return servable.version, self._wait(future)

    def _on_loop(self, function: Callable[[], Result]) -> Result:
        """Call on the event loop's thread, wait, and hand back what it gave or raised."""
        future: Future[Result] = Future()

        def call() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._app.loop.call_soon_threadsafe(call)
        return self._wait(future)

    def _wait(self, future: Future[Result]) -> Result:
        """A call's result, within the time that a call may take and a second more."""
        try:
            return future.result(self._app.settings.rest_api_timeout_in_ms / 1000 + 1)
        except TimeoutError:
            if future.done():
                raise
            raise Refused(Code.DEADLINE_EXCEEDED, TIMEOUT) from None


class ExtrasFront:
    """Paths below ``--extras_prefix``.

    Args:
        app: of this worker.
    """

    def __init__(self, app: ServerApp) -> None:
        from serving.extras.routes import Extras

        self._app = app
        self.prefix = app.settings.extras_prefix.rstrip("/")
        self._extras = Extras(ExtrasApp(app), self.prefix)

    def owns(self, path: str) -> bool:
        """Whether a request's path is ours."""
        return path.startswith(self.prefix) and path[len(self.prefix) :][:1] in ("", "/", "?")

    def answer(self, exchange: Exchange, body: bytes) -> None:
        """Answer in a thread."""
        request_id = exchange.headers.get(b"x-request-id", b"")[:MAX_REQUEST_ID].decode("latin-1")
        watched = self._app.observers and exchange.method == "POST"
        self._app.loop.run_in_executor(
            None, self._work, exchange, body, request_id or (self._app.new_id() if watched else "")
        )

    def _work(self, exchange: Exchange, body: bytes, request_id: str) -> None:
        from serving.extras.http import Caller, ExtrasRequest, failure

        try:
            path = unquote(exchange.path.partition("?")[0], errors="surrogateescape")
            caller = Caller(request_id, exchange.peer)
            response = self._extras.answer(ExtrasRequest(exchange.method, path, body, caller=caller))
        except Exception as error:
            self._app.unexpected(error)
            response = failure(500, "Internal error")
        headers = {**response.headers, **({"X-Request-Id": request_id} if request_id else {})}
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1", "replace")
        self._app.loop.call_soon_threadsafe(
            exchange.reply, response.status, response.kind.encode("latin-1", "replace"), response.body, extra
        )
