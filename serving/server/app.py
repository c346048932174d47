"""Application of a worker, shared by both fronts: models, batcher, metrics, observers, router."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from serving.contract.status import Code, Refused
from serving.models.batching import BatchingParameters, Monitoring
from serving.models.servable import Arrays, Lease, Models, Servable
from serving.observers import ObservedCall as Observed
from serving.observers import Observer, Router
from serving.server.batching import Batcher
from serving.server.metrics import Metrics
from serving.server.queued_call import Done, QueuedCall
from serving.settings import Settings

MAX_REQUEST_ID = 128


class CallTarget(NamedTuple):
    """Model and version of a call, and its caller.

    Attributes:
        name, version, label: as the client named them.
        request_id: the client's, or empty.
        peer: address of the client.
    """

    name: str
    version: int | None
    label: str | None
    request_id: str = ""
    peer: str = ""


class ServerApp:
    """Application of one worker, on its event loop.

    Args:
        settings: of the command line.
        models: what answers.
        loop: the event loop; everything here is called from its thread.
        metrics: counted; None: new ones.
        monitoring: whether and where the metrics page is.
        parameters: of ``--enable_batching``; None: off.
        observers: told of answered predict calls.
        router: chooses versions of calls that name none.
        state: folder that the workers share; None: there is none.
        folders: where versions lie, by model and number.
    """

    def __init__(
        self,
        settings: Settings,
        models: Models,
        *,
        loop: asyncio.AbstractEventLoop,
        metrics: Metrics | None = None,
        monitoring: Monitoring | None = None,
        parameters: BatchingParameters | None = None,
        observers: Sequence[Observer] = (),
        router: Router | None = None,
        state: Path | None = None,
        folders: Mapping[tuple[str, int], Path] | None = None,
    ) -> None:
        self.folders = folders if folders is not None else {}
        self.settings, self.models, self.loop = settings, models, loop
        self.metrics, self.monitoring = metrics or Metrics(), monitoring or Monitoring()
        self.observers, self.router, self.state = tuple(observers), router, state
        self.started = time.time()
        self.draining = False
        self.batcher = Batcher(
            loop,
            threads=settings.threads,
            max_rows=settings.max_batch_rows,
            max_queue=settings.max_queue,
            parameters=parameters,
            max_bytes=16 * settings.max_body_mb * 2**20,
            on_run=self._count_run,
        )
        self._timeout = settings.rest_api_timeout_in_ms / 1000
        self._ids, self._id_prefix = itertools.count(1), secrets.token_hex(6)
        self._reloaded = 0.0

    def acquire(self, target: CallTarget) -> Lease:
        """The version that answers a call; the router chooses if the client did not.

        Raises:
            Refused: there is none.
        """
        name, version, label = target.name, target.version, target.label
        if self.router is not None and version is None and label is None:
            chosen = self.router.choose(name, target.request_id or target.peer)
            if chosen is not None:
                try:
                    return self.models.acquire(name, chosen)
                except Refused:
                    pass  # a weight names a version that is gone: better the latest than none
        return self.models.acquire(name, version, label)

    def submit(
        self,
        servable: Servable,
        signature: str,
        inputs: Arrays,
        outputs: tuple[str, ...] | None,
        done: Done,
        alive: Callable[[], bool],
        deadline: float | None = None,
    ) -> QueuedCall:
        """Queue a run; ``done`` is called on the loop with its answers or an error.

        Raises:
            Refused: the queue is full.
        """
        if deadline is None:
            deadline = perf_counter() + self._timeout
        call = QueuedCall(servable, signature, inputs, outputs, done, deadline, alive)
        self.batcher.submit(call)
        return call

    def folder(self, model: str, version: int) -> Path | None:
        """Where a version lies; None if it was never loaded."""
        return self.folders.get((model, version))

    def watchers(self, model: str) -> list[Observer]:
        """Observers that want the next call of a model."""
        return [observer for observer in self.observers if observer.wants(model)]

    def new_id(self) -> str:
        """A request id for a client that sent none."""
        return f"{self._id_prefix}-{next(self._ids)}"

    def observed(
        self,
        target: CallTarget,
        call: QueuedCall,
        answers: Arrays,
        seconds: float,
        watchers: Sequence[Observer] | None = None,
    ) -> None:
        """Tell observers of an answered call, after its reply is written."""
        if watchers is None:
            watchers = self.watchers(target.name) if self.observers else ()
        if not watchers:
            return
        copies = {alias: np.array(array) for alias, array in answers.items()}  # not a view of a whole batch
        seen = Observed(
            target.name,
            call.servable.version,
            call.signature,
            call.inputs,
            copies,
            seconds,
            time.time(),
            target.request_id[:MAX_REQUEST_ID] or self.new_id(),
        )
        self.loop.call_soon(self._notify, watchers, seen)

    def _notify(self, watchers: Sequence[Observer], seen: Observed) -> None:
        for observer in watchers:
            try:
                observer.served(seen)
            except Exception as error:
                self.unexpected(error)

    def _count_run(self, calls: Sequence[QueuedCall], seconds: float) -> None:
        servable = calls[0].servable
        runtime = getattr(servable, "runtime", "TF1")
        self.metrics.runtime_latency.add((servable.name, "Predict", runtime), seconds * 1e6)
        self.metrics.runs.add(())

    def unexpected(self, error: BaseException) -> None:
        """Write a bug's traceback to stderr; clients never see it."""
        traceback.print_exception(error, file=sys.stderr)

    async def reload(self, text: str) -> None:
        """Take another ``ModelServerConfig``, here and in the other workers.

        Raises:
            Refused: it cannot be used; the old one stays.
        """
        await self.loop.run_in_executor(None, self.models.reload, text)
        if self.state:
            file = self.state / "models.config"
            partial = file.with_suffix(f".{secrets.token_hex(4)}")
            partial.write_text(text, encoding="utf-8")
            partial.replace(file)
            self._reloaded = file.stat().st_mtime

    def follow_reload(self) -> None:
        """Take the config that another worker, or the one before this one, was given; for use in a thread."""
        file = self.state / "models.config" if self.state else None
        if file is None or not file.exists() or file.stat().st_mtime == self._reloaded:
            return
        self._reloaded = file.stat().st_mtime
        try:
            self.models.reload(file.read_text(encoding="utf-8"))
        except Refused as refused:
            print(f"another worker's model config cannot be used here: {refused.message}", file=sys.stderr)

    def tick(self) -> None:
        """A few times a second: give up late calls, leave metrics for the other workers."""
        self.batcher.expire(perf_counter())

    def page(self) -> str:
        """The metrics page."""
        gauges = self.metrics.gauges
        gauges.put(("calls_in_flight",), self.batcher.in_flight)
        lines = self.metrics.page()
        for observer in self.observers:
            try:
                lines += observer.metrics()
            except Exception as error:
                self.unexpected(error)
        return lines

    def close(self) -> None:
        """Let threads and observers end."""
        self.batcher.close()
        hooks: list[Observer | Router] = [*self.observers, *([self.router] if self.router else [])]
        for hook in hooks:
            try:
                hook.close()
            except Exception as error:
                self.unexpected(error)


def code_of(error: BaseException) -> Code:
    """The canonical code of an error; INTERNAL for what nobody expected."""
    return error.code if isinstance(error, Refused) else Code.INTERNAL
