"""The tasks: what each answers, learns by, is decided by and shows. A task's names stand here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: as in ``data.task`` and in a bundle's spec.
        output: the answer of a served version that counts.
        activation: of the head, as Keras names it.
        link: from an answer to the scale on which answers are added: members of an ensemble, linear models.
        default_loss: what ``training.loss=auto`` means, unless the head is of quantiles.
        plain_loss: without robustness or weights.
        metric: decides between models: tuning, gate, comparison, ablation, compression and status go by it. With
            several targets it is the one over all targets in deviations.
        higher_is_better: direction of ``metric``.
        monitor: what ``training.monitor=auto`` watches from epoch to epoch. Values and many classes watch the loss,
            which is taught: it is right for quantiles too, and moves with every answer where accuracy stands still.
        shown: metrics of the table that a run leaves on the terminal.
    """

    name: str
    output: str
    activation: str
    link: str
    default_loss: str
    plain_loss: str
    metric: str
    higher_is_better: bool
    monitor: str
    shown: tuple[str, ...]

    @property
    def classifies(self) -> bool:
        """Whether the answers are classes."""
        return self.link != "identity"

    def width(self, targets: int, classes: int) -> int:
        """Numbers of one answer, at each step ahead."""
        return {"binary": 1, "multiclass": classes}.get(self.name, targets)


REGRESSION = Task(
    name="regression",
    output="prediction",
    activation="linear",
    link="identity",
    default_loss="huber",
    plain_loss="mse",
    metric="rmse",
    higher_is_better=False,
    monitor="loss",
    shown=("rmse", "mae", "r2", "concordance", "phm08", "rmse_uncapped"),
)
FORECAST = replace(
    REGRESSION, name="forecast", shown=("rmse", "mae", "mase", "smape", "mse_scaled", "mae_scaled", "r2")
)
BINARY = Task(
    name="binary",
    output="probability",
    activation="sigmoid",
    link="logit",
    default_loss="bce",
    plain_loss="bce",
    metric="auc_pr",  # not auc_roc: it does not grow with the number of easy negatives, so rare positives decide
    higher_is_better=True,
    monitor="auc_pr",
    shown=("auc_pr", "auc_roc", "f1", "accuracy", "brier", "ece", "ece_raw"),
)
MULTICLASS = Task(
    name="multiclass",
    output="probabilities",
    activation="softmax",
    link="log",
    default_loss="cce",
    plain_loss="cce",
    metric="accuracy",
    higher_is_better=True,
    monitor="loss",
    shown=("accuracy", "balanced_accuracy", "f1", "log_loss", "ece", "ece_raw"),
)
TASKS = {task.name: task for task in (REGRESSION, FORECAST, BINARY, MULTICLASS)}


def classifies(task: str) -> bool:
    """Whether the answers of a task are classes."""
    return TASKS[task].classifies


def deciding(task: str) -> str:
    """Name of the metric that decides between models of a task."""
    return TASKS[task].metric
