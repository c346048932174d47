"""Report of a comparison: Markdown, CSV rows and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.drawing import BLUE, GREEN, GREY, panels, save
from keras_seq.evaluation.candidates import Failure
from keras_seq.evaluation.comparison import Comparison
from keras_seq.evaluation.costs import Costs
from keras_seq.evaluation.verdict import ComparisonVerdict, interval_name, span
from keras_seq.figures import csv_text, figure, markdown_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COSTS = {
    "training_minutes": "training [min]",
    "latency_ms_batch1": "batch 1 [ms]",
    "latency_ms_batch64": "batch 64 [ms]",
    "size_mb": "size [MB]",
    "memory_mb": "memory [MB]",
}
BESIDE = ("mase",)  # shown without interval where every candidate has it


def table_rows(
    comparison: Comparison, costs: Mapping[str, Costs], replicates: Mapping[str, int], extra: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One row per candidate, best first: every metric with interval and deviation, every cost.

    Args:
        comparison: the statistics.
        costs: by candidate; may be empty.
        replicates: seeds (or runs) averaged, by candidate.
        extra: further metrics without intervals, by candidate.
    """
    rows = []
    for name in comparison.ranked():
        row: dict[str, Any] = {"contender": name, "replicates": replicates[name]}
        for metric, estimate in comparison.estimates[name].items():
            row |= {
                metric: estimate.value,
                f"{metric}_low": estimate.low,
                f"{metric}_high": estimate.high,
                f"{metric}_deviation": estimate.deviation,
            }
        row |= {metric: value for metric, value in extra.get(name, {}).items() if metric not in row}
        if name in costs:
            row |= costs[name].to_dict()
        rows.append(row)
    return rows


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV text; what is not known stays empty."""
    return csv_text([{key: "" if value != value else value for key, value in row.items()} for row in rows])


def to_markdown(
    comparison: Comparison,
    verdict: ComparisonVerdict,
    rows: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    failures: Sequence[Failure],
) -> str:
    """The whole report as Markdown."""
    lines = [f"# Comparison on {facts['data']}", "", verdict.words, ""]
    lines += _metric_table(comparison, rows)
    lines += ["", _interval_text(comparison), ""]
    if any(column in row for row in rows for column in COSTS):
        lines += [*_cost_table(rows), ""]
        lines += [
            "Latencies are medians of the served function, measured in turns in one process; memory is what loading "
            "and answering 64 samples adds to a fresh process with TensorFlow.",
            "",
        ]
    lines += [*_pair_table(comparison), ""]
    lines += [f"- {note}" for note in comparison.notes]
    lines += [f"- Left out: {failure.folder} of {failure.name}: {failure.reason}" for failure in failures]
    lines += ["", "| judged | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items())]
    return "\n".join(lines) + "\n"


def draw(comparison: Comparison, path: Path) -> Path:
    """Intervals of the first two metrics and, for more than two candidates, all p-values."""
    names = comparison.ranked()
    shown = comparison.measures[:2]
    many = len(names) > 2
    figure, axes = panels(len(shown) + many, columns=3, width=max(4.6, 0.06 * max(map(len, names)) + 4.2))
    figure.set_figheight(max(2.8, 1.6 + 0.42 * len(names)))
    for axis, measure in zip(axes, shown, strict=False):
        _intervals(axis, comparison, names, measure.name, better="higher" if measure.higher_is_better else "lower")
    if many:
        _heat_map(axes[-1], comparison, names)
    return save(figure, path, f"Comparison: 95 % intervals over {comparison.resampled}")


def _intervals(axis: Axes, comparison: Comparison, names: Sequence[str], metric: str, *, better: str) -> None:
    for position, name in enumerate(names):
        estimate = comparison.estimates[name][metric]
        colour = GREEN if position == 0 else BLUE
        axis.plot([estimate.low, estimate.high], [position, position], color=colour, linewidth=2)
        axis.plot(estimate.value, position, "o", color=colour)
        if estimate.deviation:
            spread = [estimate.value - estimate.deviation, estimate.value + estimate.deviation]
            axis.plot(spread, [position, position], "|", color=GREY, markersize=9)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set(xlabel=f"{metric} ({better} is better)")
    if any(comparison.estimates[name][metric].deviation for name in names):
        axis.set_title("grey ticks: deviation over runs", fontsize=8)


def _heat_map(axis: Axes, comparison: Comparison, names: Sequence[str]) -> None:
    table = np.full((len(names), len(names)), np.nan)
    for row, column in np.ndindex(table.shape):
        if row != column:
            table[row, column] = comparison.pair(names[row], names[column]).adjusted
    axis.grid(False)
    axis.imshow(np.log10(np.clip(table, 1e-3, 1)), cmap="Blues_r", vmin=-3, vmax=0)  # dark where a difference is sure
    for row, column in np.ndindex(table.shape):
        if row != column:
            value = table[row, column]
            text = "?" if not np.isfinite(value) else "<.001" if value < 0.001 else f"{value:.3f}".lstrip("0")
            axis.text(
                column, row, text, ha="center", va="center", fontsize=8, color="white" if value < 0.04 else "black"
            )
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_title(f"adjusted p-values ({comparison.measures[0].name})", fontsize=9)


def _metric_table(comparison: Comparison, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    metrics = [measure.name for measure in comparison.measures]
    best = {
        measure.name: (max if measure.higher_is_better else min)(row[measure.name] for row in rows)
        for measure in comparison.measures
    }
    scaled = [metric for metric in BESIDE if all(metric in row for row in rows)]
    head = ["model", *(f"{metric} [95 %]" for metric in metrics), *scaled, "runs"]
    cells = []
    for row in rows:
        estimates = []
        for metric in metrics:
            value = figure(row[metric])
            value = f"**{value}**" if row[metric] == best[metric] else value
            deviation = f" ± {row[f'{metric}_deviation']:.2g}" if row[f"{metric}_deviation"] else ""
            estimates.append(f"{value}{deviation} [{span(row[f'{metric}_low'], row[f'{metric}_high'], ', ')}]")
        cells.append([row["contender"], *estimates, *(figure(row[metric]) for metric in scaled), row["replicates"]])
    return markdown_table(head, cells)


def _interval_text(comparison: Comparison) -> str:
    drawn = "seeds and " if any(e.deviation for of in comparison.estimates.values() for e in of.values()) else ""
    if comparison.serial:
        return f"Intervals: Student's t over {drawn}{comparison.resampled}, neighbours being alike; ± is over runs."
    return f"Intervals: BCa bootstrap of {drawn}{comparison.resampled}; ± is over runs."


def _cost_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    shown = [column for column in COSTS if any(np.isfinite(row.get(column, np.nan)) for row in rows)]
    cells = [[row["contender"], *(_number(row.get(column, np.nan)) for column in shown)] for row in rows]
    return markdown_table(["model", *(COSTS[column] for column in shown)], cells)


def _pair_table(comparison: Comparison) -> list[str]:
    metric, name = comparison.measures[0].name, interval_name(comparison, comparison.level)
    rows = []
    for pair in comparison.pairs:
        interval = f"{figure(pair.difference, 3)} [{span(pair.low, pair.high, ', ', 3)}]"
        p_values = [f"{pair.p_value:.2g}", f"{pair.adjusted:.2g}"] if pair.told else ["cannot tell", "cannot tell"]
        rows.append([f"{pair.first} - {pair.second}", interval, *p_values, pair.test])
    return markdown_table(["pair", f"difference in {metric} [{name}]", "p", "p after Holm", "test"], rows)


def _number(value: float) -> str:
    return "" if not np.isfinite(value) else figure(value, 3)
