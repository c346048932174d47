"""Reading of a new table, settled from the file and the user's options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keras_seq.config import DataConfig
from keras_seq.data.reading import batches
from keras_seq.data.reading.dates import ISO, DateRule, compact_format, settle_dates
from keras_seq.data.reading.dialect import csv_names, sniff_dialect
from keras_seq.data.reading.joined_time import are_whole, settle_parts
from keras_seq.data.reading.lost_commas import refuse_lost_commas
from keras_seq.data.reading.numbers import CANDIDATES, NumberColumn, inspect_numbers, settle_marks
from keras_seq.data.reading.reading import UNNAMED, Marks, Reading
from keras_seq.data.reading.shapes import settle_shape
from keras_seq.data.reading.text_options import check_text_options
from keras_seq.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

HEAD = 2**20  # bytes of CSV looked at to tell the kinds of columns
SHOWN_PARTS = 200  # first values by which the parts of a joined time are told
MOSTLY = 0.5  # share of a column's texts that must be numbers for the others to be mistakes
ColumnKind = Literal["number", "flag", "text", "date", "empty"]  # date: a type of Parquet; in CSV dates are text
_FLAGS = {"true", "false"}


@dataclass(frozen=True)
class TableFacts:
    """Facts of a table file: how it is written and what its columns hold.

    Attributes:
        path: the file.
        reading: how to read it, dates and zone apart, which are settled with the time column.
        kinds: what each column holds, by name in file order, as far as its first rows tell.
        remarks: how it is written, where that is not usual.
        choices: what two readings fit, and which was taken.
        samples: Arrow texts of the first rows by column; of typed files those of texts and whole numbers.
    """

    path: Path
    reading: Reading
    kinds: dict[str, ColumnKind]
    remarks: tuple[str, ...]
    choices: tuple[str, ...]
    samples: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """Names of the columns in file order."""
        return list(self.kinds)


def settle_table(path: Path, config: DataConfig) -> TableFacts:
    """Facts of a file from its head and from ``data.delimiter``, ``data.decimal`` ....

    Raises:
        ConfigError: an option that no file can fit.
        DataError: the file is missing, empty, no table, without a header or with a doubled name.
    """
    batches.check_file(path)
    missing = {"missing_texts": config.missing_texts, "missing_codes": config.missing_codes}
    shape = settle_shape(path, config, settle_table)
    if shape is not None or batches.is_typed(path):
        if shape is None:
            check_text_options(path, config)
        footer = config.skip_footer or 0 if shape is None else 0  # of a shape: in the reading of its files
        options = _format_options(config) | {"skip_footer": footer}
        return _settle_typed(path, config, Reading(**missing, **options, shape=shape))
    dialect = sniff_dialect(path, config)
    remarks = list(dialect.remarks)
    reading = dialect.reading.model_copy(update=missing | _format_options(config))
    samples = _sample(path, reading, csv_names(path, reading))
    numbers = {name: inspect_numbers(texts, _candidates(config)) for name, texts in samples.items() if len(texts)}
    kinds = {name: _text_kind(samples[name], numbers.get(name)) for name in batches.column_names(path, reading)}
    kinds = {name: kind for name, kind in kinds.items() if kind != "empty" or not name.startswith(UNNAMED)}
    file_marks, exceptions, two_fit = settle_marks(
        {name: numbers[name] for name, kind in kinds.items() if kind == "number"}, reading.delimiter
    )
    if file_marks != Marks() or exceptions:
        remarks.append(_told_marks(file_marks, exceptions))
    unnamed = [name for name in kinds if name.startswith(UNNAMED)]
    if unnamed:
        remarks.append(f"has {len(unnamed)} column without a name, called '{unnamed[0]}'")
    if reading.delimiter == "," and config.decimal != ".":
        refuse_lost_commas(path, samples)
    flags = tuple(name for name, kind in kinds.items() if kind == "flag")
    reading = reading.model_copy(
        update={"decimal": file_marks.decimal, "thousands": file_marks.thousands, "marks": exceptions, "flags": flags}
    )
    return TableFacts(path, reading, kinds, tuple(remarks), (*dialect.choices, *two_fit), samples)


def with_joined_time(facts: TableFacts, columns: tuple[str, ...]) -> TableFacts:
    """The facts with a further column of dates, joined of several (``data.time: [date, hour]``).

    Raises:
        ConfigError: they do not make a time, or a column has the joined one's name.
        DataError: a part cannot be read.
    """
    kinds: dict[str, Any] = {name: "text" for name in columns}
    head = next(batches.read_batches(facts.path, kinds, facts.reading, block=HEAD))
    texts = {name: head.column(name).drop_null().to_pylist()[:SHOWN_PARTS] for name in columns}
    parts = settle_parts(texts, {name: facts.kinds[name] == "number" for name in columns})
    joined = " ".join(columns)
    lacks = are_whole(parts)
    if lacks or joined in facts.kinds or len(set(parts.values())) < len(parts):
        told = ", ".join(f"'{name}' the {part}" for name, part in parts.items())
        why = f"lack {lacks}" if lacks else "tell the same twice" if joined not in facts.kinds else "stand joined, too"
        raise ConfigError(
            f"Columns {', '.join(columns)} of '{facts.path}' (data.time) do not make one time: they {why} ({told}). "
            "Name a date and a clock or hour, or year, month, day and hour."
        )
    reading = facts.reading.model_copy(update={"time_parts": parts})
    sample = next(batches.read_batches(facts.path, {joined: "date"}, reading, block=HEAD)).column(0).drop_null()
    return replace(
        facts, reading=reading, kinds={**facts.kinds, joined: "text"}, samples={**facts.samples, joined: sample}
    )


def holds_dates(name: str, facts: TableFacts, config: DataConfig) -> bool:
    """Whether a time column holds dates: words, dates in digits, or what the user gives a format of."""
    kind = facts.kinds[name]
    digits = compact_format(facts.samples[name]) if name in facts.samples else None
    return kind in ("text", "date") or (kind == "number" and (config.date_format or digits) is not None)


def settle_time(name: str, facts: TableFacts, config: DataConfig) -> DateRule:
    """How the dates of a file's time column are read; all rows are looked at where the first ones leave a choice.

    Raises:
        DataError: no one format fits.
    """
    import pandas as pd

    if facts.kinds[name] == "date":
        zone = getattr(batches.column_types(facts.path, facts.reading)[name], "tz", None)
        return DateRule(ISO, config.zone or zone, offsets=zone is not None)
    digits = facts.kinds[name] == "number" and config.date_format is None
    asked = {"date_format": compact_format(facts.samples[name]) if digits else config.date_format, "zone": config.zone}
    if name in facts.samples:
        rule = settle_dates(facts.samples[name].to_pandas(), name, facts.path, **asked)
        if not (rule.remarks or rule.offsets):
            return rule
    column = [batch.column(0).drop_null() for batch in batches.read_batches(facts.path, {name: "date"}, facts.reading)]
    texts = pd.concat([part.to_pandas() for part in column], ignore_index=True)
    return settle_dates(texts, name, facts.path, **asked)


def _candidates(config: DataConfig) -> tuple[Marks, ...]:
    """The marks that the user leaves open."""
    decimal, thousands = config.decimal, config.thousands
    return tuple(
        marks
        for marks in CANDIDATES
        if (decimal is None or marks.decimal == decimal) and (thousands is None or marks.thousands in ("", thousands))
    )


def _format_options(config: DataConfig) -> dict[str, Any]:
    """Options of formats, kept in the reading."""
    return {name: getattr(config, name) for name in ("sheet", "header_row", "dataset")}


def _settle_typed(path: Path, config: DataConfig, reading: Reading) -> TableFacts:
    """Facts of a file whose columns have types; what its texts hold is told as of CSV."""
    types = batches.column_types(path, reading)
    kinds = {name: _typed_kind(types[name]) for name in batches.column_names(path, reading)}
    texts = [name for name, kind in kinds.items() if kind == "text"]
    whole = [name for name, kind in types.items() if name in kinds and str(kind).startswith(("int", "uint"))]
    samples = _sample(path, reading, [*texts, *whole]) if texts or whole else {}  # whole numbers may be dates in digits
    numbers = {name: inspect_numbers(samples[name], _candidates(config)) for name in texts if len(samples[name])}
    kinds |= {name: _text_kind(samples[name], numbers.get(name)) for name in texts}
    file_marks, exceptions, two_fit = settle_marks(
        {name: numbers[name] for name in texts if kinds[name] == "number"}, reading.delimiter
    )
    remarks = list(batches.column_roles(path, reading).remarks)
    remarks += [_told_marks(file_marks, exceptions)] if file_marks != Marks() or exceptions else []
    marks = {name: exceptions.get(name, file_marks) for name in texts if kinds[name] == "number"}
    reading = reading.model_copy(
        update={  # by column: columns that hold numbers have no marks
            "marks": {name: own for name, own in marks.items() if own != Marks()},
            "flags": tuple(name for name, kind in kinds.items() if kind == "flag"),
        }
    )
    return TableFacts(path, reading, kinds, tuple(remarks), tuple(two_fit), samples)


def _sample(path: Path, reading: Reading, names: list[str]) -> dict[str, Any]:
    """Filled texts of columns in the first block, as Arrow arrays."""
    import pyarrow as pa
    import pyarrow.compute as pc

    unique = list(dict.fromkeys(names))
    if len(unique) < len(names):
        return {name: pa.array([], pa.string()) for name in unique}  # refused by ``column_names``
    plain = reading.model_copy(update={"missing_codes": (), "missing_texts": ()})
    batch = next(batches.read_batches(path, {name: "text" for name in names}, plain, block=HEAD))
    absent = pa.array(reading.all_missing_texts)
    return {
        name: (column := batch.column(name)).filter(
            pc.and_(column.is_valid(), pc.invert(pc.is_in(pc.utf8_trim_whitespace(column), value_set=absent)))
        )
        for name in names
    }


def _text_kind(texts: pa.Array, numbers: NumberColumn | None) -> ColumnKind:
    import pyarrow.compute as pc

    if numbers is None:
        return "empty"
    if numbers.share > MOSTLY:
        return "number"
    distinct = {text.lower() for text in pc.unique(texts.slice(0, 1000)).to_pylist()[:3]}
    if distinct <= _FLAGS and {text.lower() for text in pc.unique(texts).to_pylist()} <= _FLAGS:
        return "flag"
    return "text"


def _typed_kind(kind: pa.DataType) -> ColumnKind:
    import pyarrow as pa

    if pa.types.is_null(kind):
        return "empty"
    if pa.types.is_boolean(kind):
        return "flag"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    return "date" if pa.types.is_temporal(kind) else "text"


def _told_marks(file_marks: Marks, exceptions: dict[str, Marks]) -> str:
    def words(marks: Marks) -> str:
        thousands = f" and '{marks.thousands}' between thousands" if marks.thousands else ""
        return f"'{marks.decimal}' as decimal mark{thousands}"

    others = "".join(f"; in '{name}' with {words(marks)}" for name, marks in list(exceptions.items())[:4])
    return f"writes numbers with {words(file_marks)}{others}"
