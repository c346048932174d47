"""Column that says of each unit whether it is train, validation or test (``data.part``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.unit_column import first_change
from keras_seq.errors import DataError

PART_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def unit_parts(
    codes: NDArray[np.int32] | None,
    texts: Sequence[str],
    offsets: NDArray[np.int64],
    units: Sequence[str],
    file_row: Callable[[int], int],
) -> NDArray[np.str_]:
    """Part of each unit ``(units,)``, "" where the table has no such column.

    Args:
        codes: number of the text in each row ``(rows,)``, rows by unit; None: no such column.
        texts: the texts by number.
        offsets: of the units.
        units: their ids, for messages.
        file_row: data row in the file, from 1, of a row.

    Raises:
        DataError: a text is no part, or a unit has two.
    """
    if codes is None:
        return np.array([""] * len(units))
    words = [PART_WORDS.get(text.strip().lower()) for text in texts]
    if None in words:
        raise DataError(
            f"The part column (data.part) holds '{texts[words.index(None)]}'; a unit is 'train', 'validation' or "
            "'test'. Mend the value, or leave data.part out."
        )
    first = codes[offsets[:-1]]
    if change := first_change(codes, offsets):
        row, unit = change
        raise DataError(
            f"Unit '{units[unit]}' is of part '{texts[first[unit]]}' and, in data row {file_row(row)}, of "
            f"'{texts[codes[row]]}'; a unit has one part (data.part)."
        )
    return np.array(words, str)[first]
