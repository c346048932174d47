"""Tracking of studies: a parent run for the study, a child run for each trial, written from the study's files.

A study's own files are the truth, the store is a copy that catches up: a search never waits for it, and whatever
was killed or away in between, every ended trial lands in it exactly once.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
import sys
import time
from collections.abc import Callable

from keras_seq import files
from keras_seq.errors import ConfigError, nearest
from tuning.history import ended
from tuning.records import Record, Study
from tuning.tracking_base import Backend, retried

BACKENDS = ("mlflow", "wandb", "none")
PATIENCE = 30.0  # seconds until a store that was away is asked again


def make_backend(name: str | None, study: Study) -> Backend:
    """The backend of a name.

    Args:
        name: of ``BACKENDS``; None: the experiment's own ``tracking.backend``.
        study: names the store, as its experiment's ``tracking`` section.

    Raises:
        ConfigError: unknown, or its package is not installed.
    """
    name = name or study.experiment.tracking.backend
    if name == "none":
        return Backend()
    if name == "mlflow":
        from tuning.tracking_mlflow import MlflowBackend

        return MlflowBackend()
    if name == "wandb":
        if importlib.util.find_spec("wandb") is None:
            raise ConfigError(
                "Tracking backend 'wandb' needs the package wandb, which is not installed: "
                "pip install 'keras-seq[wandb]'. Or take the backend 'mlflow' or 'none'."
            )
        from tuning.tracking_wandb import WandbBackend

        return WandbBackend()
    raise ConfigError(f"There is no tracking backend '{name}'{nearest(name, BACKENDS)}")


def sync(study: Study, backend: Backend) -> int:
    """Record every ended trial that is not on record yet, each exactly once.

    Cheap where nothing is new. A store that cannot be reached is told once on stderr and left alone for a while, so
    that it takes a small share of a search's time.

    Returns:
        How many ended trials are not on record: 0, or what a later call has to catch up with.
    """
    waiting = _waiting(study, backend)
    if waiting and time.monotonic() >= backend.asleep_until:
        _guarded(backend, lambda: _record_all(study, backend))
        waiting = _waiting(study, backend)
    return len(waiting)


def finish(study: Study, backend: Backend) -> int:
    """The last ``sync``, whether the store was away or not; then report, best configuration and end of the study.

    Returns:
        As ``sync``.
    """

    def close() -> None:
        _record_all(study, backend)
        with _alone(study):
            backend.finish(study)

    _guarded(backend, close)
    return len(_waiting(study, backend))


def _waiting(study: Study, backend: Backend) -> list[Record]:
    if backend.name == "none":
        return []
    return [record for record in ended(study) if backend.recorded.get(record.trial, math.nan) != record.ended]


def _record_all(study: Study, backend: Backend) -> None:
    waiting = _waiting(study, backend)
    if not waiting:
        return
    with _alone(study):
        retried(functools.partial(backend.begin, study))
        for record in waiting:
            retried(functools.partial(backend.record, study, record))
            backend.recorded[record.trial] = record.ended


def _guarded(backend: Backend, work: Callable[[], None]) -> None:
    """Do ``work``; a store that is away must not end a search."""
    began = time.monotonic()
    try:
        work()
        backend.warned = False
    except Exception as error:  # any store, any driver
        now = time.monotonic()
        backend.asleep_until = now + max(PATIENCE, 20 * (now - began))
        if not backend.warned:
            backend.warned = True
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print(
                f"warning: the {backend.name} store cannot be written ({reason}); the study goes on, and what is "
                "missing there is recorded when it is back.",
                file=sys.stderr,
                flush=True,
            )


def _alone(study: Study) -> contextlib.AbstractContextManager[None]:
    """Lock of a study's recording: two processes would both find a trial missing."""
    return files.locked(study.folder / ".tracking.lock")
