from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_seq.config import TrainingConfig
from keras_seq.training.schedules import Plateau, PlateauSchedule, WarmupSchedule, make_schedule


def rates(schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int) -> np.ndarray:
    return np.array([float(schedule(step)) for step in range(steps)])


def test_constant() -> None:
    assert rates(make_schedule(TrainingConfig(learning_rate=0.01), 5), 3) == pytest.approx(0.01)


def test_warmup_rises_evenly_to_the_peak() -> None:
    found = rates(make_schedule(TrainingConfig(learning_rate=0.01, warmup=2), 2), 6)
    assert found == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01])


def test_cosine_falls_from_the_peak_to_the_floor() -> None:
    schedule = make_schedule(TrainingConfig(learning_rate=1.0, schedule="cosine", warmup=1, epochs=5), 10)
    found = rates(schedule, 52)
    assert found.argmax() in (9, 10) and found.max() == pytest.approx(1.0)
    assert found[30] == pytest.approx(0.01 + 0.99 * 0.5, rel=1e-3)
    assert (np.diff(found[10:]) <= 1e-9).all() and found[50:] == pytest.approx(0.01)


def test_plateau_halves_after_patience_and_goes_on_from_its_state() -> None:
    schedule = PlateauSchedule(0.01, warmup_steps=2)
    plateau = Plateau(schedule, patience=2)
    for improved in (True, False, True, False):
        plateau.update(improved)
    assert plateau.factor == 1.0
    plateau.update(False)
    assert rates(schedule, 3) == pytest.approx([0.0025, 0.005, 0.005])

    again = Plateau(PlateauSchedule(0.01), patience=2)
    again.restore(plateau.state())
    assert again.factor == 0.5 and again.state() == plateau.state()
    for _ in range(40):
        again.update(False)
    assert again.factor == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", [WarmupSchedule(0.1, warmup_steps=3, cosine_steps=9), PlateauSchedule(0.1)])
def test_configuration_survives(schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert rates(again, 10) == pytest.approx(rates(schedule, 10))
