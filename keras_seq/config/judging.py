"""The ``evaluation``, ``tracking`` and ``export`` sections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from keras_seq.config.base import Positive, Section


class TargetsConfig(Section):
    """What the run should reach; the summary says which are met."""

    auc_roc: float = 0.88
    auc_pr: float = 0.75
    inference_ms: Positive = 50.0
    memory_gb: Positive = 4.0
    size_mb: Positive = 50.0
    training_minutes: Positive = 30.0


class EvaluationConfig(Section):
    """How predictions are judged."""

    at: Literal["all", "last"] = Field("all", description="test windows/steps judged: all or each unit's last")
    min_steps: int = Field(0, ge=0, description="steps of a unit that must have been seen before it is judged")
    threshold: Literal["f1", "half"] = Field("f1", description="binary threshold: best F1 on validation, or 0.5")
    baseline: bool = Field(True, description="train the cheap baseline on the same split")
    targets: TargetsConfig = Field(default_factory=TargetsConfig)


class TrackingConfig(Section):
    """Where runs are recorded."""

    backend: Literal["mlflow", "none"] = "mlflow"
    uri: str = Field("sqlite:///mlflow.db", description="MLflow tracking store")
    experiment: str | None = Field(None, description="MLflow experiment; default: the experiment's name")
    log_model: bool = True
    tensorboard: bool = False


class ExportConfig(Section):
    """What a server gets."""

    saved_models: str = Field("saved_models", description="folder of model base paths")
    saved_model: bool = Field(True, description="write saved_models/<name>/<version> after training")
    version: int | None = Field(None, ge=1, description="version number; default: the next one")
