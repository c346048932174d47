"""Progress of long work: silent, or a bar with the time left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


class Ticker:
    """Silent progress: takes how far work is."""

    @contextlib.contextmanager
    def stage(self, text: str, total: float) -> Iterator[Any]:
        """Yield a function that is called with the amount of work just done, ``total`` in all."""
        yield lambda amount=1.0: None


class Bar(Ticker):
    """A bar on the terminal with the time left; a line per stage where there is no terminal."""

    @contextlib.contextmanager
    def stage(self, text: str, total: float) -> Iterator[Any]:
        """Show the stage while it runs; see ``Ticker``."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("  {task.description:<28}"), BarColumn(24), TimeElapsedColumn(), TextColumn("left"))
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=console.is_terminal) as bar:
            task = bar.add_task(text, total=max(total, 1e-9))
            yield lambda amount=1.0: bar.advance(task, amount)
            bar.update(task, completed=max(total, 1e-9))


SILENT = Ticker()
