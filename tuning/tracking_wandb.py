"""Studies in Weights & Biases, offline: ``<study>/wandb/offline-run-*``, which ``wandb sync`` uploads when wanted."""

from __future__ import annotations

import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

from keras_seq import files
from tuning.history import best_so_far, ended
from tuning.records import Record, Study
from tuning.tracking_base import Backend

DONE = "keras_seq.done"  # marks a complete run's folder; holds when the trial ended


class WandbBackend(Backend):
    """Writes an offline run for every trial, all in one group, and one for the study at its end.

    Ids follow from study and trial. A folder without its mark was left by a killed process and is written anew.
    Nothing is sent anywhere.
    """

    name = "wandb"

    def record(self, study: Study, record: Record) -> None:
        """Write the trial's run, unless there is a complete one."""
        identity = f"{study.about['id']}-{record.trial}"
        if self._is_there(study, identity, str(record.ended)):
            return
        config = record.values | {"budget": record.budget, "default": record.default}
        run = _start(study, identity, f"trial-{record.trial}", config, "trial")
        for step, row in enumerate(record.epochs):
            run.log(dict(row), step=step)
        run.summary.update(_summary(record))
        run.finish(exit_code=1 if record.status == "failed" else 0)
        self._mark(study, identity, str(record.ended))

    def finish(self, study: Study) -> None:
        """Write the study's own run: best score by trial, settings, the report's page."""
        over = ended(study)
        identity, mark = f"{study.about['id']}-study", f"{len(over)} {max((r.ended or 0.0 for r in over), default=0.0)}"
        if self._is_there(study, identity, mark):
            return
        about = {key: value for key, value in study.about.items() if key != "experiment"}
        run = _start(study, identity, f"study-{study.name}", about, "study")
        for step, best in enumerate(best_so_far(over, higher=study.higher).values()):
            run.log({f"best_{study.objective}": best}, step=step)
        for path in [study.folder / "best.yaml", *sorted((study.folder / "report").glob("*"))]:
            if path.is_file():
                run.save(str(path), base_path=str(study.folder), policy="now")
        run.finish()
        self._mark(study, identity, mark)

    def _is_there(self, study: Study, identity: str, mark: str) -> bool:
        for folder in _folders(study, identity):
            done = folder / DONE
            if done.exists() and done.read_text(encoding="utf-8") == mark:
                return True
            shutil.rmtree(folder)
        return False

    def _mark(self, study: Study, identity: str, mark: str) -> None:
        for folder in _folders(study, identity):
            files.write_text(folder / DONE, mark)


def _folders(study: Study, identity: str) -> list[Path]:
    exact = re.compile(rf"offline-run-\d+_\d+-{re.escape(identity)}")
    return [path for path in (study.folder / "wandb").glob("offline-run-*") if exact.fullmatch(path.name)]


def _start(study: Study, identity: str, name: str, config: dict[str, Any], kind: str) -> Any:
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    settings = wandb.Settings(
        silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True, x_disable_meta=True
    )
    return wandb.init(
        mode="offline",
        dir=str(study.folder.absolute()),
        project=study.experiment.tracking.experiment or study.name,
        group=str(study.about["id"]),
        job_type=kind,
        id=identity,
        name=name,
        config=config,
        settings=settings,
        reinit="create_new",
    )


def _summary(record: Record) -> dict[str, Any]:
    numbers: dict[str, float | None] = {f"validation/{key}": value for key, value in record.metrics.items()}
    numbers |= {f"cost/{key}": value for key, value in record.costs.items()}
    numbers |= {"score": record.score, "duration": (record.ended or record.started) - record.started}
    finite = {key: value for key, value in numbers.items() if value is not None and math.isfinite(value)}
    times = {"started": record.started, "ended": record.ended, "attempts": record.attempts}
    return finite | times | {"status": record.status, "reason": record.reason, "scores": list(record.scores)}
