"""Table files in batches of typed columns, as a ``Reading`` says; a fault names file, line and column.

CSV goes through Arrow's streaming reader: rows become typed columns block by block, so that neither text nor Python
objects of a whole file are ever in memory, and a line with too few columns is refused instead of being filled up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.formats.converted import is_text, parquet_of
from keras_seq.data.formats.roles import Roles, roles_of
from keras_seq.data.reading import faults, joined_time
from keras_seq.data.reading.dialect import csv_names, trailing_names
from keras_seq.data.reading.numbers import to_numbers
from keras_seq.data.reading.quotes import CheckedBytes
from keras_seq.data.reading.reading import Kind, Reading
from keras_seq.data.reading.stream import PlainText, count_lines, header_line, is_plain
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv, parquet

BLOCK = 2**20  # bytes of CSV turned into columns at once; Arrow reads up to 32 blocks ahead
WIDEST = 32  # bytes of a field, at which a line of many columns still fits into a block
ROW_NAME = "\x00row"  # stands for the names of rows among Arrow's columns


def is_typed(path: Path, reading: Reading | None = None) -> bool:
    """Whether the file gives its columns types: Parquet, or a format or shape that is converted to it."""
    return not is_text(path, reading)


def column_names(path: Path, reading: Reading) -> list[str]:
    """Names of the columns, in file order, and of the joined time; columns at the end without a name are left out.

    Raises:
        DataError: the file is missing, empty, not readable, without a header or with a doubled name.
    """
    check_file(path)
    if is_typed(path, reading):
        names = list(_parquet(path, reading).schema_arrow.names)
    else:
        names = csv_names(path, reading)
        names = names[: len(names) - trailing_names(names)]
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        places = [i + 1 for i, name in enumerate(names) if name == doubled[0]]
        raise DataError(f"File '{path}' names column '{doubled[0]}' twice (columns {places}); rename one of them.")
    joined = joined_time.joined_name(reading)
    return [*names, joined] if joined and all(name in names for name in reading.time_parts) else names


def check_file(path: Path) -> None:
    """Refuse what is no file, or an empty one; a folder is one where a format reads folders."""
    if not path.is_file() and is_typed(path):
        return
    if not path.is_file():
        what = "is a folder without tables" if path.is_dir() else "does not exist"
        raise DataError(f"File '{path}' {what}; data.path must name a table file, such as CSV, Parquet or Excel.")
    if path.stat().st_size == 0:
        raise DataError(f"File '{path}' is empty; it needs a header line and rows.")


def row_bound(path: Path, reading: Reading) -> int:
    """At least as many rows as the file has (exact but for blank lines and quoted line ends)."""
    typed = is_typed(path, reading)
    return int(_parquet(path, reading).metadata.num_rows) if typed else count_lines(path, reading.member)


def column_roles(path: Path, reading: Reading) -> Roles:
    """The parts that the file itself gives to its columns."""
    return roles_of(_parquet(path, reading).schema_arrow) if is_typed(path, reading) else Roles()


def column_types(path: Path, reading: Reading) -> dict[str, pa.DataType]:
    """Arrow types of the columns of a file that has them; dictionaries by what they hold."""
    import pyarrow as pa

    types = {field.name: field.type for field in _parquet(path, reading).schema_arrow}
    return {name: kind.value_type if pa.types.is_dictionary(kind) else kind for name, kind in types.items()}


def read_batches(
    path: Path,
    kinds: dict[str, Kind],
    reading: Reading,
    *,
    rows: int = 65536,
    block: int | None = None,
    span: tuple[int, int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Record batches with the columns ``kinds`` in their order: float64 numbers and clocks, booleans, text, dates.

    Numbers that stand for a missing value are null, as are empty texts.

    Args:
        path: table file.
        kinds: what to read each column as; dates come as text from CSV and as timestamps where they have that type.
        reading: how the file is written.
        rows: batch size for Parquet (CSV batches are blocks of bytes).
        block: bytes of a CSV block; None: ``BLOCK``.
        span: bytes ``[low, high)`` of a plain CSV, both at the start of a line, or row groups of a Parquet file.

    Raises:
        DataError: a line has another number of columns, or a value is not of its kind.
    """
    if reading.time_parts and joined_time.joined_name(reading) in kinds:
        parts = joined_time.part_kinds(kinds, reading)
        for batch in read_batches(path, parts, reading, rows=rows, block=block, span=span):
            yield joined_time.with_joined(batch, kinds, reading)
        return
    if is_typed(path, reading):
        batches = _parquet_batches(path, kinds, reading, rows, span)
    else:
        batches = _csv_batches(path, kinds, reading, block or BLOCK, span)
    codes = np.unique(np.array([[code, np.float32(code)] for code in reading.missing_codes], np.float64).ravel())
    for batch in batches:
        yield _without_codes(batch, kinds, codes) if len(codes) else batch


def _without_codes(batch: pa.RecordBatch, kinds: dict[str, Kind], codes: NDArray[np.float64]) -> pa.RecordBatch:
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = list(batch.columns)
    for i, name in enumerate(batch.schema.names):
        if kinds[name] == "number":
            coded = pc.is_in(columns[i], value_set=pa.array(codes))
            columns[i] = pc.if_else(coded, pa.scalar(None, pa.float64()), columns[i])
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _csv_batches(
    path: Path, kinds: dict[str, Kind], reading: Reading, block: int, span: tuple[int, int] | None
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    header = csv_names(path, reading)
    names = [ROW_NAME, *header] if reading.row_names else header
    known = set(names)
    lost = next((name for name in kinds if name not in known), None)
    if lost is not None:
        raise DataError(faults.no_column(path, lost, header, reading))
    by_text = {name for name, kind in kinds.items() if kind == "number" and _needs_text(name, reading)}
    seen = 0
    try:
        for batch in _open_csv(path, names, kinds, by_text, reading, block, span):
            if not batch.num_rows:
                continue
            columns = [_settled(batch.column(name), name, kinds[name], reading, path, seen, by_text) for name in kinds]
            seen += batch.num_rows
            yield pa.RecordBatch.from_arrays(columns, names=list(kinds))
    except (pa.ArrowException, OSError, UnicodeDecodeError, EOFError) as error:
        raise faults.explain(str(error), path, names, kinds, reading, span) from None
    if not seen:
        raise faults.no_rows(path, reading)


def _needs_text(name: str, reading: Reading) -> bool:
    """Whether Arrow cannot parse a column's numbers itself."""
    marks = reading.marks_of(name)
    return bool(marks.thousands) or marks.decimal != reading.decimal


def _open_csv(
    path: Path,
    names: list[str],
    kinds: dict[str, Kind],
    by_text: set[str],
    reading: Reading,
    block: int,
    span: tuple[int, int] | None,
) -> csv.CSVStreamingReader:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    types: dict[str, pa.DataType] = {
        "number": pa.float64(),
        "clock": pa.float64(),
        "flag": pa.bool_(),
        "text": pa.string(),
        "date": pa.string(),
    }
    plain = is_plain(path, reading)
    skip = header_line(path, reading).lines if plain and not span else 0
    text: Any = CheckedBytes(path, reading.delimiter, span, skip) if plain else PlainText(path, reading)
    return arrow_csv.open_csv(
        pa.PythonFile(text, mode="r"),
        # One thread: Arrow tells the row of a fault only then.
        read_options=arrow_csv.ReadOptions(
            use_threads=False, block_size=max(block, WIDEST * len(names)), column_names=names, skip_rows=skip
        ),
        parse_options=arrow_csv.ParseOptions(delimiter=reading.delimiter, newlines_in_values=reading.quoted_lines),
        convert_options=arrow_csv.ConvertOptions(
            column_types={name: pa.string() if name in by_text else types[kind] for name, kind in kinds.items()},
            include_columns=list(kinds),
            null_values=reading.all_missing_texts,
            strings_can_be_null=False,
            decimal_point=reading.decimal,
        ),
    )


def _settled(
    column: pa.Array, name: str, kind: Kind, reading: Reading, path: Path, seen: int, by_text: set[str]
) -> pa.Array:
    """A CSV column as it leaves the reader: empty texts are null, numbers that Arrow cannot parse are parsed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name in by_text:
        return _from_text(column, name, kind, path, reading, seen)
    if kind in ("text", "date"):
        absent = pc.equal(column, "")
        if kind == "date":
            absent = pc.is_in(column, value_set=pa.array(reading.all_missing_texts))
        elif reading.missing_texts:
            absent = pc.or_(absent, pc.is_in(column, value_set=pa.array(reading.missing_texts)))
        return pc.if_else(absent, pa.scalar(None, pa.string()), column)
    return column


def _from_text(column: pa.Array, name: str, kind: Kind, path: Path, reading: Reading, seen: int) -> pa.Array:
    """Numbers, or true and false, that a column writes as texts; ``seen`` rows came before.

    Raises:
        DataError: a text is none of them; names its row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    absent = pc.is_in(column, value_set=pa.array(reading.all_missing_texts))
    texts = pc.if_else(absent, pa.scalar(None, pa.string()), column)
    if kind == "flag":
        lower = pc.utf8_lower(texts)
        flags, wrong = pc.equal(lower, "true"), pc.invert(pc.is_in(lower, value_set=pa.array(["true", "false", None])))
        wrong = np.asarray(wrong.to_numpy(zero_copy_only=False), bool)
    else:
        numbers, wrong = to_numbers(texts, reading.marks_of(name))
    if wrong.any():
        at = int(wrong.argmax())
        raise faults.not_a_number(path, name, texts[at].as_py(), seen + at + 1, reading)
    return flags if kind == "flag" else pa.array(numbers, pa.float64(), from_pandas=True)


def raw_batches(
    path: Path, reading: Reading, names: Sequence[str] | None = None, rows: int = 65536
) -> Iterator[pa.RecordBatch]:
    """Record batches of columns as they lie there: all texts of CSV, own types of other files; null where empty.

    Raises:
        DataError: the file is malformed, or lacks one of ``names`` (None: all columns).
    """
    if not is_typed(path, reading):
        kinds: dict[str, Kind] = dict.fromkeys(column_names(path, reading) if names is None else names, "text")
        yield from read_batches(path, kinds, reading)
        return
    import pyarrow as pa

    file = _parquet(path, reading)
    lost = next((name for name in names or () if name not in file.schema_arrow.names), None)
    if lost is not None:
        raise DataError(faults.no_column(path, lost, list(file.schema_arrow.names), None))
    try:
        yield from file.iter_batches(batch_size=rows, columns=list(names) if names is not None else None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"File '{path}' cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def _parquet(path: Path, reading: Reading) -> parquet.ParquetFile:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Pre-buffering would keep the whole file in memory; buffered streams read large row groups in pieces.
        return parquet.ParquetFile(parquet_of(path, reading), pre_buffer=False, buffer_size=2**20)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"File '{path}' cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def _parquet_batches(
    path: Path, kinds: dict[str, Kind], reading: Reading, rows: int, span: tuple[int, int] | None
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    file = _parquet(path, reading)
    if not file.metadata.num_rows:
        raise DataError(f"File '{path}' holds no rows.")
    lost = next((name for name in kinds if name not in file.schema_arrow.names), None)
    if lost is not None:
        raise DataError(faults.no_column(path, lost, list(file.schema_arrow.names), None))
    try:
        groups = list(range(*span)) if span else None
        seen = 0
        for batch in file.iter_batches(batch_size=rows, columns=list(kinds), row_groups=groups):
            columns = [_cast(batch.column(name), name, kind, path, reading, seen) for name, kind in kinds.items()]
            seen += batch.num_rows
            yield pa.RecordBatch.from_arrays(columns, names=list(kinds))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"File '{path}' cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def _cast(column: pa.Array, name: str, kind: Kind, path: Path, reading: Reading, seen: int) -> pa.Array:
    """A typed column as its kind; words in place of numbers are refused."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    own = column.type
    if kind == "text" and pa.types.is_nested(own):
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
    if kind == "text":
        return column.cast(pa.string())
    if kind == "date":
        if pa.types.is_string(own) or pa.types.is_large_string(own):
            return column.cast(pa.string())
        if pa.types.is_integer(own) or pa.types.is_floating(own):  # 20240131, or an epoch
            return column.cast(pa.string())
        return column if pa.types.is_timestamp(own) else column.cast(pa.timestamp("us"))
    if kind == "flag" and pa.types.is_boolean(own):
        return column
    if pa.types.is_null(own):
        return column.cast(pa.float64())
    if pa.types.is_string(own) or pa.types.is_large_string(own):
        return _from_text(column.cast(pa.string()), name, kind, path, reading, seen)
    if not (
        pa.types.is_integer(own) or pa.types.is_floating(own) or pa.types.is_decimal(own) or pa.types.is_boolean(own)
    ):
        value = next((v for v in column.to_pylist() if v is not None), None)
        raise DataError(faults.not_number_text(path, name, repr(value), f"its type is {own}"))
    return column.cast(pa.float64(), safe=False)
