from __future__ import annotations

import csv
import os
import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_seq.errors import ConfigError, DataError, OutputError
from keras_seq.training.callbacks import Best, HistoryFile, Interrupt, TensorBoard
from keras_seq.training.monitors import MetricMonitor

LOSS, AUC = MetricMonitor("loss", False), MetricMonitor("auc_pr", True)


@pytest.fixture
def model() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def shift(model: keras.Model) -> None:
    model.set_weights([weights + 1 for weights in model.get_weights()])


def test_best_keeps_the_weights_of_the_best_epoch(model: keras.Model, tmp_path: Path) -> None:
    best = Best(model, LOSS, patience=2, path=tmp_path / "c" / "best.weights.h5")
    assert best.update(1, 0.5)
    kept = model.get_weights()
    shift(model)
    assert not best.update(2, 0.5) and not best.exhausted
    assert not best.update(3, float("nan")) and best.exhausted
    late = model.get_weights()
    best.write()
    assert all((a == b).all() for a, b in zip(model.get_weights(), late, strict=True))  # writing changes nothing
    best.restore_weights()
    assert all((a == b).all() for a, b in zip(model.get_weights(), kept, strict=True))
    shift(model)
    model.load_weights(best.path)
    assert all((a == b).all() for a, b in zip(model.get_weights(), kept, strict=True))
    assert [path.name for path in best.path.parent.iterdir()] == ["best.weights.h5"]


def test_best_goes_on_from_its_state(model: keras.Model, tmp_path: Path) -> None:
    best = Best(model, AUC, patience=3, path=tmp_path / "best.weights.h5")
    best.update(1, 0.6)
    best.update(2, 0.5)
    again = Best(model, AUC, patience=3, path=tmp_path / "best.weights.h5")
    again.restore(best.state(), best.weights)
    assert again.state() == {"value": 0.6, "epoch": 1, "waited": 1}
    assert again.update(3, 0.7) and again.epoch == 3


def test_a_monitor_is_chosen_by_task() -> None:
    assert MetricMonitor.choose("auto", "binary") == AUC
    assert MetricMonitor.choose("auto", "forecast") == LOSS
    assert MetricMonitor.choose("val_f1", "multiclass") == MetricMonitor("f1", True)
    with pytest.raises(ConfigError, match="'rmsee', which a regression task does not have; did you mean 'rmse'"):
        MetricMonitor.choose("rmsee", "regression")


def test_an_undefined_monitor_is_refused() -> None:
    with pytest.raises(DataError, match="'auc_pr' is not defined on the validation part"):
        AUC.check({"loss": 0.3, "auc_pr": float("nan")})


def test_history_is_readable_while_it_grows_and_begins_where_a_state_ends(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "history.csv")
    file.begin({})
    for epoch in (1, 2, 3):
        file.append(epoch, {"loss": 1 / epoch, "val_loss": 0.5})
    again = HistoryFile(tmp_path / "history.csv")
    again.begin({"loss": [1.0, 0.5], "val_loss": [0.5, 0.5]})
    again.append(3, {"loss": 0.25, "val_loss": 0.4})
    with open(tmp_path / "history.csv", newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["loss"]) for row in rows] == [1.0, 0.5, 0.25]


def test_history_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"history.*file/history\.csv"):
        HistoryFile(tmp_path / "file" / "history.csv").append(1, {"loss": 1.0})


def test_tensorboard_gets_every_epoch(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoard(tmp_path)
    board.write(1, {"val_loss": 0.5})
    board.write(2, {"val_loss": 0.25})
    board.close()
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload().Tensors("val_loss")
    found = [(event.step, float(np.frombuffer(event.tensor_proto.tensor_content, "f")[0])) for event in events]
    assert found == [(1, 0.5), (2, 0.25)]
    assert not TensorBoard(None).write(1, {"loss": 1.0})


def test_the_first_interrupt_asks_and_the_second_stops() -> None:
    said: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with Interrupt(said.append) as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked and "Stopping after this epoch" in said[0]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
