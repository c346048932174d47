"""Training: from a model and prepared data to the best weights, killed and resumed at any moment.

The model must have been built inside ``device.session`` with the same training section.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_seq.config import Experiment
from keras_seq.data.pipeline import steps_per_epoch
from keras_seq.models.inspect import freeze, warm_start
from keras_seq.training import distribute, resume
from keras_seq.training.callbacks import Best, HistoryFile, Interrupt, TensorBoard
from keras_seq.training.class_weights import chosen_weights, class_shares
from keras_seq.training.device import choose_device, describe_device, determinism
from keras_seq.training.loop import Loop, make_optimizer
from keras_seq.training.loss_scale import LossScale
from keras_seq.training.losses import make_loss
from keras_seq.training.mirrored import MirroredLoop, Replicas, check_strategy
from keras_seq.training.monitors import MetricMonitor
from keras_seq.training.placement import describe_placement
from keras_seq.training.progress import TrainingProgress
from keras_seq.training.run_parts import check_finite, choose_plan, make_batches, make_validation
from keras_seq.training.schedules import Plateau, PlateauSchedule, make_schedule
from keras_seq.training.tracing import Tracer
from keras_seq.training.warm_start import load_source

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

Stop = Callable[[int, dict[str, float]], Any]


@dataclass(frozen=True)
class FitResult:
    """Result of a training.

    Attributes:
        history: per epoch: loss, lr, seconds, and val_ + metric.
        best_epoch: whose weights the model now has, counted from 1 (the last one with ``training.keep=last``).
        seconds: of training, killed parts included as far as they were saved.
        device: in words.
        stopped: "epochs", "patience", "interrupted", "callback"; "fitted" (a family without epochs), "imported".
        resumed_at: epochs that an earlier, killed run had done.
        monitor: key of ``history`` that decided.
    """

    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    device: str
    stopped: str
    resumed_at: int = 0
    monitor: str = "val_loss"


def fit(
    experiment: Experiment,
    model: keras.Model,
    prepared: Prepared,
    folder: str | Path,
    *,
    on_epoch: Stop | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    quiet: bool = False,
    keep_state: bool = False,
) -> FitResult:
    """Train ``model`` and leave it with the weights of its best epoch (``training.keep``: or the last).

    Under ``folder``: ``history.csv``, ``checkpoints/best.weights.h5``, while it runs
    ``checkpoints/state-*.npz``, and ``tensorboard/`` where asked for. Started again after a kill with
    the same configuration and data, it goes on from the newest state; with
    ``training.deterministic`` the final weights are those of an undisturbed run, bit for bit.
    Ctrl-C ends the run after the present epoch; the same command then trains the remaining ones.

    Within ``distribute.connect`` with several workers every one calls this with the same arguments: each trains on its
    part of every batch, all end with the same weights, and only the chief writes.

    Args:
        experiment: training, model, data and seed are read.
        model: from ``build_model``.
        prepared: data, splits and windows.
        folder: of the run.
        on_epoch: called with the epoch (from 1) and its row of the history; True stops the run.
        callbacks: Keras callbacks; told of epochs, not of batches.
        quiet: print nothing.
        keep_state: leave the last state, for a caller that still has to judge and write what was trained: killed
            there, the same command does not train again. The caller removes ``checkpoints``.

    Raises:
        ConfigError: loss or monitor do not fit the task, or a batch is too small to be shared.
        DataError: the monitored metric is undefined on the validation part.
        DeviceError: the device is not there.
        TrainingError: the loss became NaN, or workers were started differently.
        OutputError: the folder cannot be written.
    """
    training = experiment.training
    device = choose_device(training.device)
    keras.utils.set_random_seed(experiment.seed)
    with determinism(training.deterministic), tf.device(device):
        run = _Run(experiment, model, prepared, Path(folder), device=device, quiet=quiet, keep_state=keep_state)
        return run.train(on_epoch, keras.callbacks.CallbackList(list(callbacks), model=model))


@dataclass
class _EpochRecord:
    """Epochs done, seconds and history."""

    epoch: int = 0
    seconds: float = 0.0
    history: dict[str, list[float]] = field(default_factory=dict)

    def add(self, row: dict[str, float]) -> None:
        self.epoch += 1
        self.seconds += row["seconds"]
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)


class _Run:
    """One run of ``fit``: its parts, joined."""

    def __init__(
        self,
        experiment: Experiment,
        model: keras.Model,
        prepared: Prepared,
        folder: Path,
        *,
        device: str,
        quiet: bool,
        keep_state: bool,
    ):
        training, spec = experiment.training, prepared.spec
        self.experiment, self.model, self.prepared, self.folder = experiment, model, prepared, folder
        self.device, self.group, self.keep_state = device, distribute.current_group(), keep_state
        self.mirrored = check_strategy(training, min(training.batch_size, len(prepared.index["train"])), self.group)
        self.keeps_best = experiment.training.keep == "best"
        self.steps = steps_per_epoch(prepared.index["train"], training.batch_size, shuffle=experiment.data.shuffle)
        self.show = TrainingProgress(training.epochs, self.steps, quiet=quiet or not self.group.chief)
        self._start_from_others()
        shares = class_shares(prepared, experiment.data)
        self.class_weights = chosen_weights(training, shares, spec)
        unequal = spec.task == "binary" and self.class_weights is None  # else nothing is left to make up for
        self.loss = make_loss(training, experiment.model, spec, positive_share=float(shares[1]) if unequal else 0.5)
        schedule = make_schedule(training, self.steps)
        self.replicas = Replicas(self.mirrored, training, schedule, model) if self.mirrored else None
        self.optimizer = self.replicas.optimizer if self.replicas else make_optimizer(training, model, schedule)
        self.scale = LossScale.choose(training, experiment.model, spec, prepared.series)
        self.validation = make_validation(experiment, model, prepared, self.loss, self.group, self.scale)
        self.monitor = MetricMonitor.choose(training.monitor, spec.task)
        checkpoints = folder / "checkpoints"
        self.best = Best(model, self.monitor, patience=training.patience, path=checkpoints / "best.weights.h5")
        waits = max(training.patience // 2, 1)
        self.plateau = Plateau(schedule, waits) if isinstance(schedule, PlateauSchedule) else None
        key = resume.run_key(experiment, prepared.series.fingerprint(), prepared.splits.fingerprint)
        self.backup = resume.Backup(checkpoints, key, seconds=training.backup_seconds, tell=self.show.tell)
        self.progress = _EpochRecord()

    # ---------------------------------------------------------------- the run

    def train(self, on_epoch: Stop | None, callbacks: keras.callbacks.CallbackList) -> FitResult:
        """All epochs; see ``fit``."""
        resumed_at = self._restore()
        self.show.done = resumed_at
        files = HistoryFile(self.folder / "history.csv")
        board = TensorBoard(self.folder / "tensorboard" if self._writes_board else None)
        if self.group.chief:
            files.begin(self.progress.history)
        loop = self._make_loop()
        self._tell_placement(loop)
        stopped, asked = "epochs", False
        self.model.stop_training = False
        callbacks.on_train_begin()
        with self.show, Interrupt(self.show.tell) as interrupt:
            while (why := self._finished(asked)) is None:
                row = self._epoch(loop, callbacks)
                if self.group.chief:
                    files.append(self.progress.epoch, row)
                    board.write(self.progress.epoch, row)
                stop = bool(on_epoch(self.progress.epoch, row)) if on_epoch else False
                asked, stop = self.group.any(interrupt.asked, stop or self.model.stop_training)
                self._keep(force=asked)
                if stop:
                    why = "callback"
                    break
            stopped = why
        board.close()
        loop.tracer.close()
        if self.keep_state:
            self._keep(force=True)
        self._take_best()
        callbacks.on_train_end()
        if stopped != "interrupted" and self.group.chief and not self.keep_state:
            self.backup.clear()
        return self._result(stopped, resumed_at)

    def _epoch(self, loop: Loop, callbacks: keras.callbacks.CallbackList) -> dict[str, float]:
        number, began = self.progress.epoch + 1, time.perf_counter()
        callbacks.on_epoch_begin(number - 1)
        self.show.start_epoch(number)
        at_once = min(self.experiment.training.steps_per_execution, self.steps)
        rate = float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))
        row = {"loss": loop.run(self.steps, at_once=at_once, advance=self.show.advance), "lr": rate}
        self.group.average_variables([v for v in self.model.non_trainable_variables if "float" in v.dtype])
        metrics = self.validation() if self.validation else {"loss": row["loss"]}
        metrics = json.loads(self.group.broadcast(json.dumps(metrics).encode()))  # the same decisions everywhere
        check_finite(self.experiment.training, number, row["loss"], metrics["loss"])
        self.monitor.check(metrics)
        if self.validation:
            row |= {f"val_{name}": value for name, value in metrics.items()}
        row["seconds"] = time.perf_counter() - began
        improved = self.best.update(number, metrics[self.monitor.name])
        if self.plateau:
            self.plateau.update(improved)
        self.progress.add(row)
        self.show.end_epoch(row, watched=self._watched(), best=improved)
        callbacks.on_epoch_end(number - 1, dict(row))
        return row

    def _finished(self, asked: bool) -> str | None:
        if self.keeps_best and self.best.exhausted:
            return "patience"
        if self.progress.epoch >= self.experiment.training.epochs:
            return "epochs"
        return "interrupted" if asked else None

    # ---------------------------------------------------------------- parts

    @property
    def _writes_board(self) -> bool:
        return self.experiment.tracking.tensorboard and self.group.chief

    def _tell_placement(self, loop: Loop) -> None:
        placed = describe_placement(
            self.model,
            self.experiment.training,
            device=self.device,
            plan=loop.plan,
            group=self.group,
            mirrored=self.mirrored,
        )
        for line in placed:
            self.show.tell(line)

    def _take_best(self) -> None:
        if self.keeps_best:
            if self.group.chief:
                self.best.write()
            self.best.restore_weights()

    def _start_from_others(self) -> None:
        training = self.experiment.training
        if training.warm_start:
            warm_start(self.model, load_source(training.warm_start))
        if training.freeze:
            freeze(self.model, training.freeze)

    def _make_loop(self) -> Loop:
        tracer = Tracer(*self.experiment.training.traced, self.folder / "tensorboard") if self.group.chief else None
        batches = make_batches(self.experiment, self.prepared, first_epoch=self.progress.epoch)
        spec, weights = self.prepared.spec, self.class_weights
        if self.replicas:
            return MirroredLoop(
                self.replicas, self.loss, batches, spec, class_weights=weights, tracer=tracer, scale=self.scale
            )
        return Loop(
            self.model,
            self.loss,
            self.optimizer,
            batches,
            spec,
            plan=choose_plan(self.experiment, self.model, self.prepared, gpu="GPU" in self.device),
            class_weights=weights,
            group=self.group,
            tracer=tracer,
            scale=self.scale,
        )

    def _watched(self) -> str:
        return f"val_{self.monitor.name}" if self.validation else "loss"

    # ---------------------------------------------------------------- state

    def _keep(self, *, force: bool) -> None:
        if not self.group.chief or not (force or self.backup.due()):
            return
        self.best.write()
        self.backup.save(self._state())

    def _state(self) -> resume.TrainingState:
        arrays = {
            "model": resume.values(self.model.variables),
            "optimizer": resume.values(self.optimizer.variables),
            "best": self.best.weights,
        }
        progress = {
            "history": self.progress.history,
            "seconds": self.progress.seconds,
            "best": self.best.state(),
            "plateau": self.plateau.state() if self.plateau else None,
        }
        return resume.TrainingState(self.progress.epoch, arrays, progress)

    def _restore(self) -> int:
        """Restore the chief's saved state, if there is one; number of epochs it has done."""
        self.group.check_same(self.backup.key)
        state = self._load() if self.group.chief else None
        if self.group.size > 1:  # also without a saved state: all begin with the chief's weights
            packed = resume.pack(state or self._state(), self.backup.key) if self.group.chief else b""
            state = resume.unpack(self.group.broadcast(packed))
        if state is not None:
            self._take(state)
            if state.epoch:
                self.show.tell(f"Going on after epoch {state.epoch} of an interrupted run.")
        self.group.spread_seeds(self.model.variables)
        if self.replicas:
            self.replicas.push()
        return state.epoch if state else 0

    def _load(self) -> resume.TrainingState | None:
        """The newest saved state that fits."""
        state = self.backup.load() if self.experiment.training.resume else None
        variables = {"model": self.model.variables, "optimizer": self.optimizer.variables}
        if state and not all(resume.fits(group, state.arrays.get(name, [])) for name, group in variables.items()):
            self.show.tell("The saved state is of a model with other layers; starting from the beginning.")
            state = None
        if state is None:
            self.backup.clear()
        return state

    def _take(self, state: resume.TrainingState) -> None:
        resume.assign(self.model.variables, state.arrays["model"])
        resume.assign(self.optimizer.variables, state.arrays["optimizer"])
        self.progress = _EpochRecord(state.epoch, state.progress["seconds"], state.progress["history"])
        self.best.restore(state.progress["best"], state.arrays.get("best", []))
        if self.plateau and state.progress["plateau"]:
            self.plateau.restore(state.progress["plateau"])

    def _result(self, stopped: str, resumed_at: int) -> FitResult:
        return FitResult(
            history=self.progress.history,
            best_epoch=self.best.epoch if self.keeps_best else self.progress.epoch,
            seconds=self.progress.seconds,
            device=describe_device(self.device),
            stopped=stopped,
            resumed_at=resumed_at,
            monitor=self._watched(),
        )
