"""Predictions from a file in a process of its own, for checks that must survive a crash of the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_seq.runtime.predictor import load


def predict(model: str, inputs: str, out: str, engine: str = "") -> dict[str, list[str]]:
    """Run a file on every named set of inputs.

    Args:
        model: the file.
        inputs: ``.npz`` with ``NAME/values`` and, for a file of variable length, ``NAME/lengths``.
        out: ``.npz`` to write: ``NAME/ANSWER``.
        engine: see ``load``.

    Returns:
        The answers' names by set.
    """
    predictor = load(model, engine=engine)
    with np.load(inputs) as stored:
        arrays_in = dict(stored)
    names = sorted({key.partition("/")[0] for key in arrays_in})
    answers = {name: predictor.predict(arrays_in[f"{name}/values"], arrays_in.get(f"{name}/lengths")) for name in names}
    arrays = {f"{name}/{key}": value for name, named in answers.items() for key, value in named.items()}
    with Path(out).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return {name: sorted(named) for name, named in answers.items()}
