"""A call that waits for its run, and the group of calls that may share one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from serving.models.servable import Arrays, Servable

Done = Callable[[Arrays | None, Exception | None], None]


class QueuedCall:
    """Call of a model that waits for its run.

    Attributes:
        servable, signature, outputs, inputs: what to run.
        rows: of the batch axis; 0 if there is none.
        nbytes: of the inputs.
        size: for how many rows it counts when time is guessed.
        alive: whether somebody still waits.
        deadline: ``perf_counter`` after which nobody does.
        run_seconds: time of the run that answered it.
    """

    __slots__ = (
        "alive",
        "deadline",
        "done",
        "group",
        "inputs",
        "nbytes",
        "outputs",
        "rows",
        "run_seconds",
        "servable",
        "signature",
        "size",
    )

    def __init__(
        self,
        servable: Servable,
        signature: str,
        inputs: Arrays,
        outputs: tuple[str, ...] | None,
        done: Done,
        deadline: float,
        alive: Callable[[], bool],
    ) -> None:
        self.servable, self.signature, self.inputs, self.outputs = servable, signature, inputs, outputs
        self.done: Done | None = done
        self.deadline, self.alive, self.run_seconds = deadline, alive, 0.0
        self.rows, self.nbytes = _rows(inputs), 0
        for array in inputs.values():
            self.nbytes += array.nbytes
        self.size = self.rows or max((array.size for array in inputs.values()), default=1)
        self.group: BatchGroup | None = None

    def finish(self, result: Arrays | None, error: Exception | None) -> None:
        """Hand the result to whoever waits, once."""
        done, self.done = self.done, None
        if done is not None:
            done(result, error)


class BatchGroup:
    """Calls that can be one run, and how many of their runs are under way."""

    __slots__ = ("batched", "calls", "dirty", "key", "released", "rows", "running", "waiting")

    def __init__(self, key: tuple[Any, ...], batched: bool) -> None:
        self.key, self.batched = key, batched
        self.calls: deque[QueuedCall] = deque()
        self.rows = self.running = 0
        self.dirty = self.waiting = self.released = False  # waiting: held for company; released: has waited long enough


def _rows(inputs: Arrays) -> int:
    """Rows that all inputs have; 0 if one has no batch axis or another number."""
    rows = 0
    for array in inputs.values():
        if not array.ndim or (rows and array.shape[0] != rows):
            return 0
        rows = array.shape[0]
    return rows
