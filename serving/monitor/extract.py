"""Rows and answers out of calls, whatever model gave them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.export.reference import ROLLING, TrainingReference, name_columns, rows_of
from keras_seq.export.word_codes import codes_of
from serving.models.servable import Arrays
from serving.observers import ObservedCall

Float = NDArray[np.float32]
COLUMNS = 64  # most columns of a version without a reference


@dataclass(frozen=True)
class ObservedRows:
    """Input and answer rows of one call.

    Attributes:
        columns: names of the columns of ``rows``.
        rows: ``(batch, columns)``; None if its inputs cannot be read (serialized examples, other features).
        answer_columns: likewise of ``answers``.
        answers: ``(batch, answers)`` or None.
    """

    columns: tuple[str, ...]
    rows: Float | None
    answer_columns: tuple[str, ...]
    answers: Float | None


def read_call(call: ObservedCall, reference: TrainingReference | None) -> ObservedRows:
    """Rows as the reference has them; without one the newest step of every numeric input and every numeric output."""
    if reference is None:
        columns, rows = _generic(call.inputs)
        answer_columns, answers = _generic(call.outputs)
        return ObservedRows(columns, rows, answer_columns, answers)
    single = call.signature == "step" and reference.views != ROLLING  # a step is no whole window
    rows = None if single else _rows(call.inputs, reference)
    answers = None if single else _answers(call.outputs, reference)
    return ObservedRows(reference.columns, rows, reference.answer_columns, answers)


def _rows(inputs: Arrays, reference: TrainingReference) -> Float | None:
    wanted = len(reference.features)
    names = ["values"] if "values" in inputs else [name for name in inputs if name != "lengths"]
    for name in names:
        value = inputs[name]
        if value.dtype.kind in "fiu" and value.ndim in (2, 3) and value.shape[-1] == wanted and value.size:
            lengths = inputs.get("lengths")
            value = _with_codes(value, inputs.get("words"), reference)
            usable = lengths is not None and lengths.dtype.kind in "iu" and lengths.size == len(value)
            return rows_of(value, lengths if usable and value.ndim == 3 else None, reference.views)
    return None


def _with_codes(values: np.ndarray, words: np.ndarray | None, reference: TrainingReference) -> np.ndarray:
    """Values with the codes of texts that came beside them (signature ``serving_words``)."""
    vocabularies = {int(place): column for place, column in dict(reference.facts.get("words") or {}).items()}
    if words is None or words.shape != (*values.shape[:-1], len(vocabularies)):
        return values
    values = values.astype(np.float32)
    for place, codes in codes_of(words, vocabularies).items():
        values[..., place] = codes
    return values


def _answers(outputs: Arrays, reference: TrainingReference) -> Float | None:
    value = outputs.get(reference.answer)
    if value is None and reference.answer == "prediction":
        value = outputs.get("outputs")  # of the regress signature
    if value is None and "scores" in outputs:  # of the classify signature
        scores = outputs["scores"]
        value = scores[..., 1:] if reference.answer == "probability" else scores
    if value is None or value.dtype.kind not in "fiu" or value.ndim == 0 or not value.size:
        return None
    flat = value.reshape(len(value), -1)
    if flat.shape[1] <= max(reference.picked):
        return None
    return flat[:, list(reference.picked)].astype(np.float32)


def _generic(arrays: Arrays) -> tuple[tuple[str, ...], Float | None]:
    names, parts, batch = list[str](), list[Float](), None
    for name in sorted(arrays):
        value = arrays[name]
        if (
            value.dtype.kind not in "fiu"
            or value.ndim == 0
            or not value.size
            or (batch is not None and len(value) != batch)
        ):
            continue
        batch = len(value)
        if value.ndim >= 3 and value.shape[1]:
            value = value[:, -1]
        flat = value.reshape(batch, -1)[:, : COLUMNS - len(names)].astype(np.float32)
        names += [name] if flat.shape[1] == 1 else [f"{name} {k}" for k in range(flat.shape[1])]
        parts.append(flat)
    return name_columns(names, ROLLING), np.concatenate(parts, axis=1) if parts and names else None
