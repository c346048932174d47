"""Profile of a table: one pass over the whole file in blocks, and the first rows kept for a closer look.

Values are read as text, so that a word among numbers is a finding instead of an error.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.config.resampling import Duplicates
from keras_seq.data.formats.roles import Roles
from keras_seq.data.reading.batches import column_roles, read_batches
from keras_seq.data.reading.dates import parse_dates
from keras_seq.data.reading.joined_time import propose_parts
from keras_seq.data.reading.labels import number_text
from keras_seq.data.reading.named_dates import plausible_number_format
from keras_seq.data.reading.numbers import PLAIN, to_numbers
from keras_seq.data.reading.reading import Marks
from keras_seq.data.reading.settle import SHOWN_PARTS, TableFacts, settle_table, with_joined_time
from keras_seq.data.sources.table_layout import plan_table
from keras_seq.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

HEAD_ROWS = 100_000  # rows in which columns are compared with one another
MOST_DISTINCT = 50_000  # different values counted
FEWEST_ROWS = 10  # below these nothing can be divided into train, validation and test
Kind = Literal["number", "flag", "date", "text", "mixed", "empty"]


@dataclass
class ColumnProfile:
    """Profile of one column over the whole file.

    Attributes:
        kind: mixed: numbers with some words among them.
        rows, missing: how many; what Arrow takes for missing (empty, NA, NaN, null) is missing.
        words, word, word_row: filled values that are no number; the first one and its data row, from 1.
        infinite: infinite numbers.
        whole: all numbers are whole.
        low, high: smallest and largest finite number.
        runs: stretches of equal values, down the file.
        counts: rows by value; None above ``MOST_DISTINCT`` different ones.
    """

    name: str
    kind: Kind = "empty"
    rows: int = 0
    missing: int = 0
    words: int = 0
    word: str = ""
    word_row: int = 0
    infinite: int = 0
    whole: bool = True
    low: float = math.inf
    high: float = -math.inf
    runs: int = 0
    counts: Counter[str] | None = field(default_factory=Counter)
    _last: str | None = None

    @property
    def distinct(self) -> int:
        """Different values, at most ``MOST_DISTINCT``."""
        return MOST_DISTINCT if self.counts is None else len(self.counts)

    @property
    def missing_share(self) -> float:
        """Share of the rows without a value."""
        return self.missing / self.rows if self.rows else 0.0

    def add(self, texts: pa.Array, numbers: NDArray[np.float64]) -> None:
        """Take a block: an Arrow text array and its numbers ``(rows,)``, NaN where there is none."""
        import pyarrow.compute as pc

        filled = ~np.asarray(texts.is_null().to_numpy(zero_copy_only=False), bool)
        wrong = filled & np.isnan(numbers)
        if wrong.any() and not self.words:
            at = int(wrong.argmax())
            self.word, self.word_row = texts[at].as_py(), self.rows + at + 1
        finite = numbers[np.isfinite(numbers)]
        if len(finite):
            self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))
            self.whole = self.whole and bool((finite == np.floor(finite)).all())
        self.rows += len(texts)
        self.missing += int((~filled).sum())
        self.words += int(wrong.sum())
        self.infinite += int(np.isinf(numbers).sum())
        changes = pc.sum(pc.not_equal(texts[1:], texts[:-1])).as_py() or 0
        self.runs += changes + (texts[0].as_py() != self._last or self.rows == len(texts))
        self._last = texts[-1].as_py()
        self._count(pc.value_counts(texts))

    def _count(self, found: pa.StructArray) -> None:
        if self.counts is None:
            return
        for text, many in zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True):
            if text is not None:
                self.counts[text] += many
        if len(self.counts) > MOST_DISTINCT:
            self.counts = None


@dataclass
class TableProfile:
    """Profile of a table file.

    Attributes:
        path: the file.
        remarks: how it is written.
        choices: what two readings of it fit, and which was taken.
        columns: facts by name, in file order.
        rows: of the whole file.
        head: its first rows; float64 where numbers, text elsewhere.
        roles: parts that the file itself gives to its columns.
        clocks: columns that could tell the time, as rising numbers of the head's rows (dates: nanoseconds).
        time_parts: columns that only together tell a time; it is among ``columns`` under their joined names.
        formats: the ``data.date_format`` of columns whose numbers count seconds or days.
        duplicates: what becomes of rows of one stamp.
    """

    path: Path
    remarks: tuple[str, ...]
    choices: tuple[str, ...]
    columns: dict[str, ColumnProfile]
    rows: int
    head: pd.DataFrame
    roles: Roles
    clocks: dict[str, NDArray[Any]]
    time_parts: tuple[str, ...] = ()
    formats: dict[str, str] = field(default_factory=dict)
    duplicates: Duplicates = "error"

    @property
    def joined_time(self) -> str | None:
        """Name of the joined time column."""
        return " ".join(self.time_parts) or None

    def is_date(self, name: str) -> bool:
        """Whether a column holds dates."""
        return self.columns[name].kind == "date"

    def sort_head(self, unit: str | None, time: str) -> None:
        """Bring the head's rows in the order of their time within each unit; units stay where they are."""
        units = (
            self.head.groupby(unit, sort=False, dropna=False).ngroup().to_numpy() if unit else np.zeros(len(self.head))
        )
        order = np.lexsort((self.clocks[time], units))
        self.head = self.head.iloc[order].reset_index(drop=True)
        self.clocks = {name: clock[order] for name, clock in self.clocks.items()}

    def values(self) -> dict[str, NDArray[np.float64]]:
        """The head's columns of numbers, NaN where missing."""
        names = [name for name, column in self.columns.items() if column.kind == "number"]
        return {name: np.asarray(self.head[name], np.float64) for name in names}

    def numbers(self) -> list[str]:
        """Columns a model can read: numbers and flags."""
        return [name for name, column in self.columns.items() if column.kind in ("number", "flag")]


def read_table(
    path: Path, reading: Mapping[str, Any] | None = None, time_parts: tuple[str, ...] | None = None
) -> TableProfile:
    """Look at the whole file once.

    Args:
        path: CSV or Parquet file.
        reading: fields of ``data`` that say how it is read, such as ``delimiter``.
        time_parts: columns that are joined into the time; None: those that look so.

    Raises:
        DataError: it cannot be read (see ``settle_table``), has too few rows or no column of numbers.
    """
    config = DataConfig.model_validate({"source": "table", "path": str(path), **(reading or {})})
    facts = settle_table(path, config)
    time_parts = _proposed_parts(facts) if time_parts is None else time_parts
    facts = with_joined_time(facts, time_parts) if time_parts else facts
    config = config.model_copy(update={"time": time_parts or None})
    names = facts.names
    columns = {name: ColumnProfile(name) for name in names}
    texts: dict[str, list[Any]] = {name: [] for name in names}
    values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    rows = 0
    for batch in read_batches(path, {name: "text" for name in names}, facts.reading):
        for name in names:
            block, numbers = _numbers(batch.column(name), name, facts)
            columns[name].add(block, numbers)
            if rows < HEAD_ROWS:
                texts[name].append(block[: HEAD_ROWS - rows])
                values[name].append(numbers[: HEAD_ROWS - rows])
        rows += batch.num_rows
    _settle_kinds(facts, columns)
    if rows < FEWEST_ROWS:
        raise DataError(
            f"File '{path}' has {rows} row{'s' if rows > 1 else ''}; at least {FEWEST_ROWS} are needed to have rows to "
            "train on, to choose on and to judge on, and a model needs far more."
        )
    if not any(column.kind == "number" for column in columns.values()):
        raise DataError(
            f"File '{path}' has no column of numbers ({_kinds(columns)}). Mend what should be numbers, or give the "
            "file with the measurements."
        )
    head = _head(columns, texts, values)
    clocks, formats = _clocks(config, columns, head)
    joined = " ".join(time_parts)
    if joined and joined not in clocks:  # words that are no dates
        del columns[joined]
        head, time_parts = head.drop(columns=joined), ()
    if config.date_format and not any(column.kind == "date" for column in columns.values()):
        raise ConfigError(
            f"No column of '{path}' holds dates of the format {config.date_format} (data.date_format) in every row; "
            f"its columns: {_kinds(columns)}."
        )
    roles, remarks = column_roles(path, facts.reading), facts.remarks
    return TableProfile(
        path, remarks, facts.choices, columns, rows, head, roles, clocks, time_parts, formats, config.duplicates
    )


def _proposed_parts(facts: TableFacts) -> tuple[str, ...]:
    """Columns that only together tell a time; () where there are none, or where joining them fails."""
    kinds: dict[str, Any] = {name: "text" for name in facts.names}
    batch = next(read_batches(facts.path, kinds, facts.reading))
    texts = {name: batch.column(name).drop_null().to_pylist()[:SHOWN_PARTS] for name in facts.names}
    return propose_parts(texts, {name: facts.kinds[name] == "number" for name in facts.names})


def _numbers(texts: pa.Array, name: str, facts: TableFacts) -> tuple[pa.Array, NDArray[np.float64]]:
    """Texts of a column, null where a value is missing, and their numbers; NaN where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if facts.kinds[name] in ("text", "date"):
        return texts, np.full(len(texts), np.nan)
    absent = pc.is_in(pc.utf8_trim_whitespace(texts), value_set=pa.array(facts.reading.all_missing_texts))
    texts = pc.if_else(absent, pa.scalar(None, pa.string()), texts)
    numbers = _parsed(texts, facts.reading.marks_of(name))
    coded = np.isin(numbers, facts.reading.missing_codes)
    if coded.any():
        texts, numbers = (
            pc.if_else(pa.array(coded), pa.scalar(None, pa.string()), texts),
            np.where(coded, np.nan, numbers),
        )
    return texts, numbers


def _parsed(texts: pa.Array, marks: Marks) -> NDArray[np.float64]:
    """Numbers of an Arrow text array ``(rows,)``; NaN where there is none."""
    import pandas as pd
    import pyarrow as pa

    if marks != PLAIN:
        return to_numbers(texts, marks)[0]
    try:
        return np.asarray(texts.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowInvalid:
        return np.asarray(pd.to_numeric(texts.to_pandas(), errors="coerce"), np.float64)


def _settle_kinds(facts: TableFacts, columns: dict[str, ColumnProfile]) -> None:
    for name, column in columns.items():
        filled = column.rows - column.missing
        if not filled:
            column.kind = "empty"
        elif facts.kinds[name] == "flag" and {text.lower() for text in column.counts or ()} <= {"true", "false"}:
            column.kind = "flag"
        elif not column.words:
            column.kind = "number"
        else:
            column.kind = "mixed" if 2 * column.words < filled else "text"


def _head(
    columns: dict[str, ColumnProfile], texts: dict[str, list[pa.Array]], values: dict[str, list[NDArray[np.float64]]]
) -> pd.DataFrame:
    import pandas as pd

    parts: dict[str, Any] = {}
    for name, column in columns.items():
        if column.kind in ("number", "mixed", "empty"):
            parts[name] = np.concatenate(values[name])
        else:
            parts[name] = np.concatenate([block.to_numpy(zero_copy_only=False) for block in texts[name]])
        if column.kind == "flag":
            parts[name] = np.array([None if t is None else float(t.lower() == "true") for t in parts[name]], float)
    return pd.DataFrame(parts)


def _clocks(
    config: DataConfig, columns: dict[str, ColumnProfile], head: pd.DataFrame
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Dates as nanoseconds, and complete columns of numbers, dates marked as such; and formats of numbers as dates."""
    formats: dict[str, str] = {}
    numbers = [name for name, column in columns.items() if column.kind == "number"]
    clocks: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        words = column.kind == "text" and any(map(str.isdigit, column.word))
        digits = column.kind == "number" and column.whole and _like_digits(column.low, column.high)
        other = next((number for number in numbers if number != name), None)
        free = other is not None and not column.missing
        dates = _dates(config, name, str(other), head) if (words or digits) and free else None
        if dates is None and column.kind == "number" and free and not config.date_format:
            counted = plausible_number_format(column.low, column.high, name)
            asked = config.model_copy(update={"date_format": counted})
            dates = _dates(asked, name, str(other), head) if counted else None
            formats |= {name: str(counted)} if dates is not None else {}
        if dates is not None:
            column.kind, clocks[name] = "date", dates
        elif column.kind == "number" and not column.missing and not column.infinite:
            clocks[name] = head[name].to_numpy()
    return clocks, formats


def _like_digits(low: float, high: float) -> bool:
    """Whether whole numbers may be dates in digits: 202401 ... 20240131235959, of the years 1900 to 2099."""
    size = len(f"{low:.0f}") - 4
    if size == 2 and _like_day(low) and _like_day(high):  # 240131
        return True
    return size in (2, 4, 6, 8, 10) and 1900 * 10**size <= low <= high < 2100 * 10**size


def _like_day(number: float) -> bool:
    """Whether six digits may be a year of two digits, a month and a day."""
    return number < 1e6 and 1 <= number // 100 % 100 <= 12 and 1 <= number % 100 <= 31


def _dates(config: DataConfig, name: str, number: str, head: pd.DataFrame) -> NDArray[np.int64] | None:
    """The head's dates as the source 'table' would read them; None where the column holds none."""
    import pyarrow as pa

    time = config.time if isinstance(config.time, tuple) and " ".join(config.time) == name else name
    part = {"time": time, "task": "forecast", "targets": (number,), "features": (number,), "strict": False}
    asked = config.model_copy(update=part)
    try:
        layout = plan_table(asked)
    except DataError:
        return None
    if layout.kinds[name] != "date":
        return None
    texts = head[name] if head[name].dtype.kind == "O" or head[name].dtype == "str" else head[name].map(number_text)
    try:
        dates = parse_dates(pa.array(texts.tolist(), pa.string()), layout.dates, name, layout.path)
    except DataError:
        return None
    return None if np.isnat(dates).any() else dates.astype(np.int64)


def _kinds(columns: dict[str, ColumnProfile]) -> str:
    listed = [f"'{name}' is {column.kind}" for name, column in list(columns.items())[:8]]
    return ", ".join(listed)
