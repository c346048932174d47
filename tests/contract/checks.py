"""What every model keeps, a network or a family that is fitted: checks of one case (``conftest.Case``)."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from keras_seq.models import last_step
from tests.contract.conftest import LENGTHS, OUTPUTS, TIME, Case


def check_answers(case: Case) -> None:
    """An answer a sequence: finite float32, not the same for all."""
    assert case.answers.shape[0] == len(LENGTHS)
    assert case.answers.dtype == np.float32
    assert np.isfinite(case.answers).all()
    assert len(np.unique(case.answers[LENGTHS > 0].round(4))) > 1


def check_shape(case: Case) -> None:
    name, shape = OUTPUTS[case.task]
    assert case.model.layers[-1].name == name
    assert {t.name: t.shape for t in case.model.inputs} == {"values": (None, None, 3), "lengths": (None,)}
    assert case.answers.shape == (len(LENGTHS), *shape)
    check_answers(case)


def check_padding(case: Case) -> None:
    """Neither the amount nor the content of padding shows in an answer."""
    content = np.resize(np.float32([np.nan, np.inf, -999.0, 1e20, 0.0]), (len(LENGTHS), TIME + 5, 3))
    for row, length in enumerate(LENGTHS):
        content[row, :length] = case.inputs["values"][row, :length]
    case.same(case.predict({"values": content, "lengths": LENGTHS}))


def check_batch_and_time(case: Case) -> None:
    """A sequence alone, without any padding, is answered as in the batch."""
    row, length = 1, int(LENGTHS[1])
    alone = {"values": case.inputs["values"][row : row + 1, :length], "lengths": LENGTHS[row : row + 1]}
    case.same(case.predict(alone), [row])


def check_saved(case: Case, folder: Path, *, tolerance: float = 0.0) -> None:
    case.model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(np.asarray(loaded(case.inputs)), case.answers, rtol=0, atol=tolerance)


def check_future(case: Case) -> None:
    """An answer at a step does not know what follows."""
    changed = case.inputs["values"].copy()
    changed[0, 8:] += 100
    later = case.predict({**case.inputs, "values": changed})
    np.testing.assert_allclose(later[0, :8], case.answers[0, :8], rtol=0, atol=case.tolerance)
    assert np.abs(later[0, 8:] - case.answers[0, 8:]).max() > 1e-3


def check_last_step(case: Case) -> None:
    last = np.asarray(last_step(case.model)(case.inputs))
    assert last.shape == (len(LENGTHS), 1)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(last[row], case.answers[row, length - 1] if length else 0.0, rtol=1e-6)
