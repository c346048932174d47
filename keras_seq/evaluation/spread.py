"""Mean and deviation over seeds and folds."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from keras_seq.figures import figure, markdown_table


def spread(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Summarise runs ``{"seed", "fold", "metrics": {part: {metric: value}}}``.

    The mean is over all runs; the deviation is that of the seeds' means over folds (0 for one seed), so
    that the spread between folds, which is the data's, does not pass for the training's.
    """
    by_seed: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        metrics = run["metrics"]
        parts = {name: metrics.get(name, {}) for name in ("validation", "test", "ceiling", "performance")}
        for beside in ("baseline", "naive"):
            parts |= {f"{beside} {name}": metrics.get(beside, {}).get(name, {}) for name in ("validation", "test")}
        for part, values in parts.items():
            for metric, value in values.items():
                by_seed[f"{part} {metric}"][run["seed"]].append(float(value))
    return {name: _over_seeds(list(seeds.values())) for name, seeds in by_seed.items()}


def _over_seeds(values: list[list[float]]) -> dict[str, float]:
    means = [statistics.fmean(folds) for folds in values]
    deviation = statistics.stdev(means) if len(means) > 1 else 0.0
    return {"mean": statistics.fmean(means), "deviation": deviation, "n": sum(map(len, values))}


def to_markdown(outcome: Mapping[str, Any]) -> str:
    """Markdown table: metric, mean, deviation over seeds, number of runs."""
    one_seed = len(outcome["seeds"]) < 2  # which tells nothing of their spread
    rows = [
        [name, figure(row["mean"]), "-" if one_seed else figure(row["deviation"]), row["n"]]
        for name, row in outcome["summary"].items()
    ]
    title = f"## {outcome['name']}: {len(outcome['seeds'])} seeds, {outcome['folds'] or 'no'} folds"
    return "\n".join([title, "", *markdown_table(["metric", "mean", "deviation over seeds", "runs"], rows)]) + "\n"
