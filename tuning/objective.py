"""Objective of a study: its metric and direction."""

from __future__ import annotations

from keras_seq.errors import ConfigError, nearest
from keras_seq.tasks import deciding
from tuning.settings import TuningConfig

BESIDE = {
    "regression": ("phm08", "rmse_uncapped", "phm08_uncapped", "pinball"),
    "forecast": ("mse_scaled", "mae_scaled", "pinball"),
    "binary": (),
    "multiclass": (),
}


def choose_objective(tuning: TuningConfig, task: str) -> tuple[str, str]:
    """Name and direction ("min" or "max") of the objective.

    Raises:
        ConfigError: the task does not have the metric; names the nearest it has.
    """
    from keras_seq.training import metrics
    from keras_seq.training.monitors import KNOWN

    name = deciding(task) if tuning.objective == "auto" else tuning.objective.removeprefix("val_")
    known = [metric for metric in (*KNOWN[task], *BESIDE[task]) if metric != "loss"]
    if name not in known:
        raise ConfigError(
            f"Option 'tuning.objective' is '{tuning.objective}', which a {task} task lacks{nearest(name, known)}"
        )
    if tuning.direction != "auto":
        return name, tuning.direction
    return name, "max" if name in metrics.HIGHER_IS_BETTER else "min"
