"""Words of the train part, and a scaling that leaves their codes alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from keras_seq.data.series import Series
from keras_seq.data.spec import Scaling, WordColumn


def train_words(series: Series, rows: Iterable[tuple[int, int]]) -> tuple[WordColumn, ...]:
    """The columns of words, with the codes that the rows ``[low, high)`` of train hold."""
    places = {j: column for j, column in enumerate(series.schema.columns) if column.kind == "category"}
    if not places:
        return ()
    counts = {j: np.zeros(len(column.vocabulary) + 1, np.int64) for j, column in places.items()}
    for low, high in rows:
        values = np.asarray(series.values[low:high])
        for j, count in counts.items():
            codes = np.nan_to_num(values[:, j]).astype(np.int64)
            count += np.bincount(codes, minlength=len(count))
    return tuple(
        WordColumn(
            feature=j,
            vocabulary=column.vocabulary,
            seen=tuple(int(code) for code in np.flatnonzero(counts[j]) if code),
        )
        for j, column in places.items()
    )


def leave_codes(scaling: Scaling, places: Sequence[int]) -> Scaling:
    """The scaling with columns of codes at centre 0, scale 1, fill 0, none of them constant."""
    if not places:
        return scaling

    def rewritten(rows: tuple[tuple[float, ...], ...], value: float) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(value if j in places else number for j, number in enumerate(row)) for row in rows)

    constant = tuple(tuple(flag and j not in places for j, flag in enumerate(row)) for row in scaling.constant)
    return scaling.model_copy(
        update={
            "center": rewritten(scaling.center, 0.0),
            "scale": rewritten(scaling.scale, 1.0),
            "fill": rewritten((scaling.fill,), 0.0)[0],
            "constant": constant if any(map(any, constant)) else (),
        }
    )
