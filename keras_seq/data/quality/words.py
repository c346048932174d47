"""Words of columns of categories: those that the train part does not hold."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.quality.report import Finding, listed
from keras_seq.data.series import Column
from keras_seq.data.words import OTHER


def word_at(column: Column, code: float) -> str:
    """The word of a code."""
    number = int(code)
    return column.vocabulary[number - 1] if 0 < number <= len(column.vocabulary) else OTHER


def words_not_in_train(column: Column, train: NDArray[np.int64], other: NDArray[np.int64], name: str) -> list[Finding]:
    """Words of a part that train lacks.

    Args:
        column: of words.
        train: rows of the train part by code.
        other: rows of the other part by code.
        name: of the other part.
    """
    new = np.flatnonzero((train == 0) & (other > 0))
    new = new[new > 0]
    if not len(new):
        return []
    words = listed(column.vocabulary[code - 1] for code in new)
    message = f"holds {words} in {int(other[new].sum())} of {int(other.sum())} rows of the {name} part and never in "
    message += f"train: they count as {OTHER}"
    return [Finding("warning", "new words", message, column=column.name, count=len(new))]


def count_codes(column: Column, pieces: Iterable[NDArray[np.float32]]) -> NDArray[np.int64]:
    """Rows by code ``(words + 1,)`` of the pieces of a column."""
    size = len(column.vocabulary) + 1
    zeros = np.zeros(size, np.int64)
    return sum((np.bincount(np.nan_to_num(codes).astype(np.int64), minlength=size) for codes in pieces), zeros)
