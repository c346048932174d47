"""Callbacks at the end of an epoch: best weights, history file, TensorBoard, Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seq.errors import OutputError
from keras_seq.figures import Say
from keras_seq.files import write_text
from keras_seq.training.monitors import MetricMonitor
from keras_seq.training.resume import discard


class Best:
    """The best epoch so far, its weights, and how long nothing better has come.

    Args:
        model: whose weights are kept.
        monitor: what "better" means.
        patience: epochs without improvement before ``exhausted``.
        path: ``*.weights.h5`` file that ``write`` fills.
    """

    def __init__(self, model: keras.Model, monitor: MetricMonitor, *, patience: int, path: Path) -> None:
        self.model, self.monitor, self.patience, self.path = model, monitor, patience, path
        self.value: float | None = None
        self.epoch = 0
        self.waited = 0
        self.weights: list[np.ndarray] = []
        self._on_disk = 0

    def update(self, epoch: int, value: float) -> bool:
        """Judge an epoch (counted from 1); True if it is the best so far."""
        if not self.monitor.better(value, self.value):
            self.waited += 1
            return False
        self.value, self.epoch, self.waited = float(value), epoch, 0
        self.weights = self.model.get_weights()
        return True

    @property
    def exhausted(self) -> bool:
        """Patience is at its end."""
        return self.waited >= self.patience

    def restore_weights(self) -> None:
        """Put the best weights into the model (nothing to do before the first good epoch)."""
        if self.weights:
            self.model.set_weights(self.weights)

    def write(self) -> None:
        """Save the best weights to ``path``, complete or not at all.

        Raises:
            OutputError: the disk is full or not writable.
        """
        if not self.weights or self._on_disk == self.epoch:
            return
        partial = self.path.with_name(f".partial-{os.getpid()}-{self.path.name}")
        present = self.model.get_weights()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.restore_weights()
            self.model.save_weights(partial)
            os.replace(partial, self.path)
        except OSError as error:
            discard(partial)
            raise OutputError(f"The best weights cannot be written to '{self.path}' ({error}).") from None
        finally:
            self.model.set_weights(present)
        self._on_disk = self.epoch

    def state(self) -> dict[str, Any]:
        """JSON-able state for ``restore``, weights apart."""
        return {"value": self.value, "epoch": self.epoch, "waited": self.waited}

    def restore(self, state: Mapping[str, Any], weights: list[np.ndarray]) -> None:
        """Take over ``state`` and the best weights."""
        self.value, self.epoch, self.waited = state["value"], int(state["epoch"]), int(state["waited"])
        self.weights = weights


class HistoryFile:
    """``history.csv``: one line an epoch, readable while the run goes on.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, history: Mapping[str, list[float]]) -> None:
        """Replace what an earlier run left by ``history`` (lines after its last state would repeat)."""
        epochs = len(next(iter(history.values()), []))
        if not epochs:
            self.path.unlink(missing_ok=True)
            return
        rows = [{name: column[i] for name, column in history.items()} for i in range(epochs)]
        write_text(self.path, self._header(history) + "".join(self._line(i + 1, row) for i, row in enumerate(rows)))

    def append(self, epoch: int, row: Mapping[str, float]) -> None:
        """Add an epoch, counted from 1.

        Raises:
            OutputError: the disk is full or not writable.
        """
        text = self._line(epoch, row)
        if not self.path.exists():
            text = self._header(row) + text
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise OutputError(f"The history cannot be written to '{self.path}' ({error.strerror or error}).") from None

    @staticmethod
    def _header(row: Iterable[str]) -> str:
        return ",".join(["epoch", *row]) + "\n"

    @staticmethod
    def _line(epoch: int, row: Mapping[str, float]) -> str:
        return ",".join([str(epoch), *(f"{value:.8g}" for value in row.values())]) + "\n"


class TensorBoard:
    """Scalars of every epoch for ``tensorboard --logdir``.

    Args:
        folder: of the event files; None: write nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._writer = tf.summary.create_file_writer(str(folder)) if folder is not None else None

    def write(self, epoch: int, row: Mapping[str, float]) -> None:
        """Add an epoch, counted from 1."""
        if self._writer is None:
            return
        with self._writer.as_default(step=epoch):
            for name, value in row.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def close(self) -> None:
        """End the event file."""
        if self._writer is not None:
            self._writer.close()


class Interrupt:
    """Turns the first Ctrl-C into ``asked``; a second one raises KeyboardInterrupt at once.

    Signals reach only the main thread; elsewhere nothing changes.

    Args:
        tell: takes a line for the user.
    """

    def __init__(self, tell: Say = print) -> None:
        self.asked, self._tell, self._before = False, tell, None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._take)  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._tell("Stopping after this epoch; press Ctrl-C again to stop at once.")
