"""Tables of a run on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_seq.figures import figure
from keras_seq.tasks import TASKS

OF_TARGETS = ("rmse", "mae", "r2", "mase", "coverage", "interval_width")  # shown of each of several targets
IN_UNITS = ("rmse", "mae", "interval_width", "rmse_uncapped")  # of several targets in their deviations
MOST_TARGETS = 8  # with more, metrics.json tells of each


def print_metrics(task: str, columns: Mapping[str, Mapping[str, float]], *, title: str) -> None:
    """One row per metric, one column per part or model."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    for name in columns:
        table.add_column(name, justify="right")
    for metric, label in _rows(task, columns):
        values = [column.get(metric) for column in columns.values()]
        if any(value is not None for value in values):
            table.add_row(label, *(figure(value) for value in values))
    _console().print(table)


def _rows(task: str, columns: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, str]]:
    """Names of the metrics shown, and how each is called; of several targets the overall ones first."""
    known = dict.fromkeys(name for column in columns.values() for name in column)
    overall = [*TASKS[task].shown, "coverage", "interval_width"]
    own = [name for name in known if "/" in name and name.split("/")[0] in OF_TARGETS]
    targets = len({name.partition("/")[2] for name in own})
    for metric in overall:
        yield metric, f"{metric}, in deviations" if targets and metric in IN_UNITS else metric
    for metric in ("coverage_followed", "interval_width_followed"):
        yield metric, f"{metric.removesuffix('_followed')}, if every truth is fed back"
    if targets <= MOST_TARGETS:
        for metric in OF_TARGETS:
            yield from ((name, name) for name in own if name.split("/")[0] == metric)


def print_targets(rows: Sequence[Mapping[str, Any]]) -> None:
    """Measured values beside the configured targets."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Targets", title_justify="left")
    for name in ("measured", "value", "target", "met"):
        table.add_column(name, justify="left" if name == "measured" else "right")
    for row in rows:
        sign = ">" if row["larger"] else "<"
        met = Text("yes", style="green") if row["met"] else Text("no", style="yellow")
        value = f"{figure(row['value'])} {row['unit']}"
        table.add_row(row["name"], value, f"{sign} {row['target']:g} {row['unit']}", met)
    _console().print(table)


def print_paths(paths: Mapping[str, Any]) -> None:
    """Where everything was written."""
    console = _console()
    for name, path in paths.items():
        console.print(f"  {name:<12} {path}", soft_wrap=True, highlight=False)


def say(text: str) -> None:
    """A line of progress."""
    _console().print(text, highlight=False, soft_wrap=True)


def _console() -> Any:
    from rich.console import Console

    return Console(markup=False)  # names of columns and folders hold brackets
