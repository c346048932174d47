"""Files ``.tsf`` of the Monash forecasting archive: one series a line, ``name:start:v,v,...``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.formats.lines import numbered_lines
from keras_seq.data.formats.registry import TableFormat, register
from keras_seq.data.formats.roles import Roles, with_roles
from keras_seq.data.formats.ts_cases import numbers_of
from keras_seq.data.reading.reading import Reading
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

TIME, VALUE = "time", "value"
_MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_WORDS = {"secondly": "second", "minutely": "minute", "hourly": "hour", "daily": "day", "weekly": "week"}


@register(TableFormat("tsf", "a .tsf file", (".tsf",)))
def read_tsf(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """A row a step of every series: its attributes, its time (steps where it has no start) and its value."""
    import pyarrow as pa

    attributes: list[tuple[str, str]] = []
    fields: dict[str, str] = {}
    schema: pa.Schema | None = None
    for number, text in numbered_lines(path):
        where = f"Line {number} of '{path}'"
        if text.startswith("#"):
            continue
        if schema is None:
            key, *words = text.split()
            if not key.startswith("@"):
                raise DataError(f"{where} must be an '@key value' line or '@data', got {text[:40]!r}: not a .tsf file?")
            if key.lower() == "@attribute" and len(words) == 2:
                attributes.append((words[0], words[1].lower()))
            fields[key[1:].lower()] = " ".join(words)
            schema = _schema(attributes, fields, where) if key.lower() == "@data" else None
            continue
        *own, values = text.split(":")
        if len(own) != len(attributes):
            raise DataError(f"{where} has {len(own)} attributes before its values, the header names {len(attributes)}.")
        numbers = numbers_of(values.split(","), where)
        constant = [pa.repeat(pa.scalar(one.strip() or None, pa.string()), len(numbers)) for one in own]
        start = next((one for one, (_, kind) in zip(own, attributes, strict=True) if kind == "date"), None)
        times = _times(start, fields.get("frequency", ""), len(numbers), where)
        kept = [column for column, (_, kind) in zip(constant, attributes, strict=True) if kind != "date"]
        yield pa.RecordBatch.from_arrays([*kept, times, pa.array(numbers, from_pandas=True)], schema=schema)


def _schema(attributes: list[tuple[str, str]], fields: dict[str, str], where: str) -> pa.Schema:
    import pyarrow as pa

    names = [name for name, kind in attributes if kind != "date"]
    if not names or len({*names, TIME, VALUE}) < len(names) + 2:
        raise DataError(f"{where}: the header must hold lines '@attribute series_name string', each with its own name.")
    dated = len(names) < len(attributes)
    clock = (TIME, pa.timestamp("us") if dated else pa.int64())
    horizon = int(fields["horizon"]) if fields.get("horizon", "").isdigit() else None
    roles = Roles(unit=names[0], time=TIME, targets=(VALUE,), task="forecast", horizon=horizon, aside=tuple(names[1:]))
    columns = [(name, pa.string()) for name in names]
    return with_roles(pa.schema([*columns, clock, (VALUE, pa.float64())]), roles)


def _times(start: str | None, frequency: str, count: int, where: str) -> NDArray[np.int64] | NDArray[np.datetime64]:
    """Steps from 0 where there is no start, else the stamps ``(count,)`` of a frequency such as ``10_minutes``."""
    steps = np.arange(count)
    if start is None:
        return steps
    try:
        first = datetime.strptime(start.strip(), "%Y-%m-%d %H-%M-%S" if start.count("-") > 2 else "%Y-%m-%d")
    except ValueError:
        raise DataError(f"{where} begins at {start[:40]!r}; a start is written 2024-05-31 14-00-00.") from None
    if frequency.lower() in _MONTHS:
        months = np.datetime64(first, "M") + steps * _MONTHS[frequency.lower()]
        last = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
        days = months.astype("datetime64[D]") + np.minimum(first.day, last) - 1
        return days.astype("datetime64[us]") + (np.datetime64(first, "us") - np.datetime64(first, "D"))
    amount, _, unit = frequency.lower().rpartition("_")
    unit = _WORDS.get(unit, unit.rstrip("s"))
    seconds = _UNITS.get(unit, 0) * (0.5 if amount == "half" else float(amount or 1))
    if not seconds:
        raise DataError(
            f"{where} has a start, but the header's '@frequency' is {frequency!r}; it must be yearly, quarterly, "
            "monthly, weekly, daily, hourly, 10_minutes or the like."
        )
    return np.datetime64(first, "us") + (steps * seconds * 1e6).astype("timedelta64[us]")
