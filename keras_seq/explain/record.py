"""Explanations on record: metrics, the folder, and a table of single attributions in the tracking store."""

from __future__ import annotations

from typing import Any

from keras_seq.config import Experiment
from keras_seq.explain.layout import Explanations
from keras_seq.tracking import track


def record(experiment: Experiment, explanations: Explanations) -> str | None:
    """Write a run ``explain``: its id, or None where nothing is tracked.

    The table ``explanations/attributions.json`` has the columns sample, feature, time, value, method, rank; the
    folder lies beside it as artifacts.

    Raises:
        ConfigError: the store cannot be reached.
    """
    summary = explanations.summary
    with track(experiment, run_name=f"explain {experiment.name}", kind="explanation") as tracker:
        plan = {key: value for key, value in summary["plan"].items() if value not in (None, "", [])}
        tracker.log_params({f"explain.{key}": value for key, value in plan.items()} | {"explained": summary["output"]})
        tracker.log_metrics(_metrics(summary))
        for name in explanations.tables:
            rows = explanations.table(name)
            tracker.log_table({key: [row[key] for row in rows] for key in rows[0]}, f"explanations/{name}.json")
        tracker.log_folder(explanations.folder, "explanations")
        return tracker.run_id


def _metrics(summary: dict[str, Any]) -> dict[str, float]:
    metrics: dict[str, float] = {"explain_seconds": summary["seconds"]}
    for method, facts in summary["by_method"].items():
        if facts["additive"]:
            metrics[f"{method}.additivity_error"] = facts["additivity_error"]["max"]
    for method, areas in summary["faithfulness"].items():
        metrics |= {f"{method}.deletion": areas["deletion"], f"{method}.insertion": areas["insertion"]}
    return metrics | {f"sanity.{name}": value for name, value in summary["sanity"].items()}
