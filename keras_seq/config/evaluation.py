"""The ``evaluation``, ``tracking`` and ``export`` sections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from keras_seq.config.base import ConfigSection, NonNegative, Positive
from keras_seq.config.secret import keep_password


class TargetsConfig(ConfigSection):
    """What the run should reach; the summary says which of those set are met."""

    auc_roc: float | None = Field(None, description="at least: area under the ROC curve of the test part")
    auc_pr: float | None = Field(None, description="at least: area under its precision-recall curve")
    inference_ms: Positive | None = Field(None, description="at most: one window through the served signature")
    memory_gb: Positive | None = Field(None, description="at most: memory of the training process")
    size_mb: Positive | None = Field(None, description="at most: size of the served version, 10^6 bytes")
    training_minutes: Positive | None = Field(None, description="at most")


class CostConfig(ConfigSection):
    """What a wrong call costs, in any unit; right calls cost nothing."""

    false_negative: NonNegative = Field(1.0, description="cost of a positive that is not called")
    false_positive: NonNegative = Field(1.0, description="cost of a negative that is called")


class EvaluationConfig(ConfigSection):
    """How predictions become decisions and how they are judged."""

    at: Literal["all", "last"] = Field("all", description="test windows/steps judged: all or each unit's last")
    min_steps: int = Field(0, ge=0, description="steps of a unit that must have been seen before it is judged")
    threshold: Literal["f1", "half", "fbeta", "cost", "recall"] = Field(
        "f1", description="binary threshold, chosen on validation: best F1 or F-beta, least cost, a recall; or 0.5"
    )
    beta: Positive = Field(1.0, description="of threshold=fbeta: above 1 weighs recall more")
    cost: CostConfig = Field(default_factory=CostConfig, description="of threshold=cost")
    recall: float = Field(0.9, gt=0.0, le=1.0, description="of threshold=recall: the least recall wanted")
    calibration: Literal["none", "platt", "isotonic", "temperature", "auto"] = Field(
        "auto", description="of probabilities, fitted on validation; auto: least cross-validated log loss"
    )
    conformal: Literal["none", "split", "normalised", "adaptive"] = Field(
        "normalised", description="prediction intervals of values: equal, by predicted level, or adapting to drift"
    )
    coverage: float = Field(0.9, gt=0.0, lt=1.0, description="share of truths the intervals should hold")
    baseline: bool = Field(True, description="train the cheap baseline on the same split")
    targets: TargetsConfig = Field(default_factory=TargetsConfig)

    @model_validator(mode="after")
    def _threshold_numbers(self) -> EvaluationConfig:
        for rule, name in (("fbeta", "beta"), ("cost", "cost"), ("recall", "recall")):
            value, default = getattr(self, name), type(self).model_fields[name].get_default(call_default_factory=True)
            if value != default and self.threshold != rule:
                raise ValueError(f"{name} is read by threshold={rule} only, but threshold is '{self.threshold}'")
        if self.threshold == "cost" and self.cost.false_negative == self.cost.false_positive == 0:
            raise ValueError("threshold=cost needs cost.false_negative or cost.false_positive above 0, both are 0")
        return self


class TrackingConfig(ConfigSection):
    """Where runs are recorded."""

    backend: Literal["mlflow", "none"] = Field("mlflow", description="none: nothing is recorded")
    uri: str = Field(
        "sqlite:///mlflow.db",
        description="MLflow tracking store; a password in it is written nowhere (KERAS_SEQ_TRACKING_PASSWORD)",
    )
    timeout: Positive = Field(10.0, description="seconds in which a server must answer before anything starts")
    experiment: str | None = Field(None, description="MLflow experiment; default: the experiment's name")
    log_model: bool = Field(True, description="the model goes into the store too")
    tensorboard: bool = Field(False, description="also write files for TensorBoard")

    @field_validator("uri")
    @classmethod
    def _without_password(cls, uri: str) -> str:
        return keep_password(uri)


class ExportConfig(ConfigSection):
    """What a server gets."""

    saved_models: str = Field("saved_models", description="folder of model base paths")
    saved_model: bool = Field(
        True, description="push to saved_models/<name>/<version> after training, if the gate blesses it"
    )
    version: int | None = Field(None, ge=1, description="version number; default: the next one")
