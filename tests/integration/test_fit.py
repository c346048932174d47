"""``fit`` on small learnable problems, through the real pipeline and models."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_seq.config import Experiment, from_dict, override
from keras_seq.data.pipeline import make_dataset
from keras_seq.data.prepare import Prepared, prepare_series
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.errors import ConfigError, DataError, ModelError, TrainingError
from keras_seq.models.build import build_model
from keras_seq.training.class_weights import class_shares, class_weights
from keras_seq.training.compiled import XlaPlan, plan_step
from keras_seq.training.device import session
from keras_seq.training.fit import FitResult, fit
from keras_seq.training.loop import Loop, make_optimizer
from keras_seq.training.losses import make_loss
from keras_seq.training.schedules import make_schedule
from tests.factories.tiers import tiers

BASE: dict[str, Any] = {
    "data": {"source": "table", "windows": {"length": 12}, "bucket": 12},
    "model": {"family": "lstm", "units": 8, "layers": 1, "dropout": 0.0, "hidden_dims": []},
    "training": {"epochs": 3, "batch_size": 16, "learning_rate": 0.02, "jit": False, "backup_seconds": 0},
}


def experiment(**changes: Any) -> Experiment:
    return from_dict(override(BASE, {key.replace("__", "."): value for key, value in changes.items()}))


def make_series(task: str, *, units: int = 120, seed: int = 0) -> Series:
    """Units whose first channel's mean is the answer."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=units)
    values = [rng.normal(level[u], 0.3, (rng.integers(6, 13), 1)) * [10.0] + [50.0] for u in range(units)]
    values = [np.concatenate([block, rng.normal(size=block.shape)], axis=1) for block in values]
    schema = Schema(
        name="small",
        task=task,  # type: ignore[arg-type]
        columns=(Column(name="a"), Column(name="b")),
        targets=("y",),
        target_per="step" if task == "forecast" else "unit",
        classes={"binary": ("no", "yes"), "multiclass": ("low", "mid", "high")}.get(task, ()),
    )
    targets = {
        "regression": 100 + 20 * level,
        "binary": (level > 0.8).astype(float),
        "multiclass": np.digitize(level, (-0.5, 0.5)).astype(float),
    }
    if task == "forecast":
        return build_series(schema, values, [block[:, :1] for block in values])
    return build_series(schema, values, targets[task][:, None])


FOR_FIT = ("on_epoch", "callbacks", "keep_state")


def run(
    task: str, folder: Path, *, series: Series | None = None, **changes: Any
) -> tuple[FitResult, keras.Model, Prepared, Experiment]:
    chosen = experiment(**{key: value for key, value in changes.items() if key not in FOR_FIT})
    prepared = prepare_series(series or make_series(task), chosen.data)
    with session(chosen.training, seed=chosen.seed):
        model = build_model(chosen.model, prepared.spec)
        extra = {key: changes[key] for key in FOR_FIT if key in changes}
        return fit(chosen, model, prepared, folder, quiet=True, **extra), model, prepared, chosen


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("regression", {}),
        ("regression", {"model__quantiles": [0.1, 0.5, 0.9], "training__schedule": "plateau"}),
        ("binary", {"training__class_weight": "balanced", "training__schedule": "cosine", "training__warmup": 1}),
        ("multiclass", {"training__loss": "focal", "training__optimizer": "adam"}),
        ("forecast", {"data__windows__horizon": 2, "data__windows__mode": "sliding", "data__windows__length": 4}),
    ],
)
def test_learns_every_task(task: str, changes: dict[str, Any], tmp_path: Path) -> None:
    result, *_ = run(task, tmp_path, training__epochs=6, **changes)
    assert result.stopped == "epochs" and len(result.history["loss"]) == 6
    assert result.history["val_loss"][-1] < 0.8 * result.history["val_loss"][0]
    with open(tmp_path / "history.csv", newline="") as text:
        rows = list(csv.DictReader(text))
    assert [float(row["val_loss"]) for row in rows] == pytest.approx(result.history["val_loss"], rel=1e-6)


def test_ends_with_the_best_weights_and_no_state(tmp_path: Path) -> None:
    result, model, prepared, chosen = run("regression", tmp_path, training__learning_rate=0.3, training__epochs=6)
    assert result.best_epoch == 1 + int(np.argmin(result.history["val_loss"]))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.weights.h5"]
    other = build_model(chosen.model, prepared.spec)
    other.load_weights(tmp_path / "checkpoints" / "best.weights.h5")
    assert all((a == b).all() for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_stops_when_patience_ends(tmp_path: Path) -> None:
    result, *_ = run("regression", tmp_path, training__epochs=50, training__patience=2, training__learning_rate=0.5)
    epochs = len(result.history["loss"])
    assert result.stopped == "patience" and epochs == result.best_epoch + 2 < 50


def test_callbacks_are_told_of_epochs_and_can_stop(tmp_path: Path) -> None:
    seen: list[int] = []

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            seen.append(epoch)
            self.model.stop_training = epoch == 1

    assert run("regression", tmp_path / "a", callbacks=[Keep()])[0].stopped == "callback"
    assert seen == [0, 1]
    result, *_ = run("regression", tmp_path / "b", on_epoch=lambda epoch, row: row["val_loss"] > 0)
    assert result.stopped == "callback" and len(result.history["loss"]) == 1


def test_interrupt_ends_after_the_epoch_and_the_same_command_goes_on(tmp_path: Path) -> None:
    result, *_ = run("regression", tmp_path, on_epoch=lambda epoch, row: os.kill(os.getpid(), signal.SIGINT))
    assert result.stopped == "interrupted" and len(result.history["loss"]) == 1
    again, *_ = run("regression", tmp_path)
    assert again.resumed_at == 1 and len(again.history["loss"]) == 3 and again.stopped == "epochs"
    undisturbed, *_ = run("regression", tmp_path / "other")
    assert again.history["val_loss"] == pytest.approx(undisturbed.history["val_loss"], rel=1e-4)


def test_steps_per_execution_does_not_change_the_result(tmp_path: Path) -> None:
    losses = [
        run("regression", tmp_path / str(steps), training__steps_per_execution=steps)[0].history["loss"]
        for steps in (1, 4)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_a_loss_that_is_no_number_is_explained(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"In epoch 1 the loss became .*training\.learning_rate \(now 1e\+30\)"):
        run("regression", tmp_path, training__learning_rate=1e30, training__loss="mse")


def test_an_undefined_monitor_is_refused(tmp_path: Path) -> None:
    series = make_series("regression")
    series.targets[:] = 5.0
    with pytest.raises((DataError, ConfigError)):
        run("regression", tmp_path, series=series, training__monitor="r2")


@pytest.mark.slow
def test_warm_start_and_freeze(tmp_path: Path) -> None:
    _, source, *_ = run("regression", tmp_path / "a")
    source.save(tmp_path / "model.keras")
    _, model, *_ = run(
        "regression",
        tmp_path / "b",
        training__warm_start=str(tmp_path),
        training__freeze=["*lstm*"],
        training__epochs=1,
    )
    name = next(layer.name for layer in source.layers if "lstm" in layer.name)
    pairs = zip(model.get_layer(name).get_weights(), source.get_layer(name).get_weights(), strict=True)
    assert all((a == b).all() for a, b in pairs)
    with pytest.raises(ModelError, match="no model at"):
        run("regression", tmp_path / "c", training__warm_start=str(tmp_path / "missing"))


@pytest.mark.parametrize("precision", tiers(["float16", "bfloat16"], quick=["float16"], slow=["bfloat16"]))
def test_mixed_precision_learns(precision: str, tmp_path: Path) -> None:
    result, *_ = run("regression", tmp_path, training__mixed_precision=precision, training__epochs=5)
    assert result.history["val_loss"][-1] < 0.9 * result.history["val_loss"][0]


def test_classes_count_alike_once() -> None:
    chosen = experiment()
    prepared = prepare_series(make_series("binary"), chosen.data)
    shares = class_shares(prepared, chosen.data)
    labels = prepared.series.targets[prepared.index["train"].unit, 0]
    assert shares == pytest.approx([1 - labels.mean(), labels.mean()])
    weights = class_weights(shares, "binary")
    assert weights[0] * shares[0] == pytest.approx(weights[1] * shares[1]) == pytest.approx(0.5)
    fed_alike = experiment(data__balance="oversample")
    assert class_shares(prepared, fed_alike.data).tolist() == [0.5, 0.5]
    with pytest.raises(ConfigError, match="has no classes"):
        class_weights(np.zeros(0), "regression")


def test_xla_is_used_where_it_pays() -> None:
    prepared = prepare_series(make_series("regression"), experiment().data)
    spec = prepared.spec.model_copy(update={"time": 500, "variable_length": True})
    many, few = np.full(6400, 300), np.arange(50, 500, 2)

    def chosen(lengths: np.ndarray, *, gpu: bool = False, family: str = "lstm", **changes: Any) -> XlaPlan:
        config = experiment(**{"training__jit": True, "training__epochs": 40, "model__family": family, **changes})
        model = build_model(config.model, spec, fast_lstm=config.training.fast_lstm)
        return plan_step(config.training, model, spec, lengths, bucket=50, gpu=gpu, threads=4)

    nothing, whole = XlaPlan(), XlaPlan(jit=True)
    assert chosen(many) == whole and chosen(few) == nothing
    assert chosen(many, family="gru") == whole and chosen(many, family="gru", training__fast_lstm=False) == nothing
    assert chosen(many, training__jit=False) == chosen(many, training__deterministic=True) == nothing
    assert chosen(many, family="cnn_lstm") == chosen(many, family="transformer") == nothing
    assert chosen(many, family="attention_lstm", model__units=8, model__heads=2) == XlaPlan(loops=4)
    assert chosen(few, family="attention_lstm", model__units=8, model__heads=2) == nothing
    assert chosen(few, family="tcn", gpu=True) == whole


def test_large_batches_are_cut_in_parts() -> None:
    spec = prepare_series(make_series("regression"), experiment().data).spec.model_copy(update={"time": 500})

    def parts(batch: int, threads: int, windows: int = 64_000, **changes: Any) -> int:
        config = experiment(training__jit=True, training__epochs=400, training__batch_size=batch, **changes)
        model = build_model(config.model, spec)
        lengths = np.full(windows, 500)
        return plan_step(config.training, model, spec, lengths, bucket=50, gpu=False, threads=threads).parts

    assert [parts(256, 2), parts(256, 16), parts(64, 8), parts(63, 8), parts(256, 1)] == [2, 8, 2, 1, 1]
    assert parts(256, 8, windows=100) == 3  # a batch holds no more than there is
    assert parts(256, 2, model__normalisation="batch") == 1


@pytest.mark.parametrize("family", tiers(["lstm", "gru"], quick=["lstm"], slow=["gru"]))
def test_the_compiled_step_is_the_same_step(family: str) -> None:
    chosen = experiment(model__family=family)
    prepared = prepare_series(make_series("regression"), chosen.data)
    losses = []
    for jit in (False, True):
        with session(chosen.training, seed=1):
            model = build_model(chosen.model, prepared.spec)
            optimizer = make_optimizer(chosen.training, model, make_schedule(chosen.training, 5))
            loss = make_loss(chosen.training, chosen.model, prepared.spec)
            batches = make_dataset(
                prepared.series, prepared.index["train"], prepared.spec, chosen.data, batch_size=16, training=True
            )
            loop = Loop(model, loss, optimizer, batches, prepared.spec, plan=XlaPlan(jit=jit))
            losses.append([loop.run(2, at_once=2), loop.run(3, at_once=2)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
