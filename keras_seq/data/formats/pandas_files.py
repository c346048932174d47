"""Files of Stata and SAS, by pandas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq.data.formats.registry import TableFormat, register
from keras_seq.data.reading.reading import Reading

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BATCH = 2**16


@register(TableFormat("statistics", "a file of Stata or SAS", (".dta", ".sas7bdat", ".xpt")))
def read_statistics(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Numbers as float64, value labels as texts."""
    import pandas as pd
    import pyarrow as pa

    readers: dict[str, Any] = {".dta": pd.read_stata}
    options: dict[str, Any] = {} if path.suffix.lower() == ".dta" else {"encoding": "utf-8"}
    with readers.get(path.suffix.lower(), pd.read_sas)(path, chunksize=BATCH, **options) as chunks:
        for chunk in chunks:
            yield pa.RecordBatch.from_pydict({str(name): _column(chunk[name]) for name in chunk})


def _column(values: pd.Series) -> pa.Array:
    """A column as Arrow has it, of the same type in every chunk."""
    import pandas as pd
    import pyarrow as pa

    if pd.api.types.is_datetime64_any_dtype(values):
        return pa.array(values, pa.timestamp("us"))
    if pd.api.types.is_numeric_dtype(values):
        return pa.array(values.to_numpy("float64"), from_pandas=True)
    return pa.array([None if pd.isna(value) or value == "" else str(value) for value in values], pa.string())
