"""Search: a study from its first trial to its last, resumed by the same command."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from keras_seq import config, files
from keras_seq.errors import ConfigError, KerasSeqError
from keras_seq.figures import Say
from tuning import space as spaces
from tuning.best import write_best
from tuning.defaults import default_space
from tuning.folds import fingerprints, parts
from tuning.history import text_of
from tuning.objective import choose_objective
from tuning.records import Record, Study, begin_study
from tuning.report import write_report
from tuning.rows import check_common_rows, windows_of
from tuning.settings import StudyPlan
from tuning.tracking import Backend, finish, make_backend, sync

if TYPE_CHECKING:
    from tuning.oracle import DurableOracle

POLL_SECONDS = 0.2
LOCK = ".lock"
GIVE_UP = 5  # trials that all failed


@dataclass(frozen=True)
class StudyLocation:
    """Folder, workers and address of a study's run.

    Attributes:
        folder: of the study.
        workers: processes on this machine; 0: only workers of other machines.
        address: that the chief listens on.
        port: of the chief; 0: a free one.
        overwrite: throw away what the folder holds.
    """

    folder: Path
    workers: int = 1
    address: str = "127.0.0.1"
    port: int = 0
    overwrite: bool = False


def search(plan: StudyPlan, where: StudyLocation, *, tracking: str | None = "none", say: Say = print) -> Study:
    """Run a study, or go on with it.

    Args:
        plan: experiment and settings.
        where: folder, workers and port.
        tracking: backend of ``tuning.tracking``; None: the experiment's own.
        say: takes lines for the user.

    Returns:
        The study with all its records; ``best.yaml`` is written.

    Raises:
        ConfigError: a wrong field, value, objective, port, or a folder of another study; before the first trial.
        KerasSeqError: the first trials all failed, or workers cannot start.
        KeyboardInterrupt: it was stopped by Ctrl-C, after the running trials had ended.
    """
    about = describe(plan)
    files.ensure_writable(where.folder)
    with _only_one(where.folder):
        if where.overwrite:
            _empty(where.folder)
        study = begin_study(where.folder, about)
        return _run(study, plan, where, make_backend(tracking, study), say)


def describe(plan: StudyPlan) -> dict[str, Any]:
    """What ``study.json`` holds; everything is checked on the way, the data included.

    Raises:
        KerasSeqError: whatever of the plan cannot be.
    """
    from keras_seq.data.prepare import prepare
    from keras_seq.models.registry import get_family, resolve_experiment
    from tuning.oracle import check_enough

    experiment, tuning = plan.experiment, plan.tuning
    get_family(experiment.model.family)
    space = tuning.space or default_space(resolve_experiment(experiment))
    parameters = spaces.parse(space, experiment)
    check_enough(tuning, parameters, experiment)
    judged = parts(experiment, tuning)
    prepared = prepare(judged[0].data)
    objective, direction = choose_objective(tuning, prepared.spec.task)
    outside = spaces.outside(parameters, experiment)
    rows = check_common_rows(prepared, windows_of(parameters, experiment))
    return {
        "name": experiment.name,
        "experiment": experiment.model_dump(mode="json", exclude_unset=True),
        "space": space,
        "objective": objective,
        "direction": direction,
        "task": prepared.spec.task,
        "tuner": tuning.tuner,
        "trials": tuning.trials,
        "tuning": tuning.model_dump(mode="json", exclude={"trials", "space"}),
        "data": fingerprints(prepared.series, judged),
        "outside": outside,
        "notes": [note for note in (_note_outside(outside, experiment), rows) if note],
    }


def _note_outside(outside: list[str], experiment: config.Experiment) -> str:
    if not outside:
        return ""
    values = ", ".join(f"{name} {text_of(spaces.current_value(experiment, name))}" for name in outside)
    return (
        f"the configuration itself ({values}) lies outside the space: it is trial 0 on top of the trials asked for, "
        "and the search does not learn from it"
    )


def _run(study: Study, plan: StudyPlan, where: StudyLocation, backend: Backend, say: Say) -> Study:
    from tuning.chief import Chief, Workers
    from tuning.oracle import make_oracle

    oracle = make_oracle(
        plan.tuning,
        spaces.parse(study.about["space"], study.experiment),
        study.experiment,
        objective=study.objective,
        direction=study.about["direction"],
        folder=study.folder / "oracle",
    )
    done = sum(record.status != "running" for record in study.records())
    say(f"study {study.folder}: {study.wanted} trials, {plan.tuning.tuner}, {study.objective}; {done} done")
    for note in study.about.get("notes", ()):
        say(f"  note: {note}")
    news = _News(study, study.wanted, say)
    sync(study, backend)  # what an earlier command could not
    with (
        Chief(oracle, where.address, where.port) as chief,
        Workers(study, where.workers, chief, max_memory_gb=plan.tuning.max_memory_gb) as workers,
        _interrupt(oracle, say),
    ):
        if not where.workers:
            say(f"waiting for workers on {where.address}:{chief.port}")
        while workers.alive or not (where.workers or chief.done or oracle.stopping):
            time.sleep(POLL_SECONDS)
            workers.mend()
            if news.report():
                _write_best(study)
                sync(study, backend)
            news.check_hope()
    news.report()
    if oracle.exhausted and not oracle.stopping:
        study.note_exhausted()
        say(f"every value of the space was tried, in {study.wanted} trials")
    _write_best(study)
    _close(study, backend, say)
    if oracle.stopping:
        raise KeyboardInterrupt
    return study


def _close(study: Study, backend: Backend, say: Say) -> None:
    """The report, and all of it to the tracking store."""
    if study.best() is not None:
        write_report(study)
    if waiting := finish(study, backend):
        say(f"{waiting} trials are not in the tracking store yet; the same command records them")


class _News:
    """Says a line for every trial that ended."""

    def __init__(self, study: Study, trials: int, say: Say) -> None:
        self.study, self.trials, self.say = study, trials, say
        self.reported = {record.trial for record in study.records() if record.status != "running"}
        self.before, self.began = len(self.reported), time.monotonic()
        self.ended: list[Record] = []

    def report(self) -> bool:
        """Report what ended since the last call; False if nothing did."""
        names = set(self.study.names()) - self.reported
        records = sorted(filter(None, map(self.study.record, names)), key=lambda r: r.ended or 0.0)
        new = [record for record in records if record.status != "running"]
        if not new:
            return False
        best = self.study.best()
        for record in new:
            self.reported.add(record.trial)
            self.ended.append(record)
            self.say(self._line(record, best))
        return True

    def _line(self, record: Record, best: Record | None) -> str:
        score = "" if record.score is None else f" {self.study.objective} {record.score:.5g}"
        why = f" ({record.reason})" if record.reason and record.status != "completed" else ""
        top = f"; best {best.score:.5g} (trial {best.number})" if best else ""
        pace = (time.monotonic() - self.began) / max(len(self.reported) - self.before, 1)
        left = max(self.trials - len(self.reported), 0) * pace / 60
        size = f", budget {record.budget:.2f}" if record.budget < 1 else ""
        seconds = record.costs.get("total", 0.0)
        head = f"trial {record.number} {record.status}{why}:{score} in {seconds:.0f} s{size}"
        return f"{head}{top}; {left:.0f} min left"

    def check_hope(self) -> None:
        """Give up where the first trials all failed.

        Raises:
            KerasSeqError: with the last reason.
        """
        if len(self.reported) >= GIVE_UP and not self.before and all(r.status == "failed" for r in self.ended):
            raise KerasSeqError(
                f"The first {len(self.ended)} trials of '{self.study.folder}' all failed; the last one: "
                f"{self.ended[-1].reason} Mend the configuration or the space and give --overwrite."
            )


@contextlib.contextmanager
def _interrupt(oracle: DurableOracle, say: Say) -> Iterator[None]:
    """Ctrl-C once: no new trials, running ones end. Twice: at once; what ran is resumed later."""

    def take(number: int, frame: FrameType | None) -> None:
        if oracle.stopping:
            raise KeyboardInterrupt
        oracle.stopping = True
        say("Stopping after the running trials; press Ctrl-C again to stop at once. The same command goes on.")

    before = signal.signal(signal.SIGINT, take)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Refuse a second command on the same study."""
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(files.locked(folder / LOCK, wait=False))
        except BlockingIOError:
            raise ConfigError(
                f"Study '{folder}' is being run by another process; watch it with 'python -m tuning status {folder}'."
            ) from None
        yield


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _write_best(study: Study) -> None:
    best = study.best()
    if best is not None:
        write_best(study, best)


def say(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)
