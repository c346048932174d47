"""Studies in MLflow: the study is the parent run, trials are its nested children."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from keras_seq import tracking
from tuning.history import best_so_far, ended, text_of
from tuning.records import Record, Study
from tuning.tracking_base import Backend, retried

STUDY, TRIAL, ENDED = "keras_seq.study", "keras_seq.trial", "keras_seq.ended"
STATUS = {"completed": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}
PARENT = "study"  # stands where children have their trial
OVER = tuple(STATUS.values())
METRICS_A_BATCH = 1000  # MLflow's limit


class MlflowBackend(Backend):
    """Writes into the experiment's MLflow store.

    A run is made with the tags that it is looked up by, in one transaction, and closed last. So a run that is found
    open was left by a killed process and is written again: the same metrics at the same times, which the store keeps
    once. A trial that was started again after it had been recorded replaces its run.
    """

    name = "mlflow"

    def __init__(self) -> None:
        super().__init__()
        self._connection: tracking.StoreConnection | None = None
        self._parent = ""
        self._best: dict[str, float] = {}

    def begin(self, study: Study) -> None:
        """Find or make the parent run, and open it again if it was closed."""
        client = self._connect(study).client
        self._best = best_so_far(ended(study), higher=study.higher)
        run = self._find(study, PARENT)
        if run is None:
            about = study.about
            tags = {STUDY: str(about["id"]), TRIAL: PARENT, "mlflow.note.content": f"Study of '{study.folder}'."}
            run = client.create_run(
                self._experiment_id, start_time=_ms(about["created"]), tags=tags, run_name=f"study-{study.name}"
            )
            self._parent = run.info.run_id
            self._log(self._parent, params=_study_params(study))
            return
        self._parent = run.info.run_id
        if run.info.status in OVER:
            client.update_run(self._parent, status="RUNNING")

    def record(self, study: Study, record: Record) -> None:
        """Make or complete the trial's run, and note the best score so far in the parent."""
        client = self._connect(study).client
        run = self._find(study, record.trial)
        if run is not None and run.info.status in OVER:
            if run.data.tags.get(ENDED) == str(record.ended):
                return
            client.delete_run(run.info.run_id)
            run = None
        run_id = run.info.run_id if run else self._create(study, record)
        self._log(run_id, _metrics(study, record), _params(record), {"keras_seq.reason": record.reason[:5000]})
        if record.trial in self._best:
            best = (f"best_{study.objective}", self._best[record.trial], _ms(record.ended), record.number)
            self._log(self._parent, [best])
        client.set_terminated(run_id, STATUS[record.status], end_time=_ms(record.ended))

    def finish(self, study: Study) -> None:
        """Copy ``report/`` and ``best.yaml`` into the parent run and close it."""
        client = self._connect(study).client
        if not self._parent:
            self.begin(study)
        for name in ("best.yaml", "study.json"):
            if (study.folder / name).exists():
                client.log_artifact(self._parent, str(study.folder / name))
        if (study.folder / "report").is_dir():
            client.log_artifacts(self._parent, str(study.folder / "report"), "report")
        best, over = study.best(), ended(study)
        tags = {f"keras_seq.best.{key}": text_of(value) for key, value in (best.values if best else {}).items()}
        counts = {status: sum(record.status == status for record in over) for status in STATUS}
        self._log(self._parent, tags=tags | {f"keras_seq.{key}": str(count) for key, count in counts.items()})
        last = max((record.ended or 0.0 for record in over), default=None)
        client.set_terminated(self._parent, "FINISHED", end_time=None if last is None else _ms(last))

    @property
    def _experiment_id(self) -> str:
        assert self._connection is not None
        return self._connection.experiment_id

    def _connect(self, study: Study) -> tracking.StoreConnection:
        if self._connection is None:
            self._connection = retried(lambda: tracking.connect(study.experiment))
        return self._connection

    def _find(self, study: Study, trial: str) -> Any:
        """The run of a trial (or ``PARENT``), or None."""
        wanted = f"tags.`{STUDY}` = '{study.about['id']}' and tags.`{TRIAL}` = '{trial}'"
        runs = self._connect(study).client.search_runs([self._experiment_id], wanted, max_results=1)
        return runs[0] if runs else None

    def _create(self, study: Study, record: Record) -> str:
        tags = {
            STUDY: str(study.about["id"]),
            TRIAL: record.trial,
            ENDED: str(record.ended),
            "keras_seq.status": record.status,
            "keras_seq.worker": record.worker,
            "mlflow.parentRunId": self._parent,
        }
        run = self._connect(study).client.create_run(
            self._experiment_id, start_time=_ms(record.started), tags=tags, run_name=f"trial-{record.trial}"
        )
        return str(run.info.run_id)

    def _log(
        self,
        run_id: str,
        metrics: Iterable[tuple[str, float, int, int]] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        assert self._connection is not None
        client, entities = self._connection.client, self._connection.entities
        numbers = [entities.Metric(_key(name), *rest) for name, *rest in metrics if math.isfinite(rest[0])]
        settings = [entities.Param(_key(key), text_of(value)[:500]) for key, value in (params or {}).items()]
        words = [entities.RunTag(_key(key), value) for key, value in (tags or {}).items()]
        client.log_batch(run_id, numbers[:METRICS_A_BATCH], settings[:100], words[:100], synchronous=True)
        for start in range(METRICS_A_BATCH, len(numbers), METRICS_A_BATCH):
            client.log_batch(run_id, numbers[start : start + METRICS_A_BATCH], synchronous=True)


def _study_params(study: Study) -> dict[str, Any]:
    about = study.about
    named = {key: about[key] for key in ("objective", "direction", "tuner", "task") if key in about}
    space = {f"space.{name}": entry for name, entry in about.get("space", {}).items()}
    return named | {f"tuning.{k}": v for k, v in about.get("tuning", {}).items() if k != "tuner"} | space


def _params(record: Record) -> dict[str, Any]:
    return record.values | {"budget": record.budget, "default": record.default}


def _metrics(study: Study, record: Record) -> Iterator[tuple[str, float, int, int]]:
    """Name, value, milliseconds and step of everything measured."""
    end = _ms(record.ended)
    if record.score is not None:
        yield "score", record.score, end, 0
    for part, score in enumerate(record.scores):
        yield "scores", score, end, part
    for name, value in record.metrics.items():
        yield f"validation/{name}", value, end, 0
    for name, value in record.costs.items():
        yield f"cost/{name}", value, end, 0
    yield "duration", (record.ended or record.started) - record.started, end, 0
    yield "attempts", record.attempts, end, 0
    yield from _epochs(record)


def _epochs(record: Record) -> Iterator[tuple[str, float, int, int]]:
    """Rows of the history: of several folds under ``fold-0/loss`` and so on."""
    many = len({row.get("fold", 0) for row in record.epochs}) > 1
    clock, end = record.started, record.ended or math.inf
    for row in record.epochs:
        clock = min(clock + row.get("seconds", 0.0), end)
        prefix = f"fold-{int(row.get('fold', 0))}/" if many else ""
        for name, value in row.items():
            if name not in ("fold", "epoch") and isinstance(value, int | float):
                yield prefix + name, value, _ms(clock), int(row.get("epoch", 0))


def _key(name: str) -> str:
    """A name that MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", name)[:250]


def _ms(seconds: float | None) -> int:
    return int(1000 * (seconds or 0.0))
