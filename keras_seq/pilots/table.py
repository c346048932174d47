"""What was tried, as lines of a table and as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_seq.evaluation.paired_error import MetricScore
from keras_seq.figures import figure
from keras_seq.pilots.run import Pilot

COLUMNS = ("candidate", "{metric}", "+-", "behind", "+-", "s", "remark")


def rows(pilots: Sequence[Pilot], scores: Mapping[str, MetricScore], metric: str) -> list[dict[str, Any]]:
    """Every candidate as plain values: metric, standard error, how far behind the best and its error, seconds."""
    found = []
    for pilot in pilots:
        score = scores.get(pilot.candidate.name)
        row: dict[str, Any] = {"candidate": pilot.candidate.name, "family": pilot.candidate.family or None}
        row |= {metric: score.value, "error": score.error} if score else {metric: None, "error": None}
        row |= {"behind": score.behind if score else None, "behind_error": score.behind_error if score else None}
        found.append(row | {"seconds": round(pilot.seconds, 2), "remark": pilot.remark})
    return found


def lines(table: Sequence[Mapping[str, Any]], metric: str, chosen: str) -> list[str]:
    """The rows as text of even columns; the chosen one is marked."""
    head = [name.format(metric=metric) for name in COLUMNS]
    cells = [
        [
            ("* " if row["candidate"] == chosen else "  ") + row["candidate"],
            *(_number(row[name]) for name in (metric, "error", "behind", "behind_error")),
            figure(row["seconds"], 2),
            row["remark"],
        ]
        for row in table
    ]
    head[0] = f"  {head[0]}"
    wide = [max(len(line[k]) for line in (head, *cells)) for k in range(len(head) - 1)]
    return [_even(line, wide) for line in (head, *cells)]


def _even(line: Sequence[str], wide: Sequence[int]) -> str:
    """Cells of one line: the first flush left, numbers flush right, the last as it is."""
    numbers = (f"{text:>{width}}" for text, width in zip(line[1:-1], wide[1:], strict=True))
    return "  ".join([f"{line[0]:<{wide[0]}}", *numbers, line[-1]]).rstrip()


def _number(value: float | None) -> str:
    return "" if value is None else "?" if not np.isfinite(value) else figure(value)
