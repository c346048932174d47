"""The run: what it works on, where it lies and what it reached."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import config
from keras_seq.figures import Say, silent

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.tracking import Tracker


@dataclass(frozen=True)
class RunContext:
    """What every step of a run after the data needs.

    Attributes:
        experiment: resolved configuration.
        prepared: series, splits, windows and fitted numbers.
        folder: run folder; the bundle lands in ``folder/bundle``.
        tracker: where the run is recorded.
        say: gets progress and notes, a line each.
    """

    experiment: config.Experiment
    prepared: Prepared
    folder: Path
    tracker: Tracker
    say: Say = silent

    @property
    def quiet(self) -> bool:
        """Whether nothing is told."""
        return self.say is silent


@dataclass(frozen=True)
class Run:
    """What ``train`` gives back: where things are and what was reached."""

    folder: Path
    bundle: Path
    saved_model: Path | None
    metrics: dict[str, Any]
    run_id: str | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return dataclasses.asdict(self)


def run_folder(experiment: config.Experiment) -> Path:
    """``<output>/<name>/seed-<seed>[-fold-<fold>][-origin-<origin>][-period-<period>]``."""
    split = experiment.data.split
    fold = f"-fold-{split.fold}" if split.folds else ""
    origin = f"-origin-{split.origin:02d}" if split.origins else ""
    period = f"-period-{split.period:02d}" if split.periods else ""
    return Path(experiment.output) / experiment.name / f"seed-{experiment.seed}{fold}{origin}{period}"
