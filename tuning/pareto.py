"""Pareto front of two objectives: score against cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_seq import files
from keras_seq.errors import ConfigError, nearest
from keras_seq.figures import figure, markdown_table
from tuning.history import default_of, full, seconds, text_of
from tuning.records import Record, Study
from tuning.scales import FACTOR

COSTS = {
    "parameters": "parameters",
    "model_bytes": "model size [bytes]",
    "latency_ms": "latency at batch 1 [ms]",
    "fit": "fitting [s]",
    "seconds": "duration of the trial [s]",
}


def cost_of(record: Record, cost: str) -> float | None:
    """A trial's cost, a key of ``COSTS``; None if it was not measured."""
    return seconds(record) if cost == "seconds" else record.costs.get(cost)


def measured(study: Study) -> list[str]:
    """The costs that completed trials have."""
    records = full(study.records())
    return [cost for cost in COSTS if any(cost_of(record, cost) is not None for record in records)]


def front(study: Study, cost: str, records: Sequence[Record] | None = None) -> list[Record]:
    """Trials that no other beats in score and cost both, cheapest first; of equals the earliest.

    Args:
        study: only its completed trials of full budget count.
        cost: a key of ``COSTS``.
        records: of the study, where they are at hand.

    Raises:
        ConfigError: unknown cost, or one that no completed trial has.
    """
    if cost not in COSTS:
        raise ConfigError(f"There is no cost '{cost}'{nearest(cost, COSTS)}")
    chosen = [r for r in full(study.records() if records is None else records) if cost_of(r, cost) is not None]
    if not chosen:
        how = " Begin the study with --tuning.latency true to have it measured." if cost == "latency_ms" else ""
        raise ConfigError(f"No completed trial of study '{study.folder}' has the cost '{cost}'.{how}")
    sign = -1.0 if study.higher else 1.0
    unbeaten: list[Record] = []
    best = float("inf")
    for record in sorted(chosen, key=lambda r: (cost_of(r, cost) or 0.0, sign * (r.score or 0.0), r.number)):
        if sign * (record.score or 0.0) < best:
            best = sign * (record.score or 0.0)
            unbeaten.append(record)
    return unbeaten


def write_pareto(study: Study, cost: str | None = None) -> str:
    """Write ``report/pareto.md``, ``.json`` and ``.png`` and return the tables.

    Args:
        study: read only.
        cost: a key of ``COSTS``; None: all that were measured.

    Raises:
        ConfigError: as ``front``.
    """
    costs = [cost] if cost else measured(study) or ["parameters"]
    fronts = {name: front(study, name) for name in costs}
    text = "\n".join([f"# Pareto fronts of {study.name}", "", *(_table(study, *item) for item in fronts.items())])
    folder = study.folder / "report"
    files.write_text(folder / "pareto.md", text)
    rows = {name: [_row(record, name) for record in records] for name, records in fronts.items()}
    files.write_json(folder / "pareto.json", {"objective": study.objective, "fronts": rows})
    draw(study, costs, folder / "pareto.png")
    return text


def draw(study: Study, costs: Sequence[str], path: Path) -> Path:
    """Score against each cost, the front joined by steps and numbered."""
    from keras_seq.drawing import BLUE, GREY, ORANGE, panels, save
    from tuning.history import sane_limit

    records = full(study.records())
    worst = sane_limit([record.score or 0.0 for record in records], higher=study.higher)
    figure, axes = panels(len(costs), columns=2, width=5.4)
    for axis, cost in zip(axes, costs, strict=True):
        of_all, of_front = (
            _points(records, cost, study, worst),
            _points(front(study, cost, records), cost, study, worst),
        )
        axis.scatter(of_all[:, 0], of_all[:, 1], s=20, color=BLUE, alpha=0.5, label=f"completed ({len(of_all)})")
        axis.step(of_front[:, 0], of_front[:, 1], where="post", color=ORANGE)
        dots: dict[str, Any] = {"s": 36, "edgecolor": "black", "linewidth": 0.5, "zorder": 3}
        axis.scatter(of_front[:, 0], of_front[:, 1], color=ORANGE, label="front", **dots)
        for place, height, number in of_front:
            axis.annotate(f"{number:.0f}", (place, height), xytext=(4, 5), textcoords="offset points", fontsize=7)
        if (default := default_of(records)) is not None:
            own = _points([default], cost, study, worst)
            axis.plot(own[:, 0], own[:, 1], "*", color=GREY, markersize=13, label="configuration itself")
        if 0 < of_all[:, 0].min() * FACTOR < of_all[:, 0].max():
            axis.set_xscale("log")
        axis.set(xlabel=COSTS[cost], ylabel=f"{study.objective} ({'higher' if study.higher else 'lower'} is better)")
        axis.legend(fontsize=8)
    return save(figure, path, "Score against cost (numbers: trials on the front)")


def _points(records: Sequence[Record], cost: str, study: Study, worst: float) -> Any:
    """Cost, score (diverged ones at the edge) and number of those that have the cost, ``(trials, 3)``."""
    import numpy as np

    keep = max if study.higher else min
    rows = [(cost_of(r, cost), keep(r.score or 0.0, worst), r.number) for r in records]
    return np.array([row for row in rows if row[0] is not None], float).reshape(-1, 3)


def _table(study: Study, cost: str, records: Sequence[Record]) -> str:
    names = list(dict.fromkeys(name for record in records for name in record.values))
    rows = []
    for record in records:
        values = [text_of(record.values[name]) if name in record.values else "-" for name in names]
        rows.append([record.number, figure(record.score, 5), _amount(cost_of(record, cost)), *values])
    table = markdown_table(["trial", study.objective, COSTS[cost], *names], rows)
    return "\n".join([f"## {study.objective} against {COSTS[cost]}", "", *table]) + "\n"


def _amount(value: float | None) -> str:
    return f"{value:,.0f}" if value is not None and value >= 1000 else figure(value)


def _row(record: Record, cost: str) -> dict[str, object]:
    return {"trial": record.number, "score": record.score, cost: cost_of(record, cost), "values": record.values}
