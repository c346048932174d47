"""Dynamic batching: queued calls of the same kind become one run of the model; no call waits for company.

Requests that the event loop reads in one turn, and those that come while a run of the same kind is under way, are of
one group if servable, signature, outputs and row shapes are equal. A group of a servable that answers rows on their
own becomes one run. ``--enable_batching`` does the same for any model, with TensorFlow Serving's limits, timeout and
padding.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from serving.contract.status import Code, Refused
from serving.models.batching import BatchingParameters
from serving.models.servable import Arrays
from serving.server.batch_run import run
from serving.server.queued_call import BatchGroup, QueuedCall

# A fast servable's run that is over by then is done on the loop: no thread is woken for it. During a longer one the
# loop has better things to do: reading the calls of the next.
INLINE_SECONDS = 0.001
FIRST_GUESS = 5e-5  # seconds a row, until a run was timed
_TIMEOUT = "Timed out waiting for notification"  # of DirectSession
_QUEUED = "Run() timeout exceeded while waiting in batching queue"  # of BatchingSession::ProcessBatch


class Batcher:
    """Queue of calls, batched into runs of the model. Not thread-safe: for the event loop's thread alone.

    Args:
        loop: the event loop.
        threads: runs beside the loop at a time.
        max_rows: of one run.
        max_queue: calls that may wait.
        parameters: of ``--enable_batching``; None: off.
        max_bytes: of the inputs that wait.
        on_run: told the seconds and rows of every run.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        threads: int = 8,
        max_rows: int = 16,
        max_queue: int = 1024,
        parameters: BatchingParameters | None = None,
        max_bytes: int = 2**30,
        on_run: Callable[[Sequence[QueuedCall], float], None] | None = None,
    ) -> None:
        self._loop, self._max_rows, self._max_queue, self._max_bytes = loop, max_rows, max_queue, max_bytes
        self._parameters, self._on_run = parameters, on_run
        self._allowed = parameters.allowed_batch_sizes if parameters else ()
        self._pads = parameters is not None and parameters.pad_variable_length_inputs
        self._threads, self._idle = threads, threads
        self._groups: dict[tuple[Any, ...], BatchGroup] = {}
        self._row_seconds: dict[int, float] = {}  # by servable
        self._dirty: list[BatchGroup] = []
        self._blocked: deque[BatchGroup] = deque()  # could run, but all threads are busy
        self._in_threads: set[QueuedCall] = set()
        self._work: SimpleQueue[tuple[BatchGroup, list[QueuedCall]] | None] = SimpleQueue()
        self._started = 0
        self.queued = self.queued_bytes = 0

    @property
    def in_flight(self) -> int:
        """Number of calls that wait or run."""
        return self.queued + len(self._in_threads)

    def submit(self, call: QueuedCall) -> None:
        """Queue a call; its ``done`` is called from the loop, never from within.

        Raises:
            Refused: UNAVAILABLE, the queue is full.
        """
        group = self._group(call)
        self._admit(call, group)
        call.group = group
        group.calls.append(call)
        group.rows += call.rows
        self.queued += 1
        self._mark(group)

    def expire(self, now: float) -> None:
        """Give up calls whose time is over; called a few times a second."""
        late = [call for group in self._groups.values() for call in group.calls if call.deadline < now and call.done]
        for call in late:
            batching = self._parameters is not None
            code = Code.RESOURCE_EXHAUSTED if batching else Code.DEADLINE_EXCEEDED
            call.finish(None, Refused(code, _QUEUED if batching else _TIMEOUT))
        for call in [call for call in self._in_threads if call.deadline < now]:
            call.finish(None, Refused(Code.DEADLINE_EXCEEDED, _TIMEOUT))

    def close(self) -> None:
        """Let the threads end."""
        for _ in range(self._started):
            self._work.put(None)

    def _admit(self, call: QueuedCall, group: BatchGroup) -> None:
        full = self.queued >= self._max_queue or self.queued_bytes + call.nbytes > self._max_bytes
        if self._parameters and group.batched:
            largest = self._parameters.max_batch_size
            if call.rows > largest:
                raise Refused(
                    Code.INVALID_ARGUMENT,
                    f"Task size {call.rows} is larger than maximum input batch size {largest}",
                )
            full = full or group.rows + call.rows > largest * self._parameters.max_enqueued_batches
        if full and self.queued:
            raise Refused(
                Code.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full",
            )
        self.queued_bytes += call.nbytes

    def _group(self, call: QueuedCall) -> BatchGroup:
        batched = (call.servable.rowwise or self._parameters is not None) and call.rows > 0
        key: tuple[Any, ...] = (id(call.servable), "", None)
        if batched:
            shapes: list[Any] = [(name, array.dtype.num, array.shape[1:]) for name, array in call.inputs.items()]
            if self._pads:
                shapes = [(name, number, len(shape)) for name, number, shape in shapes]
            key = (key[0], call.signature, call.outputs, *shapes)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = BatchGroup(key, batched)
        return group

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for group in dirty:
            group.dirty = False
            self._dispatch(group)

    def _dispatch(self, group: BatchGroup) -> None:
        """Start the runs of a group that can start."""
        while group.calls:
            if self._must_wait(group):
                return
            servable = group.calls[0].servable
            if servable.fast and not group.running and self._seconds(group) <= INLINE_SECONDS:
                if calls := self._take(group):
                    self._finish(calls, *run(calls, self._allowed))
                if group.calls:  # the loop reads what came meanwhile, then goes on
                    self._mark(group)
                    return
                continue
            if not self._idle:
                if group not in self._blocked:
                    self._blocked.append(group)
                return
            if group.batched and group.running >= self._runs_at_once:
                return
            calls = self._take(group)
            if calls:
                self._start(group, calls)
        if not group.running:
            self._groups.pop(group.key, None)

    def _mark(self, group: BatchGroup) -> None:
        """Dispatch a group in the loop's next turn."""
        if not group.dirty:
            group.dirty = True
            if not self._dirty:
                self._loop.call_soon(self._flush)
            self._dirty.append(group)

    def _seconds(self, group: BatchGroup) -> float:
        """Estimated seconds of a group's next run."""
        rows = min(group.rows, self._largest) if group.batched else group.calls[0].size
        return max(1, rows) * self._row_seconds.get(group.key[0], FIRST_GUESS)

    def _learn(self, calls: list[QueuedCall], seconds: float) -> None:
        """Update the estimated seconds a row."""
        key = id(calls[0].servable)
        row = seconds / max(1, sum(call.size for call in calls))
        if len(self._row_seconds) > 1000:  # versions come and go
            self._row_seconds.clear()
        # a busy machine makes some runs look slow: down at once, up in steps
        self._row_seconds[key] = min(row, 0.8 * self._row_seconds.get(key, row) + 0.2 * row)

    @property
    def _largest(self) -> int:
        """Rows of one run."""
        return self._parameters.max_batch_size if self._parameters else self._max_rows

    @property
    def _runs_at_once(self) -> int:
        """Runs of one group at a time: one, so that what comes meanwhile goes together; as configured otherwise."""
        return (self._parameters.num_batch_threads or self._threads) if self._parameters else 1

    def _must_wait(self, group: BatchGroup) -> bool:
        """Whether ``batch_timeout_micros`` holds a batch back that is not full."""
        parameters = self._parameters
        if not (parameters and group.batched and parameters.batch_timeout_micros):
            return False
        if group.released or group.rows >= parameters.max_batch_size:
            return False
        if not group.waiting:
            group.waiting = True
            self._loop.call_later(parameters.batch_timeout_micros / 1e6, self._release, group)
        return True

    def _release(self, group: BatchGroup) -> None:
        group.waiting, group.released = False, True
        self._dispatch(group)
        group.released = False

    def _take(self, group: BatchGroup) -> list[QueuedCall]:
        """The next calls of a group that make one run; those that nobody waits for are dropped."""
        limit = self._largest
        taken: list[QueuedCall] = []
        rows = 0
        while group.calls:
            call = group.calls[0]
            if call.done is None or not call.alive():
                self._leave(group)
                call.finish(None, Refused(Code.CANCELLED, "The client is gone"))
                continue
            if taken and (not group.batched or rows + call.rows > limit):
                break
            taken.append(self._leave(group))
            rows += call.rows
        return taken

    def _leave(self, group: BatchGroup) -> QueuedCall:
        call = group.calls.popleft()
        group.rows -= call.rows
        self.queued -= 1
        self.queued_bytes -= call.nbytes
        return call

    def _start(self, group: BatchGroup, calls: list[QueuedCall]) -> None:
        group.running += 1
        self._idle -= 1
        self._in_threads.update(calls)
        if self._started < self._threads - self._idle:  # as many threads as were ever needed at a time
            self._started += 1
            threading.Thread(target=self._worker, name=f"run-{self._started}", daemon=True).start()
        self._work.put((group, calls))

    def _worker(self) -> None:
        while (work := self._work.get()) is not None:
            group, calls = work
            results, seconds = run(calls, self._allowed)
            try:
                self._loop.call_soon_threadsafe(self._back, group, calls, results, seconds)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _back(
        self, group: BatchGroup, calls: list[QueuedCall], results: list[Arrays | Exception], seconds: float
    ) -> None:
        group.running -= 1
        self._idle += 1
        self._in_threads.difference_update(calls)
        self._dispatch(group)  # the next run first: the processor is free
        while self._idle and self._blocked:
            self._dispatch(self._blocked.popleft())
        self._finish(calls, results, seconds)

    def _finish(self, calls: list[QueuedCall], results: list[Arrays | Exception], seconds: float) -> None:
        self._learn(calls, seconds)
        if self._on_run:
            self._on_run(calls, seconds)
        for call, result in zip(calls, results, strict=True):
            call.run_seconds = seconds
            if isinstance(result, Exception):
                call.finish(None, result)
            else:
                call.finish(result, None)
