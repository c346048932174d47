"""What the user sees while a model trains: a live bar on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from keras_seq.figures import figure


class TrainingProgress:
    """Shows epochs, loss, the watched metric and the time left.

    The time left is that of all epochs asked for; early stopping may end sooner.

    Args:
        epochs: of the whole run.
        steps: an epoch.
        done: epochs that an earlier run has done.
        quiet: show nothing.
        console: where to write; default: standard error.
    """

    def __init__(
        self, epochs: int, steps: int, *, done: int = 0, quiet: bool = False, console: Console | None = None
    ) -> None:
        self.console = console or Console(stderr=True, highlight=False, quiet=quiet)
        self.epochs, self.steps, self.done = epochs, steps, done
        self._began = time.monotonic()
        self._epoch = done
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> TrainingProgress:
        self._began = time.monotonic()
        if self.console.is_terminal and not self.console.quiet:
            columns = ("[bold]{task.description}", "{task.fields[metrics]}", "left {task.fields[left]}")
            head, *tail = [TextColumn(column) for column in columns]
            self._bar = Progress(head, BarColumn(bar_width=24), *tail, console=self.console, transient=True)
            self._task = self._bar.add_task("", total=self.steps, metrics="", left="?")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, soft_wrap=True, markup=False)

    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 1."""
        self._epoch = epoch
        if self._bar is not None:
            self._bar.reset(self._task, total=self.steps, description=f"epoch {epoch}/{self.epochs}")

    def advance(self, step: int) -> None:
        """Steps of the epoch that are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step, left=self._left(self._epoch - 1 + step / self.steps))

    def end_epoch(self, row: Mapping[str, float], *, watched: str, best: bool) -> None:
        """Show the numbers of an epoch.

        Args:
            row: as in the history.
            watched: key of the monitored metric.
            best: the epoch is the best so far.
        """
        names = dict.fromkeys(("loss", "val_loss", watched))
        text = "  ".join(f"{name} {figure(row[name])}" for name in names if name in row) + ("  *" if best else "")
        if self._bar is not None:
            self._bar.update(self._task, metrics=text, completed=self.steps)
        else:
            left = self._left(self._epoch)
            self.tell(f"epoch {self._epoch}/{self.epochs}  {text}  {row['seconds']:.1f} s  left {left}")

    def _left(self, epochs_done: float) -> str:
        here = epochs_done - self.done
        if here <= 0:
            return "?"
        return duration((time.monotonic() - self._began) / here * (self.epochs - epochs_done))


def duration(seconds: float) -> str:
    """``"42 s"``, ``"3 min 20 s"``, ``"2 h 05 min"``."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
