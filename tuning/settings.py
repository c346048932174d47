"""The ``tuning`` section: what is searched, how, for which metric and on which parts of the data.

It stands beside the sections of an experiment in the same YAML file; ``keras_seq.train`` passes over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from keras_seq import config
from keras_seq.config.base import ConfigSection, Count, NonNegative
from keras_seq.errors import ConfigError

TUNERS = ("random", "bayesian", "hyperband", "grid")


class TuningConfig(ConfigSection):
    """Settings of a study."""

    tuner: Literal["random", "bayesian", "hyperband", "grid"] = Field("bayesian", description="KerasTuner's oracle")
    trials: Count = Field(60, description="trials in all; a larger number goes on with a finished study")
    objective: str = Field(
        "auto", description="metric of the validation part; auto: rmse, auc_pr (binary) or accuracy (classes)"
    )
    direction: Literal["auto", "min", "max"] = Field("auto", description="auto: known for every metric")
    folds: int = Field(0, ge=0, description="grouped folds behind each score (0: the configuration's own validation)")
    origins: int = Field(0, ge=0, description="split by time: rolling origins within the validation rows (0: one cut)")
    pruning: Literal["none", "median"] = Field("median", description="stop trials worse than the median at that epoch")
    prune_after: Count = Field(8, description="ended trials before anything is pruned")
    prune_from: float = Field(0.25, ge=0.0, lt=1.0, description="share of its epochs that a trial gets in any case")
    fidelity: Literal["epochs", "units", "folds"] = Field(
        "epochs", description="hyperband: what early rounds get less of; families without epochs take units"
    )
    levels: int = Field(27, ge=3, le=243, description="hyperband: full budget in steps of the smallest one")
    factor: int = Field(3, ge=2, le=9, description="hyperband: of how many trials one goes on")
    initial: Count | None = Field(None, description="bayesian: random trials first (none: a quarter, at most 15)")
    exploration: NonNegative = Field(2.6, description="bayesian: deviations below the mean that are hoped for")
    noise: float = Field(1e-2, gt=0.0, description="bayesian: variance of a score that repeating would show, of 1")
    seed: int = Field(0, ge=0, description="of the search")
    max_minutes: NonNegative = Field(0.0, description="a trial that would take longer is stopped (0: none is)")
    max_memory_gb: NonNegative = Field(0.0, description="a worker that holds more is stopped with its trial (0: none)")
    latency: bool = Field(False, description="measure each trial's latency at batch 1, for the view of two objectives")
    space: dict[str, Any] | None = Field(None, description="field -> values; none: the family's default space")

    @model_validator(mode="after")
    def _one_protocol(self) -> TuningConfig:
        if self.folds == 1:
            raise ValueError("folds must be 0 (single split) or at least 2, got 1")
        if self.folds and self.origins:
            raise ValueError(f"folds={self.folds} and origins={self.origins} exclude each other")
        return self


@dataclass(frozen=True)
class StudyPlan:
    """What a command asks for: an experiment and the settings of its study."""

    experiment: config.Experiment
    tuning: TuningConfig


def load_plan(path: str | Path | None, overrides: Mapping[str, Any], start: Mapping[str, Any]) -> StudyPlan:
    """Read the experiment and its ``tuning`` section.

    Args:
        path: YAML file; None: ``start``.
        overrides: dotted; ``tuning.trials`` and the like go to the section.
        start: tree used without a file.

    Raises:
        ConfigError: unknown key or value; names the nearest known key.
    """
    mine = {key.removeprefix("tuning."): value for key, value in overrides.items() if key.startswith("tuning.")}
    rest = {key: value for key, value in overrides.items() if not key.startswith("tuning.")}
    if path is None:
        return StudyPlan(
            config.from_dict(config.override(start, rest)), settings(config.override({}, mine, TuningConfig))
        )
    tree = config.read(path)
    section = tree.pop("tuning", None) or {}
    experiment = config.from_dict(config.override(tree, rest))
    if not isinstance(section, dict):
        raise ConfigError(f"Section 'tuning' of '{path}' must be a mapping, got {type(section).__name__}.")
    return StudyPlan(experiment, settings(config.override(section, mine, TuningConfig)))


def settings(tree: Mapping[str, Any]) -> TuningConfig:
    """Validate a ``tuning`` section.

    Raises:
        ConfigError: names the key, the value and the nearest known key.
    """
    return config.validate(TuningConfig, tree, prefix="tuning.")
