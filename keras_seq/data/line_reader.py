"""CSV rows from a stream, one at a time, read by a model's schema as a whole file would be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.plans.marks import channel, planned
from keras_seq.data.reading.date_texts import plain_date
from keras_seq.data.reading.joined_time import join_columns
from keras_seq.data.reading.line_stream import LineStream
from keras_seq.data.reading.lines import split_line
from keras_seq.data.reading.named_dates import is_epoch, is_named, parse_named
from keras_seq.data.reading.numbers import number_of
from keras_seq.data.reading.reading import Marks, Reading
from keras_seq.data.reading.zones import zone_info
from keras_seq.data.series import Schema
from keras_seq.data.static import StaticValues, lacking_static
from keras_seq.data.words import word_of
from keras_seq.errors import DataError, nearest

DELIMITERS = ",;\t|"
FLAGS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Line:
    """A row of a CSV stream.

    Attributes:
        number: of its line, the header being 1.
        unit: its unit's text; "stdin" where the schema has no unit column.
        clock: its time as it is written; None: no such column.
        values: ``(features,)`` float32, NaN where missing.
    """

    number: int
    unit: str
    clock: str | None
    values: NDArray[np.float32]


class LineReader:
    """Reader of CSV rows by a schema; keeps the last time of every unit.

    Args:
        lines: header first.
        schema: of the model.

    Attributes:
        clock: name of the time column; None: the header has none.

    Raises:
        DataError: the header lacks a column, or names one twice.
    """

    def __init__(self, lines: Iterable[str], schema: Schema) -> None:
        if schema.row_rules is not None and schema.row_rules.resample.every is not None:
            raise DataError(
                f"The model's rows are resampled to {schema.row_rules.resample.every} (data.resample), and a stream of "
                "single rows does not tell when a bin is whole; give a file or a table instead of --stream."
            )
        stream = LineStream(lines, schema.reading)
        self._schema, self._reading = schema, _reading_of(schema, stream.header)
        names = list(stream.names) or _header(stream.header, self._reading)
        self._rows = stream.rows(self._reading, len(names))
        self._static = StaticValues(schema) if lacking_static(schema, names) else None
        joined = self._static.table.columns if self._static else ()
        fields = [name for name in schema.features if name not in joined]
        parts = dict.fromkeys([*fields, *([schema.unit_column] if schema.unit_column else [])])
        for name in parts:
            if name not in names:
                _refuse_plan(name, schema)
                what = "unit column" if name == schema.unit_column else "feature column"
                raise DataError(f"Line 1, the header, lacks the {what} '{name}'{nearest(name, names)}")
        times = list(self._reading.time_parts) or [str(schema.time_column)]
        self.clock = schema.time_column if all(name in names for name in times) else None
        for name in [*parts, *(times if self.clock else [])]:
            if names.count(name) > 1:
                raise DataError(f"Line 1, the header, names column '{name}' twice.")
        self._places = {name: names.index(name) for name in fields}
        self._unit = names.index(schema.unit_column) if schema.unit_column else None
        self._time = {name: names.index(name) for name in times} if self.clock else {}
        self._least = 1 + max([*self._places.values(), self._unit or 0, *self._time.values()])
        self._last: dict[str, Any] = {}
        words = schema.vocabularies
        self._fields: dict[str, NumberReader | WordReader] = {
            name: WordReader(words[name], self._reading) if name in words else NumberReader(name, self._reading)
            for name in fields
        }

    def __iter__(self) -> Iterator[Line]:
        """Every row, as soon as it is there.

        Raises:
            DataError: a row that cannot be read; names line, column and value.
        """
        for number, row in self._rows:
            if not any(field.strip() for field in row):
                continue
            if len(row) < self._least:
                raise DataError(
                    f"Line {number} has {len(row)} fields, expected at least {self._least} as in the header."
                )
            try:
                yield self._line(number, row)
            except DataError as error:
                raise DataError(f"Line {number}: {error}") from None

    def _line(self, number: int, row: Sequence[str]) -> Line:
        unit = "stdin" if self._unit is None else row[self._unit]
        if not unit or unit in self._reading.missing_texts:
            raise DataError(f"column '{self._schema.unit_column}' names no unit; fill it.")
        clock = self._clock(row) if self._time else None
        if clock is not None:
            self._check_time(unit, clock)
        values = {name: self._fields[name].read(row[place]) for name, place in self._places.items()}
        if self._static:
            values |= dict(zip(self._static.table.columns, self._static.of([unit])[0].tolist(), strict=True))
        return Line(number, unit, clock, np.array([values[name] for name in self._schema.features], np.float32))

    def _clock(self, row: Sequence[str]) -> str:
        """The time of a row as it is written, its parts joined; "" where one is missing."""
        texts = {name: row[place] for name, place in self._time.items()}
        if not self._reading.time_parts:
            return next(iter(texts.values()))
        return join_columns({name: np.array([text], object) for name, text in texts.items()}, self._reading)[0] or ""

    def _check_time(self, unit: str, text: str) -> None:
        last = self._last.get(unit)
        now = self._stamp(text, last)
        if last is not None and not now > last:
            raise DataError(
                f"time column '{self.clock}' of unit '{unit}' does not rise, got '{text}'; rows must come in order of "
                "time."
            )
        self._last[unit] = now

    def _stamp(self, text: str, last: float | None) -> float:
        """A time that can be compared: a number, or seconds of universal time or of the local clock."""
        date_format = self._reading.date_format
        try:
            if date_format is None:
                return NumberReader(str(self.clock), self._reading).number(text)
            is_iso = date_format == "ISO8601"
            if is_named(date_format):
                stamp = _named_stamp(text, date_format)
            else:
                plain, written = plain_date(text, date_format)
                stamp = datetime.fromisoformat(plain) if is_iso else datetime.strptime(plain, written)
        except (DataError, ValueError):
            if date_format is None and (stamps := _iso(text)):
                return stamps
            wanted = date_format or "number or ISO8601 date"
            raise DataError(f"column '{self.clock}' holds '{text}', expected a time ({wanted}).") from None
        if stamp.tzinfo is None and self._reading.zone:
            zone = zone_info(self._reading.zone)
            first = stamp.replace(tzinfo=zone).timestamp()
            again = stamp.replace(tzinfo=zone, fold=1).timestamp()  # an hour that comes twice
            return first if last is None or first > last else again
        return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


class NumberReader:
    """Numbers of one column, by a reading."""

    def __init__(self, name: str, reading: Reading) -> None:
        self.name, self.marks = name, reading.marks_of(name)
        self._missing = frozenset(reading.all_missing_texts)
        self._codes = {*reading.missing_codes, *(float(np.float32(code)) for code in reading.missing_codes)}
        self._flag = name in reading.flags

    def read(self, text: str) -> float:
        """The number a text means; NaN where it stands for a missing value.

        Raises:
            DataError: it is no number; says the marks that are read.
        """
        text = text.strip()
        if text in self._missing:
            return float("nan")
        number = self.number(text)
        return float("nan") if number in self._codes else number

    def number(self, text: str) -> float:
        """The number a filled text means."""
        if self._flag and text.lower() in FLAGS:
            return FLAGS[text.lower()]
        number = number_of(text, self.marks)
        if number is None:
            marks = (
                "" if self.marks == Marks() or not re.search(r"\d", text) else f" (decimal mark '{self.marks.decimal}')"
            )
            raise DataError(
                f"column '{self.name}' holds '{text}', expected a number{marks}, or nothing where it is missing."
            )
        return number


class WordReader:
    """Codes of the words of one column."""

    def __init__(self, vocabulary: Sequence[str], reading: Reading) -> None:
        self._codes = {word: float(number) for number, word in enumerate(vocabulary, 1)}
        self._missing = frozenset(reading.missing_texts)

    def read(self, text: str) -> float:
        """The code of a word; 0 where it is missing or not in the vocabulary."""
        return 0.0 if text in self._missing else self._codes.get(word_of(text), 0.0)


def _reading_of(schema: Schema, header: str) -> Reading:
    """The schema's reading; of a schema without one the delimiter that the header shows."""
    return schema.reading or Reading(delimiter=max(DELIMITERS, key=header.count))


def _header(line: str, reading: Reading) -> list[str]:
    names = [name.strip() for name in split_line(line.rstrip("\r\n"), reading)]
    if not any(names):
        raise DataError("Line 1 must be a header with the names of the columns, got nothing.")
    return ["", *names] if reading.row_names else names


def _named_stamp(text: str, date_format: str) -> datetime:
    """The stamp of an epoch, quarter or the like.

    Raises:
        ValueError: the text has not the format.
    """
    import pandas as pd

    stamp = parse_named(pd.Series([text], dtype="str"), date_format).iloc[0]
    if pd.isna(stamp):
        raise ValueError(text)
    own: datetime = stamp.to_pydatetime(warn=False)
    return own if is_epoch(date_format) else own.replace(tzinfo=None)


def _refuse_plan(name: str, schema: Schema) -> None:
    """Refuse a stream without the channels of a model's known-ahead columns, of which ``name`` may be one.

    Raises:
        DataError: says how to give them.
    """
    for column, leads in planned(schema).items():
        if name in [channel(column, lead) for lead in leads]:
            first, last = channel(column, leads[0]), channel(column, leads[-1])
            raise DataError(
                f"Line 1, the header, lacks the column '{name}': the model knows '{column}' ahead, and a row of a "
                f"stream is answered before later rows come. Write the plan into every row, as columns {first} to "
                f"{last}, or answer a file: python -m keras_seq.predict BUNDLE FILE --plan PLAN."
            )


def _iso(text: str) -> float | None:
    try:
        stamp = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
