"""What is decided by, task by task: one table for training, tuning, gate, comparison and status."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deciding:
    """The metric that decides between models of a task.

    Attributes:
        metric: as in ``keras_seq.training.metrics``; tuning, gate, comparison, ablation, compression and status go
            by it. With several targets it is the one over all targets in deviations.
        monitor: what ``training.monitor=auto`` watches from epoch to epoch. Values and many classes watch the loss,
            which is taught: it is right for quantiles too, and moves with every answer where accuracy stands still.
        higher_is_better: direction of ``metric``.
    """

    metric: str
    monitor: str
    higher_is_better: bool


# auc_pr rather than auc_roc: it does not grow with the number of easy negatives, so rare positives decide.
DECIDING: dict[str, Deciding] = {
    "regression": Deciding("rmse", "loss", False),
    "forecast": Deciding("rmse", "loss", False),
    "binary": Deciding("auc_pr", "auc_pr", True),
    "multiclass": Deciding("accuracy", "loss", True),
}


def deciding(task: str) -> str:
    """Name of the metric that decides between models of ``task``."""
    return DECIDING[task].metric
