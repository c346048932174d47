"""Records of a study on disk, and the only way to read them: one JSON file a trial, each written atomically.

::

    <output>/<name>/
      study.json         the experiment, the space and the settings it was begun with
      trials/<id>.json   a record a trial: values, status, score, epochs, costs
      oracle/            KerasTuner's own state
      work/<id>/         checkpoints of running trials; gone when they end
      best.yaml          the best configuration so far, as ``keras_seq.train`` takes it
      report/            plots and one HTML page

Reading needs neither TensorFlow nor KerasTuner, so that another terminal can watch.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from keras_seq import config, files
from keras_seq.errors import ConfigError
from keras_seq.tracking import flatten

FORMAT = 2  # 1: classes were judged at 0.5 without calibration, a value outside the space was booked inside it
Status = Literal["running", "completed", "pruned", "failed"]


@dataclass(frozen=True)
class Record:
    """Record of one trial.

    Attributes:
        trial: KerasTuner's id of it, a number in text.
        values: ``{"model.units": 96}``: dotted fields and the values tried.
        status: "running", "completed", "pruned" (stopped as hopeless; has a score) or "failed".
        reason: why it was pruned or failed.
        score: of the objective; mean over ``scores``.
        scores: of each fold or origin.
        metrics: of the validation part, raw units; mean over folds.
        epochs: rows of the history: ``{"fold", "epoch", "loss", "val_...", "seconds"}``.
        budget: share of the full budget (epochs, units or folds) that it had.
        default: the values are those of the configuration itself.
        attempts: how many times it was started.
        worker: who runs it.
        started, ended: seconds since 1970.
        costs: seconds by part ("prepare", "build", "fit", "judge", "overhead", "total"), "parameters",
            "model_bytes", "resident_mb" after the trial, "latency_ms" where measured.
    """

    trial: str
    values: dict[str, Any]
    status: Status = "running"
    reason: str = ""
    score: float | None = None
    scores: tuple[float, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    epochs: tuple[dict[str, float], ...] = ()
    budget: float = 1.0
    default: bool = False
    attempts: int = 1
    worker: str = ""
    started: float = field(default_factory=time.time)
    ended: float | None = None
    costs: dict[str, float] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Place in the order of starting, from 0."""
        return int(self.trial)

    def replace(self, **changes: Any) -> Record:
        """A changed copy."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class Study:
    """Study on disk.

    Attributes:
        folder: of the study.
        about: what ``study.json`` holds: id, name, experiment, space, settings, objective, direction, data.
    """

    folder: Path
    about: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the study."""
        return str(self.about["name"])

    @property
    def objective(self) -> str:
        """Name of the metric."""
        return str(self.about["objective"])

    @property
    def higher(self) -> bool:
        """Whether a larger score is better."""
        return bool(self.about["direction"] == "max")

    @property
    def experiment(self) -> config.Experiment:
        """The configuration that the study varies."""
        return config.from_dict(self.about["experiment"])

    @property
    def wanted(self) -> int:
        """How many trials the study is to have; 0 where it is not known.

        Those asked for, and the configuration itself where it lies outside the space; no more than the space holds.
        """
        if self.about.get("exhausted"):
            return len(self.names())
        trials = int(self.about.get("trials") or 0)
        return trials + bool(trials and self.about.get("outside"))

    def note_exhausted(self) -> None:
        """Keep on record that every value of the space was tried."""
        self.about["exhausted"] = True
        files.write_json(self.folder / "study.json", self.about)

    def records(self) -> list[Record]:
        """All trials in the order of their numbers."""
        records = [record for name in self.names() if (record := self.record(name))]
        return sorted(records, key=lambda record: record.number)

    def names(self) -> list[str]:
        """Ids of the trials that have begun, in no order."""
        return [path.stem for path in (self.folder / "trials").glob("*.json") if path.stem.isdigit()]

    def record(self, trial: str) -> Record | None:
        """One trial, or None where it has not begun.

        Raises:
            ConfigError: its file is damaged.
        """
        path = self.folder / "trials" / f"{trial}.json"
        if not path.exists():
            return None
        try:
            tree = files.read_json(path)
            return Record(**tree | {"scores": tuple(tree["scores"]), "epochs": tuple(tree["epochs"])})
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"The record '{path}' of a trial is damaged ({error}). Restore it from a copy, or remove it: the study "
                "goes on without that trial."
            ) from None

    def save(self, record: Record) -> None:
        """Write a trial's record; readers see the old or the new one, never a half."""
        files.write_json(self.folder / "trials" / f"{record.trial}.json", dataclasses.asdict(record))

    def best(self) -> Record | None:
        """The completed trial of full budget with the best score; without such, of the largest budget."""
        done = [record for record in self.records() if record.status == "completed" and record.score is not None]
        if not done:
            return None
        most = max(record.budget for record in done)
        sign = -1.0 if self.higher else 1.0
        return min((r for r in done if r.budget == most), key=lambda r: (sign * (r.score or 0.0), r.number))

    def tuned(self, record: Record) -> config.Experiment:
        """The configuration of a trial, of full budget."""
        return config.replace(self.experiment, **record.values)


def open_study(folder: str | Path) -> Study:
    """Open a study's folder.

    Raises:
        ConfigError: it holds no study, or one of a newer format.
    """
    folder = Path(folder)
    try:
        about = files.read_json(folder / "study.json")
    except (OSError, ValueError):
        raise ConfigError(
            f"'{folder}' holds no study (no readable study.json). Give the folder that 'python -m tuning' named, "
            "such as studies/cmapss_fd001."
        ) from None
    if about.get("format", 0) > FORMAT:
        raise ConfigError(f"Study '{folder}' has format {about['format']}, this version reads up to {FORMAT}.")
    return Study(folder, about)


def begin_study(folder: Path, about: Mapping[str, Any]) -> Study:
    """Write ``study.json``, or go on with the study that is there.

    Args:
        folder: of the study.
        about: experiment, space, objective, direction and settings of this command.

    Raises:
        ConfigError: the folder holds a study of another configuration, of other data or of an earlier version; names
            what differs.
    """
    if (folder / "study.json").exists():
        study = open_study(folder)
        _check_begun(study, about)
        asked, begun = _compared(about), _compared(study.about)
        differing = [key for key in asked | begun if asked.get(key) != begun.get(key)]
        if differing:
            raise ConfigError(
                f"Study '{folder}' was begun with another configuration; these differ: {', '.join(differing[:8])}. "
                "Give the same ones, another --name, or --overwrite to throw that study away."
            )
        identity = {key: study.about[key] for key in _IDENTITY if key in study.about}
    else:
        files.ensure_writable(folder)
        (folder / "trials").mkdir(exist_ok=True)
        identity = {"format": FORMAT, "id": f"{folder.name}-{int(time.time())}-{os.getpid()}", "created": time.time()}
    files.write_json(folder / "study.json", identity | dict(about))
    return Study(folder, identity | dict(about))


_OF_THE_DATA = {
    "content": "its rows",
    "schema": "the ways its columns are read (schema)",
    "parts": "its parts (train, validation, test)",
}


def _check_begun(study: Study, about: Mapping[str, Any]) -> None:
    """Refuse to add trials to those that were judged otherwise, or on other data."""
    mend = "Begin anew: give another --name, or --overwrite to throw the trials of that study away."
    if study.about.get("format", 0) < FORMAT:
        raise ConfigError(
            f"Study '{study.folder}' was begun by an earlier version, which judged trials otherwise, so new ones could "
            f"not be compared with them. {mend} Its status, report and best configuration can still be read."
        )
    begun, now = (tree.get("data", {}) for tree in (study.about, about))
    if begun != now:
        changed = next((words for name, words in _OF_THE_DATA.items() if begun.get(name) != now.get(name)), "rows")
        raise ConfigError(
            f"Study '{study.folder}' was begun on other data: {changed} have changed since, so old and new scores "
            f"cannot be compared. {mend} Or bring the data of that time back, and it goes on."
        )


_IDENTITY = ("format", "id", "created")
# what may change from one command to the next, because no score hangs on it
_FREE: tuple[str, ...] = (
    *_IDENTITY,
    "trials",
    "exhausted",
    "notes",
    "experiment.output",
    "experiment.tracking.",
    "experiment.export.",
)
_FREE += ("experiment.data.home", "tuning.max_minutes", "tuning.max_memory_gb", "tuning.latency")


def _compared(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What two commands on one study must share, by dotted name."""
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in flatten(tree).items()}
    return {key: value for key, value in plain.items() if not key.startswith(_FREE)}
