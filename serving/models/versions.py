"""Loads and unloads versions in threads, keeps their states, and answers calls from one table.

The table is replaced whole at every change, so that calls read it without a lock.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from serving.contract.status import Code, Refused, invalid
from serving.contract.version_state import VersionState
from serving.models.lifecycle import AVAILABLE, END, LOADING, START, UNLOADING, Held, Model, Version, table_of
from serving.models.servable import Lease, Servable
from serving.models.settings import ManagerSettings

log = logging.getLogger(__name__)

Loader = Callable[[str, int, Path, ManagerSettings], Servable]
Listener = Callable[[str, VersionState], None]
DRAIN_SECONDS = 0.02  # between two looks whether a version is still in use
BUSY_SECONDS = 1.0  # between two looks at a load, whose end is told anyway


class Versions:
    """The versions of all models.

    Args:
        settings: threads and retries.
        loader: makes a version's ``Servable``.
        wake: called when ``step`` should be.

    Attributes:
        models: by name; change them under ``lock``, then call ``step``.
        states: last state of every version there ever was, by model and number.
        table: what calls are answered from.
        lock: of all of these.
        changed: told at every change of state.
        closing: nothing is loaded any more.
    """

    def __init__(self, settings: ManagerSettings, loader: Loader, wake: Callable[[], None]) -> None:
        self.settings, self._loader, self._wake = settings, loader, wake
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.models = dict[str, Model]()
        self.states = dict[str, dict[int, VersionState]]()
        self.table = dict[Any, Held]()
        self.closing = False
        self._listeners = list[Listener]()
        threads = settings.num_load_threads or min(4, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="load-model")

    def acquire(self, name: str, version: int | None) -> Lease:
        """The version of a number, or the highest that answers; it stays open until the lease is given back.

        Raises:
            Refused: NOT_FOUND, in the words of TensorFlow Serving.
        """
        key = name if version is None else (name, version)
        while True:
            held = self.table.get(key)
            if held is None:
                raise _not_found(name, version)
            held.users.append(None)
            if not held.closing:
                return held
            held.users.pop()  # it left the table a moment ago

    def status(self, name: str, version: int | None) -> Sequence[VersionState]:
        """The states of a model's versions, the highest first, or of one.

        Raises:
            Refused: NOT_FOUND, in the words of TensorFlow Serving.
        """
        with self.lock:
            known = self.states.get(name, {})
            if version is not None:
                if version not in known:
                    raise Refused(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
                return [known[version]]
            if not known:
                raise Refused(Code.NOT_FOUND, f"Could not find any versions of model {name}")
            return [known[number] for number in sorted(known, reverse=True)]

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener(model name, state)`` at every change of state."""
        with self.lock:
            self._listeners.append(listener)

    def close(self, deadline: float) -> None:
        """Unload everything that no lease holds before ``deadline``, in seconds of the monotonic clock."""
        with self.lock:
            self.closing = True
            for model in self.models.values():
                model.aspired = {}
        while self.step() is not None and time.monotonic() < deadline:
            time.sleep(DRAIN_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def step(self) -> float | None:
        """Load, unload and drain whatever versions are due.

        Returns:
            Seconds until there may be more to do without anybody telling; None: nothing is on its way.
        """
        now, waits = time.monotonic(), list[float]()
        with self.lock:
            for name, model in self.models.items():
                for version in model.want():
                    self._change_state(name, version, START)
                for version in (*model.give_up(), *model.forget()):
                    self._change_state(name, version, END)
                for version in () if self.closing else model.to_load(now):
                    version.busy, version.retry_at = True, None
                    self._pool.submit(self._load, name, version)
                for version in model.to_unload():
                    self._unload(name, version)
                for version in model.versions.values():
                    if self._drains(name, version):
                        waits.append(DRAIN_SECONDS)
                    if version.retry_at is not None:
                        waits.append(max(version.retry_at - now, 0.0))
                    if version.busy:
                        waits.append(BUSY_SECONDS)
        return min(waits, default=None)

    def _load(self, name: str, version: Version) -> None:
        """Load one version, in a thread of the pool."""
        self._change_state(name, version, LOADING)
        servable, error = None, ("OK", "")
        try:
            servable = self._loader(name, version.number, version.folder, self.settings)
        except Refused as refused:
            error = (refused.code.name, refused.message)
        except BaseException as failure:  # whatever a library raises must not end the thread without a word
            log.debug("Loading version %d of %s failed", version.number, name, exc_info=True)
            error = ("UNKNOWN", f"{type(failure).__name__}: {failure}")
        with self.lock:
            version.busy, version.error = False, error
            if servable is not None:
                version.held = Held(servable)
                self._change_state(name, version, AVAILABLE)
            else:
                self._failed(name, version)
        self._wake()

    def _failed(self, name: str, version: Version) -> None:
        version.failures += 1
        code, message = version.error
        log.error("Servable %s version %d cannot be loaded: %s: %s", name, version.number, code, message)
        if version.failures <= self.settings.max_num_load_retries and version.wanted and not self.closing:
            version.retry_at = time.monotonic() + max(self.settings.load_retry_interval_micros, 0) / 1e6
        else:
            self._change_state(name, version, END)

    def _unload(self, name: str, version: Version) -> None:
        """Out of the table first, then closed to new users: those who have it may finish."""
        self._change_state(name, version, UNLOADING)
        assert version.held is not None
        version.held.closing = True

    def _drains(self, name: str, version: Version) -> bool:
        """Whether somebody still uses a version that unloads; closes it if nobody does."""
        if version.state != UNLOADING or version.busy or version.held is None:
            return False
        if version.held.users:
            return True
        version.busy = True
        self._pool.submit(self._end, name, version)
        return False

    def _end(self, name: str, version: Version) -> None:
        """Close one version, in a thread of the pool."""
        held, version.held = version.held, None
        try:
            if held is not None:
                held.servable.close()
        except BaseException:  # it leaves all the same
            log.exception("Closing version %d of %s failed", version.number, name)
        del held
        with self.lock:
            version.busy = False
            self._change_state(name, version, END)
            model = self.models.get(name)
            if model is not None:
                model.versions.pop(version.number, None)
        self._wake()

    def _change_state(self, name: str, version: Version, state: str) -> None:
        """Take a new state; the table follows, and whoever listens is told."""
        with self.lock:
            before, version.state = version.state, state
            code, message = version.error if state == END and version.held is None else ("OK", "")
            changed = VersionState(version.number, state, code, message)
            self.states.setdefault(name, {})[version.number] = changed
            if AVAILABLE in (before, state):
                self.table = table_of(self.models.items())
            self.changed.notify_all()
            for listener in self._listeners:
                with suppress(Exception):  # a listener's fault is not the model's
                    listener(name, changed)
        log.info("Version %d of %s is %s%s", version.number, name, state, f" ({code}: {message})" if message else "")


def _not_found(name: str, version: int | None) -> Refused:
    if not name:
        return invalid("ModelSpec has no name specified.")
    asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
    return Refused(Code.NOT_FOUND, f"Servable not found for request: {asked}")
