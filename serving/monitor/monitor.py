"""Drift monitor, an observer of a server: a bounded queue on its side, all work in a thread of the monitor's own."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from keras_seq import files
from keras_seq.errors import KerasSeqError
from keras_seq.export.reference import TrainingReference, read_reference
from keras_seq.machine import is_running
from serving.monitor.events import EventLog
from serving.monitor.extract import read_call
from serving.monitor.prometheus import render
from serving.monitor.request_log import RequestLog
from serving.monitor.settings import MonitorSettings
from serving.monitor.thresholds import Thresholds, thresholds_of
from serving.monitor.watch import ANSWERS, INPUTS, VersionWatch
from serving.observers import ObservedCall

log = logging.getLogger(__name__)
MEGABYTE = 2**20
PAUSE = 0.05  # seconds between two looks at the queue
LONGEST = 0.5  # seconds of rest after a long piece of work, such as drawing thresholds
BATCH = 32  # calls worked on at a time: the interpreter's lock is held no longer than that
RENDER = 1.0  # seconds between two renderings of the metrics
STATUS = 10.0  # seconds between two status files
LABELLED = "labels/summary.json"
FindVersion = Callable[[str, int], Path | None]
Key = tuple[str, int]


class DriftMonitor:
    """Watches the calls of a server; an ``Observer`` (``serving.observers``).

    Args:
        settings: what is watched.
        where: folder of a version by model and number, which holds its reference; None: unknown.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, settings: MonitorSettings, where: FindVersion = lambda model, version: None) -> None:
        self.settings, self._where = settings, where
        files.ensure_writable(settings.folder)
        self.events = EventLog(settings.folder, most_mb=settings.events_mb)
        self.dropped = self.failures = 0
        self._models = frozenset(settings.models)
        self._queue: deque[tuple[ObservedCall, int]] = deque()
        self._bytes = 0
        self._most_calls, self._most_bytes = settings.queue_calls, int(settings.queue_mb * MEGABYTE)
        self._watches: dict[Key, VersionWatch] = {}
        self._log = (
            RequestLog(
                settings.folder, most_mb=settings.log_mb, file_mb=settings.log_file_mb, seconds=settings.log_seconds
            )
            if settings.log
            else None
        )
        self._text, self._rendered, self._saved, self._pid = "", 0.0, 0.0, os.getpid()
        self._taken = self._done = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keras-seq-monitor", daemon=True)
        self._thread.start()

    def wants(self, model: str) -> bool:
        """Whether the next call is watched; a full queue says no and counts."""
        if self._models and model not in self._models:
            return False
        if self.settings.sample < 1 and random.random() >= self.settings.sample:
            return False
        if len(self._queue) >= self._most_calls or self._bytes >= self._most_bytes:
            self.dropped += 1
            return False
        return True

    def served(self, call: ObservedCall) -> None:
        """Queue a call; nothing else happens on the server's thread."""
        size = 0
        for value in call.inputs.values():
            size += value.nbytes
        for value in call.outputs.values():
            size += value.nbytes
        self._bytes += size  # counted back by the other thread: a lost update is mended whenever the queue is empty
        self._taken += 1
        self._queue.append((call, size))

    def metrics(self) -> str:
        """Lines in Prometheus' text format, at most some seconds old."""
        return self._text

    def flush(self, timeout: float = 60.0) -> bool:
        """Wait until all calls so far are worked on; for tests and commands."""
        wanted, end = self._taken, time.monotonic() + timeout
        while self._done < wanted and time.monotonic() < end and self._thread.is_alive():
            time.sleep(0.005)
        return self._done >= wanted

    def close(self) -> None:
        """Work on what is queued, write the log and the status, stop the thread."""
        self._stop.set()
        self._thread.join(timeout=60)

    @property
    def drifting(self) -> dict[Key, bool]:
        """Whether each watched version drifts."""
        return {key: watch.drifting for key, watch in list(self._watches.items())}

    def _run(self) -> None:
        with suppress(AttributeError, OSError):  # answers come first; Linux has a priority for each thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while True:
            stopping, began = self._stop.is_set(), time.thread_time()
            try:
                self._step(stopping)
            except Exception:  # of whatever the calls hold: a monitor that stops sees nothing more
                self._failed("The monitor could not work on some calls")
            if stopping and not self._queue:
                return
            if not stopping:  # a busy server's cores are for answers; what comes too fast is dropped and counted
                worked = time.thread_time() - began
                rest = min(worked / self.settings.cpu_share - worked, LONGEST)
                self._stop.wait(max(rest, 0.0 if self._queue else PAUSE))

    def _step(self, stopping: bool) -> None:
        batch: list[tuple[ObservedCall, int]] = []
        while self._queue and len(batch) < BATCH:
            batch.append(self._queue.popleft())
        try:
            self._work(batch)
        finally:
            self._bytes = max(0, self._bytes - sum(size for _, size in batch)) if self._queue else 0
            self._done += len(batch)
        last = stopping and not self._queue
        if self._log is not None and (self._log.due or last):
            self._attempt(self._log.write, "The request log cannot be written")
        now = time.monotonic()
        if now - self._rendered >= RENDER or last:
            self._rendered = now
            self._text = render(
                list(self._watches.values()), dropped=self.dropped, failures=self.failures, labelled=self._labelled()
            )
        if now - self._saved >= STATUS or last:
            self._saved = now
            self._attempt(self._save, "The status cannot be written")

    def _work(self, batch: list[tuple[ObservedCall, int]]) -> None:
        together: dict[Key, list[ObservedCall]] = {}
        for call, size in batch:
            together.setdefault((call.model, call.version), []).append(call)
            if self._log is not None and self._keeps(call.request_id):
                self._log.add(call, size)
        for key, calls in together.items():
            try:
                self._look(self._watch(key), calls)
            except Exception:  # one model's odd calls must not hide another's
                self._failed(f"Calls of model '{key[0]}', version {key[1]}, could not be watched")

    def _keeps(self, request_id: str) -> bool:
        share = self.settings.log_sample
        return share >= 1 or zlib.crc32(request_id.encode()) < share * 2**32

    def _look(self, watch: VersionWatch, calls: list[ObservedCall]) -> None:
        """Add calls piece by piece, so that checks come when they are due however many calls came at once."""
        position, step = 0, max(1, self.settings.every)
        while position < len(calls):
            part = calls[position : position + step]
            position += step
            self._add(watch, part)
            if watch.due:
                for event in watch.check():
                    self._attempt(partial(self.events.write, **event), "An event cannot be written")
                    log.warning("%s: %s of model '%s', version %s", event["event"], event["of"], *event_key(event))

    def _add(self, watch: VersionWatch, calls: list[ObservedCall]) -> None:
        parts: dict[tuple[str, tuple[str, ...]], list[Any]] = {}
        for call in calls:
            watch.calls += 1
            watch.seconds += call.seconds
            read = read_call(call, watch.reference)
            if read.rows is None or read.answers is None:
                watch.unread += 1
            if read.rows is not None:
                parts.setdefault((INPUTS, read.columns), []).append(read.rows)
            if read.answers is not None:
                parts.setdefault((ANSWERS, read.answer_columns), []).append(read.answers)
        for (name, columns), rows in parts.items():
            watch.add(name, columns, rows)

    def _watch(self, key: Key) -> VersionWatch:
        watch = self._watches.pop(key, None)
        if watch is None:
            reference, thresholds = self._reference(key)
            watch = VersionWatch(*key, reference, thresholds, self.settings)
        self._watches[key] = watch  # the newest last
        while len(self._watches) > self.settings.versions:
            self._watches.pop(next(iter(self._watches)))
        return watch

    def _reference(self, key: Key) -> tuple[TrainingReference | None, Thresholds]:
        reason = "the version holds none"
        try:
            folder = self._where(*key)
            reference = read_reference(folder) if folder is not None else None
            if reference is not None:
                thresholds = thresholds_of(reference, self.settings)
                if any(thresholds.values()):
                    return reference, thresholds
                reason = "it holds too few rows"
        except KerasSeqError as error:
            reason = str(error)
        self._attempt(
            lambda: self.events.write("no_reference", model=key[0], version=key[1], reason=reason),
            "An event cannot be written",
        )
        return None, {}

    def _labelled(self) -> dict[str, Any]:
        try:
            return dict(files.read_json(Path(self.settings.folder) / LABELLED)["versions"])
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _save(self) -> None:
        folder = Path(self.settings.folder) / "status"
        for path in folder.glob("*.json"):
            if path.stem.isdigit() and not is_running(int(path.stem)):
                path.unlink(missing_ok=True)
        versions = [status_of(watch) for watch in self._watches.values()]
        about = {"time": time.time(), "dropped": self.dropped, "failures": self.failures, "versions": versions}
        files.write_json(folder / f"{self._pid}.json", about)

    def _attempt(self, work: Callable[[], Any], what: str) -> None:
        try:
            work()
        except (KerasSeqError, OSError) as error:
            self._failed(what, error)

    def _failed(self, what: str, error: Exception | None = None) -> None:
        self.failures += 1
        if self.failures < 10 or self.failures % 1000 == 0:  # a full disk fills no log
            log.error("%s%s", what, f": {error}" if error else "", exc_info=error is None)


def event_key(event: dict[str, Any]) -> Key:
    """Model and version of an event."""
    return event["model"], event["version"]


def status_of(watch: VersionWatch) -> dict[str, Any]:
    """A version's state for ``python -m serving.monitor status``."""
    alarms = [
        {
            "of": group.name,
            "window": size,
            "drift": alarm.on,
            "score": alarm.score,
            "checked": alarm.distances is not None,
        }
        for group in watch.groups.values()
        for size, alarm in group.alarms.items()
    ]
    return {
        "model": watch.model,
        "version": watch.version,
        "calls": watch.calls,
        "unread": watch.unread,
        "mean_seconds": watch.seconds / max(1, watch.calls),
        "reference": watch.reference is not None,
        "alarms": alarms,
    }
