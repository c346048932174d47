"""One trial: a configuration trained on every part of the protocol and judged on its validation windows."""

from __future__ import annotations

import gc
import math
import shutil
import statistics
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keras_seq import config
from keras_seq.config import Experiment
from keras_seq.errors import DataError, KerasSeqError, TrainingError
from keras_seq.figures import silent
from keras_seq.machine import resident_mb
from tuning import space as spaces
from tuning.folds import DataCache, fewer_units, fingerprints, parts
from tuning.memory import forget_custom_gradients, give_back_memory
from tuning.pruning import MedianRule
from tuning.records import Record, Study
from tuning.rows import windows_of
from tuning.settings import TuningConfig

if TYPE_CHECKING:
    import keras

    from keras_seq.data.prepare import Prepared

SAVE_SECONDS = 1.0  # between two writings of a running trial's record


class TrialStopped(Exception):
    """Stop of a trial on purpose; ``status`` and the reason say how."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class TrialRunner:
    """Runs trials of one study, one after the other, in this process.

    Args:
        study: where records go.
        tuning: settings of the study.
    """

    def __init__(self, study: Study, tuning: TuningConfig) -> None:
        self.study, self.tuning = study, tuning
        self.data = DataCache(windows_of(spaces.parse(study.about["space"], study.experiment), study.experiment))
        self._frozen = False

    def check_data(self) -> None:
        """Refuse data that are not those of the study: a file may have changed, or lie elsewhere on this machine.

        Raises:
            DataError: says what to do.
        """
        judged = parts(self.study.experiment, self.tuning)
        series = self.data.get(judged[0].data).series
        if fingerprints(series, judged) != self.study.about["data"]:
            raise DataError(
                f"The data on this machine are not those that study '{self.study.folder}' was begun on, so trials "
                "could not be compared. Give its workers the same file, or begin another study."
            )

    def run(self, record: Record) -> Record:
        """Run a trial to its end; the record returned is written too.

        What a user could mend, and any failure inside a library, fails the trial and not the study.
        """
        import keras

        run = _Trial(self, record)
        status, reason = "completed", ""
        try:
            run.train()
        except TrialStopped as stop:
            status, reason = stop.status, str(stop)
        except KerasSeqError as error:
            status, reason = "failed", str(error)
        except Exception as error:  # an optimiser, a kernel, memory: whatever a strange configuration brings about
            first = next(iter(str(error).strip().splitlines()), "")
            status, reason = "failed", f"{type(error).__name__}: {first}"
        forget_custom_gradients()
        keras.backend.clear_session()  # collects garbage too
        if not self._frozen:  # modules are no garbage: looking through them took most of a second a trial
            gc.freeze()
            self._frozen = True
        give_back_memory()
        costs = {"total": time.monotonic() - run.began, "resident_mb": resident_mb()}
        costs["overhead"] = costs["total"] - run.costs["fit"]
        ended = run.refreshed()
        ended = ended.replace(status=status, reason=reason, ended=time.time(), costs=ended.costs | costs)
        self.study.save(ended)
        shutil.rmtree(self.study.folder / "work" / record.trial, ignore_errors=True)
        return ended


class _Trial:
    """A trial while it runs."""

    def __init__(self, runner: TrialRunner, record: Record) -> None:
        self.runner, self.record, self.tuning = runner, record, runner.tuning
        self.costs = dict.fromkeys(("prepare", "build", "fit", "judge"), 0.0)
        self.epochs: list[dict[str, float]] = []
        self.hopeless = ""  # why the median rule stops it
        self.metrics: list[dict[str, float]] = []
        self.began, self.saved = time.monotonic(), 0.0

    def train(self) -> None:
        """Train and judge on all parts of the protocol."""
        from keras_seq.models.registry import resolve_experiment

        study, tuning = self.runner.study, self.tuning
        experiment = study.tuned(self.record) if not self.record.default else study.experiment
        everything = parts(self._with_budget(resolve_experiment(experiment)), tuning)
        self.rule = self._make_rule()
        for number, part in enumerate(everything[: self._number_of(len(everything))]):
            self.metrics.append(self._one(number, part))
            self._note(force=True)
            if self.hopeless:
                raise TrialStopped("pruned", self.hopeless)
            scores = [metrics[study.objective] for metrics in self.metrics]
            if self.rule and number + 1 < len(everything) and (why := self.rule.hopeless_folds(scores)):
                raise TrialStopped("pruned", why)

    def _one(self, number: int, experiment: Experiment) -> dict[str, float]:
        from keras_seq.models.registry import get_family
        from keras_seq.training.device import session

        with self._timed("prepare"):
            prepared = self.runner.data.get(experiment.data)
            if self.tuning.fidelity == "units" or get_family(experiment.model.family).fit is not None:
                prepared = fewer_units(prepared, self.record.budget)
        with session(experiment.training, seed=experiment.seed):
            family = get_family(experiment.model.family)
            if family.fit is None:
                model = self._trained(number, experiment, prepared)
            else:
                with self._timed("fit"):
                    model = family.fit(experiment, prepared, silent)
            with self._timed("judge"):
                return self._judge(model, experiment, prepared)

    def _trained(self, number: int, experiment: Experiment, prepared: Prepared) -> Any:
        from keras_seq.models.build import build_model
        from keras_seq.training.fit import fit

        with self._timed("build"):
            model = build_model(
                experiment.model,
                prepared.spec,
                rematerialise=experiment.training.rematerialise,
                fast_lstm=experiment.training.fast_lstm,
            )
        folder = self.runner.study.folder / "work" / self.record.trial / f"part-{number}"
        with self._timed("fit"):
            fit(
                experiment,
                model,
                prepared,
                folder,
                quiet=True,
                on_epoch=lambda epoch, row: self._on_epoch(number, epoch, experiment.training.epochs, row),
            )
        return model

    def _on_epoch(self, number: int, epoch: int, epochs: int, row: Mapping[str, float]) -> bool:
        """Note an epoch; True where training ends, because nothing is to be hoped for.

        What was trained is then judged as every trial is, so that all scores are of one kind.
        """
        self.epochs.append({"fold": number, "epoch": epoch, **row})
        self._note()
        minutes = (time.monotonic() - self.began) / 60
        share = epoch / epochs
        if self.tuning.max_minutes and minutes / max(share, 1e-9) > self.tuning.max_minutes * 1.05 and epoch > 1:
            raise TrialStopped(
                "failed",
                f"would take {minutes / share:.1f} minutes, more than tuning.max_minutes={self.tuning.max_minutes:g}",
            )
        if self.rule and number == 0:
            self.hopeless = self.rule.hopeless(epoch, epochs, row.get(self.rule.metric, math.nan))
        return bool(self.hopeless)

    def _judge(self, model: keras.Model, experiment: Experiment, prepared: Prepared) -> dict[str, float]:
        """Metrics of the validation part, by the rule of ``keras_seq.train``: its threshold, calibration and cap."""
        from keras_seq.evaluation.postprocessed import score_parts
        from keras_seq.export.convertible import in_float32
        from keras_seq.training.device import precision
        from keras_seq.training.predictions import points, predict_windows

        index = prepared.index["validation"]
        with precision("none"):
            answers = predict_windows(in_float32(model), prepared.series, index, prepared.spec, experiment.data)
        by_part = {"validation": points(prepared.series, index, prepared.spec, answers)}
        metrics = score_parts(by_part, prepared, experiment).metrics["validation"]
        score = metrics.get(self.runner.study.objective, math.nan)
        if not math.isfinite(score):
            raise TrainingError(f"The objective {self.runner.study.objective} is {score} on the validation part.")
        if "parameters" not in self.record.costs:
            self._measure(model, prepared)
        return metrics

    # ---------------------------------------------------------------- budget and rule

    def _with_budget(self, experiment: Experiment) -> Experiment:
        budget = self.record.budget
        if budget >= 1 or self.tuning.fidelity != "epochs":
            return experiment
        epochs = max(1, round(budget * experiment.training.epochs))
        warmup = min(experiment.training.warmup, epochs / 4)
        return config.replace(experiment, **{"training.epochs": epochs, "training.warmup": warmup})

    def _number_of(self, folds: int) -> int:
        return max(1, math.ceil(self.record.budget * folds)) if self.tuning.fidelity == "folds" else folds

    def _make_rule(self) -> MedianRule | None:
        if self.tuning.pruning == "none" or self.tuning.tuner == "hyperband" or self.record.default:
            return None
        return MedianRule(
            self.runner.study.records(),
            self._watched(),
            higher=self._watched_higher(),
            budget=self.record.budget,
            after=self.tuning.prune_after,
            from_share=self.tuning.prune_from,
        )

    def _watched(self) -> str:
        """What each epoch tells of the objective: itself, or the loss.

        Calls of rare positives say nothing before their threshold is chosen, which is after the last epoch: then the
        ranking is watched.
        """
        from keras_seq.training.metrics import THRESHOLDED
        from keras_seq.training.monitors import KNOWN

        study = self.runner.study
        if study.about["task"] == "binary" and study.objective in THRESHOLDED:
            return "val_auc_pr"
        known = {name for names in KNOWN.values() for name in names}
        return f"val_{study.objective}" if study.objective in known else "val_loss"

    def _watched_higher(self) -> bool:
        from keras_seq.training.metrics import HIGHER_IS_BETTER

        watched = self._watched().removeprefix("val_")
        return self.runner.study.higher if watched == self.runner.study.objective else watched in HIGHER_IS_BETTER

    # ---------------------------------------------------------------- notes

    def _note(self, *, force: bool = False) -> None:
        """Keep the record of what has happened so far, once a second at most."""
        if not force and time.monotonic() - self.saved < SAVE_SECONDS:
            return
        self.saved = time.monotonic()
        self.runner.study.save(self.refreshed())

    def refreshed(self) -> Record:
        """The record with everything up to now."""
        scores = tuple(metrics[self.runner.study.objective] for metrics in self.metrics)
        names = [name for name in (self.metrics[0] if self.metrics else {}) if all(name in m for m in self.metrics)]
        self.record = self.record.replace(
            scores=scores,
            score=statistics.fmean(scores) if scores else None,
            metrics={name: statistics.fmean(m[name] for m in self.metrics) for name in names},
            epochs=tuple(self.epochs),
            costs=self.record.costs | self.costs,
        )
        return self.record

    def _measure(self, model: keras.Model, prepared: Prepared) -> None:
        parameters = int(model.count_params())
        self.record = self.record.replace(
            costs=self.record.costs | {"parameters": parameters, "model_bytes": 4 * parameters}
        )
        if self.tuning.latency:
            from tuning.latency import latency_at_batch_1

            self.record.costs["latency_ms"] = latency_at_batch_1(model, prepared)

    def _timed(self, what: str) -> _Timer:
        return _Timer(self.costs, what)


class _Timer:
    """Adds the seconds of a block to ``costs[what]``."""

    def __init__(self, costs: dict[str, float], what: str) -> None:
        self.costs, self.what = costs, what

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.costs[self.what] += time.perf_counter() - self.began
