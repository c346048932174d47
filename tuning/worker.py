"""A process that runs trials: asks the chief for one, trains it, reports it, until there are no more.

Started by ``python -m tuning`` on this machine, or by hand on another one with KerasTuner's own variables
``KERASTUNER_TUNER_ID``, ``KERASTUNER_ORACLE_IP`` and ``KERASTUNER_ORACLE_PORT`` (docs/tuning.md).
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import cli, machine, processes
from keras_seq.errors import ConfigError
from tuning.records import Record, Study, open_study
from tuning.settings import TuningConfig, settings

if TYPE_CHECKING:
    from keras_tuner.src.engine.trial import Trial

    from tuning.trial import TrialRunner

DEATHS = 2  # of workers, after which their trial has failed
IDLE_SECONDS = 0.05
GROWTH_MB = 400.0  # TensorFlow keeps some MB of every graph: a worker that has grown so much is renewed
VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


def work(study: Study) -> None:
    """Run trials until the chief has no more.

    Raises:
        ConfigError: a variable that names the chief is not set.
        DataError: the data are not those that the study was begun on.
    """
    from tuning.trial import TrialRunner

    for name in VARIABLES:
        if name not in os.environ:
            raise ConfigError(
                f"Variable {name} is not set; a worker needs {', '.join(VARIABLES)} to find its chief "
                "(started with 'python -m tuning --role chief')."
            )
    tuning = settings(study.about["tuning"] | {"trials": study.about["trials"]})
    runner = TrialRunner(study, tuning)
    runner.check_data()
    _make_tuner(study, tuning, runner).search()


def _make_tuner(study: Study, tuning: TuningConfig, runner: TrialRunner) -> Any:
    """KerasTuner's worker loop around our trials."""
    from keras_tuner import errors
    from keras_tuner.src.engine.base_tuner import BaseTuner

    from tuning import space as spaces
    from tuning.oracle import make_oracle

    parameters = spaces.parse(study.about["space"], study.experiment)

    class StudyTuner(BaseTuner):
        """Our trials behind KerasTuner's protocol."""

        first_mb = 0.0
        grown = False

        def _has_grown(self, now_mb: float) -> bool:
            self.first_mb = self.first_mb or now_mb
            return now_mb > self.first_mb + GROWTH_MB

        def run_trial(self, trial: Trial, *_: Any, **__: Any) -> dict[str, float]:
            """Run a trial, or report what an earlier worker had finished and could not tell."""
            record = study.record(trial.trial_id) or _begin(trial)
            if record.status == "running":
                if record.attempts > DEATHS:
                    record = record.replace(
                        status="failed", reason=f"its worker died {record.attempts - 1} times", ended=time.time()
                    )
                    study.save(record)
                else:
                    record = runner.run(record.replace(worker=self.tuner_id))
                    self.grown = self._has_grown(record.costs["resident_mb"])
            if record.status == "failed" or record.score is None:
                raise errors.FailedTrialError(record.reason)
            return {study.objective: record.score}

        def pre_create_trial(self) -> None:
            """Renew a process that has grown; ask a waiting chief twenty times a second, not a thousand."""
            if self.grown:
                sys.exit(processes.RESTART)
            time.sleep(IDLE_SECONDS)

        def save(self) -> None:
            """Nothing to keep: the chief has the oracle, the records the rest."""

    def _begin(trial: Trial) -> Record:
        values = trial.hyperparameters.values
        budget = values["tuner/epochs"] / tuning.levels if "tuner/epochs" in values else 1.0
        default = int(trial.trial_id) == 0
        if default:
            experiment = study.experiment
            chosen = {p.field: spaces.current_value(experiment, p.field) for p in spaces.active(parameters, experiment)}
        else:
            chosen = spaces.decode(parameters, values)
        record = Record(trial.trial_id, chosen, budget=budget, default=default)
        study.save(record)
        return record

    oracle = make_oracle(
        tuning,
        parameters,
        study.experiment,
        objective=study.objective,
        direction=study.about["direction"],
        folder=study.folder / "work" / "oracle",  # unused: every call goes to the chief
    )
    with contextlib.redirect_stdout(io.StringIO()):
        return StudyTuner(oracle=oracle, directory=str(study.folder / "work"), project_name="oracle")


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m tuning.worker STUDY [PARENT]``."""
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) > 1:
        processes.end_with_parent(int(words[1]), processes.FAILED)  # its successor starts other workers
    study = open_study(Path(words[0]))
    from keras_seq.models.xla_flags import prepare_environment

    prepare_environment()
    machine.load_tensorflow()
    work(study)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
