"""Training of candidates on the folds of the train part, cheap ones first, within a budget."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import config
from keras_seq.config import Experiment
from keras_seq.errors import DataError, KerasSeqError, TrainingError
from keras_seq.figures import Say, silent
from keras_seq.pilots.budget import LEAST, Budget, OutOfTime, time_limit
from keras_seq.pilots.candidates import CHANGED, PilotCandidate
from keras_seq.pilots.inner import InnerData
from keras_seq.training.predictions import Points

if TYPE_CHECKING:
    import keras

    from keras_seq.data.prepare import Prepared

STEPS = 800  # training steps of a network's pilot, in all epochs of a fold
EPOCHS = (3, 60)  # fewest and most
BATCH = 64
FEWEST = 40  # examples that a network learns from at least
PROVEN = 500  # train windows on which the chosen configuration is tried
EXAMPLES = 10  # of each class among them
RATE = 2e-3  # highest learning rate; it falls along a cosine, so that no validation need choose an epoch


@dataclass
class Pilot:
    """A candidate that was tried.

    Attributes:
        candidate: who.
        points: answers beside their truth at the judged rows of all folds; None: it has none.
        seconds: it took.
        remark: why it has no answers, or what is to be known of them.
    """

    candidate: PilotCandidate
    points: Points | None = None
    seconds: float = 0.0
    remark: str = ""


@dataclass
class PilotRun:
    """The pilots of one table.

    Attributes:
        base: configuration proposed by the rules.
        inner: the train part and its folds.
        budget: seconds.
        say: gets progress.
        pilots: tried so far, in this order.
        interrupted: by Ctrl-C; nothing more is tried.
    """

    base: Experiment
    inner: InnerData
    budget: Budget
    say: Say = silent
    pilots: list[Pilot] = field(default_factory=list)
    interrupted: bool = False

    def try_all(self, candidates: Sequence[PilotCandidate], *, after: int = 0) -> None:
        """Try candidates in their order; ``after``: how many more will follow, for the shares of the budget."""
        for place, candidate in enumerate(candidates):
            if self.interrupted:
                self.pilots.append(Pilot(candidate, remark="not tried: stopped by Ctrl-C"))
                continue
            share = self.budget.share(len(candidates) - place + after, cheap=after > 0)
            if share < LEAST:
                self.pilots.append(Pilot(candidate, remark="not tried: the budget was spent"))
                continue
            self.pilots.append(self._try(candidate, share))

    def _try(self, candidate: PilotCandidate, seconds: float) -> Pilot:
        began, pilot = time.monotonic(), Pilot(candidate)
        try:
            with time_limit(seconds):
                pilot.points, pilot.remark = self._answers(candidate, 0.6 * seconds)
        except OutOfTime:
            pilot.remark = f"stopped after {seconds:.0f} s, its share of the budget"
        except KeyboardInterrupt:
            self.interrupted, pilot.remark = True, "stopped by Ctrl-C"
        except KerasSeqError as error:
            pilot.remark = f"refused: {_first_sentence(error)}"
        except Exception as error:  # whatever a library raises on odd data is no reason to write no configuration
            pilot.remark = f"failed: {type(error).__name__}: {_first_sentence(error)}"
        pilot.seconds = time.monotonic() - began
        self.say(f"  {candidate.name:<28} {pilot.seconds:5.1f} s  {pilot.remark}".rstrip())
        return pilot

    def _answers(self, candidate: PilotCandidate, seconds: float) -> tuple[Points, str]:
        """Points of all folds joined, and a remark; a network stops training when its seconds are over."""
        from keras_seq.evaluation.answers import join
        from keras_seq.models.registry import resolve_experiment
        from keras_seq.training.device import session

        if candidate.kind == "reference":
            return _references(self.base, self.inner.prepared(self.base.data), candidate.season), ""

        experiment = resolve_experiment(self.experiment(candidate))
        folds = self.inner.prepared(experiment.data)
        pieces, remark, ends = [], "", time.monotonic() + seconds
        for number, prepared in enumerate(folds):
            until = time.monotonic() + (ends - time.monotonic()) / (len(folds) - number)
            with session(experiment.training, seed=experiment.seed):
                model, cut = fit_pilot(experiment, prepared, until)
                pieces.append(_points(model, experiment, prepared))
            remark = remark or cut
        found = join(pieces)
        if not np.isfinite(found.prediction).all():
            raise ArithmeticError("answers that are no numbers")
        return found, remark

    def experiment(self, candidate: PilotCandidate) -> Experiment:
        """The configuration with a candidate in it, trained as a pilot."""
        tree = self.base.model_dump(mode="json", exclude_unset=True)
        training = {**tree.get("training", {}), "resume": False, "jit": False}
        kept = {name: part for name, part in tree.items() if name not in CHANGED}
        return config.from_dict(config.override({**kept, "training": training}, candidate.changes))


def fit_pilot(experiment: Experiment, prepared: Prepared, until: float) -> tuple[keras.Model, str]:
    """A fitted model, or a network after some hundred steps; and a remark where its time was over before.

    Args:
        experiment: resolved.
        prepared: of one fold; judged windows are not looked at.
        until: of ``time.monotonic``, when a network ends its training.

    Raises:
        KeyboardInterrupt: Ctrl-C during an epoch.
    """
    from keras_seq.models.build import build_model
    from keras_seq.models.registry import get_family
    from keras_seq.training.fit import fit

    blind = _without_judged(prepared)
    own = get_family(experiment.model.family).fit
    if own is not None:
        return own(experiment, blind, silent), ""
    _check_learnable(blind)
    experiment = _as_pilot(experiment, len(blind.index["train"]))
    model = build_model(experiment.model, prepared.spec, rematerialise=False, fast_lstm=experiment.training.fast_lstm)
    with tempfile.TemporaryDirectory() as folder:
        result = fit(experiment, model, blind, folder, quiet=True, on_epoch=_ends(until))
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    done = len(result.history.get("loss", ()))
    return model, f"{done} of {experiment.training.epochs} epochs in its time" if result.stopped == "callback" else ""


def _check_learnable(prepared: Prepared) -> None:
    """Refuse what a network would only learn by heart, or cannot learn.

    Raises:
        DataError: too few windows, or targets that are all the same.
    """
    from keras_seq.training.predictions import locate

    index, spec = prepared.index["train"], prepared.spec
    truth = np.asarray(locate(prepared.series, index, spec)[0])
    rows = len(truth) if spec.per_step else len(index)
    if rows < FEWEST:
        raise DataError(
            f"{rows} training examples are too few for a network; bring {FEWEST}, or take a fitted model.family."
        )
    values = truth[np.isfinite(truth)]
    if not len(values) or np.ptp(values) == 0:
        name, first = spec.targets[0], f" ({values[0]:g})" if len(values) else ""
        raise DataError(
            f"Target '{name}' has the same value in all {rows} training examples{first}, so there is nothing to learn. "
            "Choose another target in data.targets."
        )


def _ends(until: float) -> Callable[[int, dict[str, float]], bool]:
    return lambda epoch, row: time.monotonic() > until


def _as_pilot(experiment: Experiment, windows: int) -> Experiment:
    """Fewer steps, the last weights of a falling rate: no held-back row chooses anything."""
    batch = min(max(8, experiment.training.batch_size), BATCH)
    epochs = int(np.clip(round(STEPS * batch / max(windows, 1)), *EPOCHS))
    changes: dict[str, Any] = {
        "training.epochs": epochs,
        "training.batch_size": batch,
        "training.learning_rate": max(RATE, experiment.training.learning_rate),
        "training.schedule": "cosine",
        "training.keep": "last",
        "training.monitor": "loss",
        "training.backup_seconds": 1e6,
    }
    return config.replace(experiment, **changes)


def _without_judged(prepared: Prepared) -> Prepared:
    """The fold without a window that is judged."""
    nothing = prepared.index["train"].take(slice(0, 0))
    return dataclasses.replace(prepared, index=prepared.index | {"validation": nothing, "test": nothing})


def fit_proof(experiment: Experiment, prepared: Prepared) -> None:
    """Fit or train a configuration for a moment on a few train windows and let it answer them: that it can be.

    Raises:
        KerasSeqError: what training would say.
    """
    from keras_seq.models.registry import resolve_experiment
    from keras_seq.training.device import session
    from keras_seq.training.predictions import predict_windows

    experiment, train = resolve_experiment(experiment), prepared.index["train"]
    few = train.take(_telling(prepared))
    few_prepared = dataclasses.replace(prepared, index=prepared.index | {"train": few})
    with session(experiment.training, seed=experiment.seed):
        model, _ = fit_pilot(experiment, few_prepared, 0.0)
        answers = predict_windows(model, prepared.series, few.take(slice(0, 8)), prepared.spec, experiment.data)
    if not np.isfinite(answers).all():
        raise TrainingError(f"Family '{experiment.model.family}' gives answers that are no numbers on this table.")


def _telling(prepared: Prepared) -> np.ndarray:
    """Numbers of some hundred train windows that hold every class, and the least and the largest target."""
    from keras_seq.training.predictions import locate

    train, spec = prepared.index["train"], prepared.spec
    even = np.linspace(0, len(train) - 1, PROVEN).astype(np.int64)
    if spec.per_step:
        return np.unique(even)
    truth = np.asarray(locate(prepared.series, train, spec)[0]).reshape(len(train), -1)
    if spec.classifies:
        label = truth[:, 0]
        own = [np.flatnonzero(label == number)[:EXAMPLES] for number in np.unique(label[np.isfinite(label)])]
        return np.unique(np.concatenate([even, *own]))
    ends = [np.argmin(np.where(np.isfinite(truth), truth, np.inf), axis=0)]
    ends += [np.argmax(np.where(np.isfinite(truth), truth, -np.inf), axis=0)]
    return np.unique(np.concatenate([even, *ends]))


def _points(model: keras.Model, experiment: Experiment, prepared: Prepared) -> Points:
    """Answers at the judged rows, shaped as comparisons take them: values flat and capped, classes as they are."""
    from keras_seq.training.predictions import predict_windows

    index = prepared.index["validation"]
    return _laid(predict_windows(model, prepared.series, index, prepared.spec, experiment.data), experiment, prepared)


def _references(experiment: Experiment, folds: Sequence[Prepared], season: int) -> Points:
    """Naive answers, computed from the rows: no graph is needed to know what they are.

    Of classes all folds have the same shares, since small differences would rank the folds.
    """
    from keras_seq.evaluation.answers import join
    from keras_seq.evaluation.naive_reference import reference_answers

    found = join([_laid(reference_answers(fold, "validation", season), experiment, fold) for fold in folds])
    if not folds[0].spec.classifies:
        return found
    shares = np.broadcast_to(found.prediction.mean(axis=0), found.prediction.shape)
    return dataclasses.replace(found, prediction=shares)


def _laid(answers: np.ndarray, experiment: Experiment, prepared: Prepared) -> Points:
    from keras_seq.training.predictions import points

    spec = prepared.spec
    found = points(prepared.series, prepared.index["validation"], spec, answers)
    found = found.select(found.scored(experiment.evaluation, "validation"))
    if spec.classifies:
        return found
    truth = np.asarray(found.truth, np.float64).reshape(len(found.truth), -1)
    cap = experiment.data.target_cap
    truth = truth if cap is None else np.minimum(truth, cap)
    return dataclasses.replace(found, truth=truth, prediction=found.prediction.reshape(len(truth), -1))


def _first_sentence(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0]
    return text.split(". ")[0].rstrip(".")[:160]
