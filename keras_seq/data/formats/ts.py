"""Files ``.ts`` of sktime and aeon: cases with a class or a number to predict, of one or several dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seq.data.formats.cases import case_batches
from keras_seq.data.formats.registry import TableFormat, register
from keras_seq.data.formats.ts_cases import open_ts
from keras_seq.data.reading.reading import Reading

if TYPE_CHECKING:
    import pyarrow as pa


@register(TableFormat("ts", "a .ts file", (".ts",)))
def read_ts(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """A row a step of every case, case by case; classes in the header's order."""
    header, cases = open_ts(path)
    first = next(cases)
    count = first.values.shape[1]
    yield from case_batches(
        ((case.values, case.label, case.stamps) for case in itertools.chain([first], cases)),
        ["value"] if count == 1 else [f"dim_{i}" for i in range(1, count + 1)],
        classes=header.classes,
        labelled=header.values or header.classes is not None,
        stamped=header.stamped,
    )
