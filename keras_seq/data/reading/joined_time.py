"""One time column out of several: a date and a clock, a date and an hour number, or year, month, day and hour.

The joined column exists for readers only, under the names of its parts with blanks between (``date time``). Numbers
become ISO texts (``2010-01-31 13:00``), texts stand side by side; what they mean is settled as for any column of dates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.reading.reading import MISSING_TEXTS, Kind, Reading

if TYPE_CHECKING:
    import pyarrow as pa

WORDS = {
    "year": "year yr yyyy yy jahr annee anno ano",
    "quarter": "quarter qtr quartal",
    "month": "month mon mnth mo mm monat mois mes mese",
    "week": "week wk woche",
    "yearday": "yearday yday doy dayofyear",
    "day": "day dom dd d mday tag jour dia giorno",
    "hour": "hour hr hh h stunde heure hora ora",
    "minute": "minute min mi minuten",
    "second": "second sec ss s sekunde",
}
ORDER = tuple(WORDS)
RANGES = {
    "year": (1, 9999),
    "quarter": (1, 4),
    "month": (1, 12),
    "week": (1, 53),
    "yearday": (1, 366),
    "day": (1, 31),
    "hour": (0, 24),
    "minute": (0, 59),
    "second": (0, 60),
}
_CLOCK = re.compile(r"\d{1,2}[:.]\d{2}([:.]\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?")
_DAY = re.compile(r"\d{1,4}[-/. ](\d{1,2}|[A-Za-z]{3,9})[-/. ]\d{1,4}([T ]00:00(:00(\.0+)?)?)?|(19|20)\d{6}")
_SECONDS = {"hour": 3600, "minute": 60, "second": 1}


def joined_name(reading: Reading) -> str | None:
    """Name of the joined time column of a table; None: it has none."""
    return " ".join(reading.time_parts) if reading.time_parts else None


def part_of_name(name: str) -> str | None:
    """What a column of numbers tells of the time by its name: ``hr`` the hour; None: its name does not say."""
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    for word in re.split(r"[^a-z]+", words.lower()):
        for part, known in WORDS.items():
            if word in known.split():
                return part
    return None


def settle_parts(samples: Mapping[str, Sequence[str]], numbers: Mapping[str, bool]) -> dict[str, str]:
    """What each of the columns tells of the time: "date", "clock", or a part of ``ORDER``.

    Args:
        samples: first filled texts of each column, in the order in which the user names them.
        numbers: whether a column holds numbers.

    Returns:
        By column. Numbers are told by their names; without such a name they are what follows the part before.
    """
    parts: dict[str, str] = {}
    last = -1
    for name, texts in samples.items():
        plain = numbers[name] and all(re.fullmatch(r"\d{1,4}(\.0*)?", text.strip()) for text in texts)
        if not plain:
            clock = bool(texts) and all(_CLOCK.fullmatch(text.strip()) for text in texts)
            parts[name] = "clock" if clock else "date"
            last = ORDER.index("day")
            continue
        part = part_of_name(name)
        if part is None or part in parts.values():
            part = next((word for word in _usual(last) if word not in parts.values()), ORDER[-1])
        parts[name], last = part, ORDER.index(part)
    return parts


def propose_parts(samples: Mapping[str, Sequence[str]], numbers: Mapping[str, bool]) -> tuple[str, ...]:
    """Columns that only together tell a time, by their names and first values; () where there are none.

    Year, month and so on as numbers; else dates without a time of day that repeat, and the clock or hour beside them.
    """
    parts = {
        name: part
        for name, texts in samples.items()
        if numbers[name] and texts and (part := part_of_name(name)) and _within(texts, part)
    }
    told = {part: name for name, part in reversed(parts.items())}
    if "year" in told and {"month", "yearday", "week", "quarter"} & set(told):
        chain = [part for part in ORDER if part in told]
        if "month" in told:
            chain = [part for part in chain if part not in ("quarter", "week", "yearday")]
        if are_whole({told[part]: part for part in chain}) is None and len(chain) > 1:
            return tuple(told[part] for part in chain)
    dates = [name for name, texts in samples.items() if _repeating_dates(texts)]
    if not dates:
        return ()
    clocks = [name for name, texts in samples.items() if texts and all(_CLOCK.fullmatch(t.strip()) for t in texts)]
    clocks = [name for name in clocks if not numbers[name] and len(set(samples[name])) > 1]
    if clocks:
        return dates[0], clocks[0]
    return tuple([dates[0], *(told[part] for part in _SECONDS if part in told)]) if "hour" in told else ()


def _within(texts: Sequence[str], part: str) -> bool:
    low, high = (1500, 2200) if part == "year" else RANGES[part]
    try:
        return all(low <= float(text) <= high and float(text).is_integer() for text in texts)
    except ValueError:
        return False


def _repeating_dates(texts: Sequence[str]) -> bool:
    dates = bool(texts) and all(_DAY.fullmatch(text.strip()) for text in texts)
    return dates and any(a == b for a, b in pairwise(texts))


def _usual(last: int) -> list[str]:
    usual = [word for word in ORDER if word not in ("quarter", "week", "yearday")]
    return [word for word in usual if ORDER.index(word) > last]


def are_whole(parts: Mapping[str, str]) -> str | None:
    """What a joined time lacks to be one; None: nothing."""
    told = set(parts.values())
    if "date" in told:
        return None
    if "year" not in told:
        return "a year or a date"
    if "day" in told and "month" not in told:
        return "a month"
    if told & {"hour", "minute", "clock"} and not told & {"day", "yearday"}:
        return "a day"
    return None


def part_kinds(kinds: Mapping[str, Kind], reading: Reading) -> dict[str, Kind]:
    """The columns to read from the file where ``kinds`` asks for the joined one."""
    name = joined_name(reading)
    wanted = {column: kind for column, kind in kinds.items() if column != name}
    for column, part in reading.time_parts.items():
        wanted.setdefault(column, "text" if part in ("date", "clock") else "clock")
    return wanted


def with_joined(batch: pa.RecordBatch, kinds: Mapping[str, Kind], reading: Reading) -> pa.RecordBatch:
    """A batch with the columns ``kinds`` in their order, the joined time among them as text."""
    import pyarrow as pa

    columns = {column: batch.column(column) for column in batch.schema.names}
    joined = join_columns(
        {column: columns[column].to_numpy(zero_copy_only=False) for column in reading.time_parts}, reading
    )
    columns[str(joined_name(reading))] = pa.array(joined, pa.string(), from_pandas=True)
    return pa.RecordBatch.from_arrays([columns[name] for name in kinds], names=list(kinds))


def join_columns(columns: Mapping[str, NDArray[Any]], reading: Reading) -> NDArray[np.object_]:
    """Texts of the joined time ``(rows,)``; None where a part is missing.

    Args:
        columns: the parts by name: texts, or numbers ``(rows,)``.
        reading: of the table.
    """
    parts = reading.time_parts
    numbers = {part: _numbers(columns[name]) for name, part in parts.items() if part not in ("date", "clock")}
    texts = [_texts(columns[name]) for name, part in parts.items() if part in ("date", "clock")]
    missing = np.zeros(len(next(iter(columns.values()))), bool)
    for column in numbers.values():
        missing |= np.isnan(column)
    for words in texts:
        missing |= words == ""
    wrong = _out_of_range(numbers)
    filled = {part: np.where(wrong | missing, RANGES[part][0], column) for part, column in numbers.items()}
    joined = _iso(filled, len(missing), clock=bool(texts)) if "year" in numbers else None
    pieces = ([joined] if joined is not None else []) + texts
    if joined is None and numbers:
        pieces.append(_clock(filled))
    result = np.array([" ".join(words) for words in zip(*pieces, strict=True)], object)
    if wrong.any():  # refused by the parser with what the file says
        said = [columns[name] for name in parts]
        for row in np.flatnonzero(wrong & ~missing):
            result[row] = "-".join(_word(column[row]) for column in said)
    result[missing] = None
    return result


def _out_of_range(numbers: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    wrong: Any = np.zeros(1, bool)
    for part, column in numbers.items():
        low, high = RANGES[part]
        whole = column == np.floor(column) if part not in ("hour", "second") else True
        wrong = wrong | ~((column >= low) & (column <= high) & whole)
    if {"year", "month", "day"} <= set(numbers):
        month = _months(np.where(wrong, 1970, numbers["year"]), np.where(wrong, 1, numbers["month"]))
        length = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)
        wrong = wrong | (numbers["day"] > length)
    return np.asarray(wrong, bool)


def _months(year: NDArray[np.float64], month: NDArray[np.float64]) -> NDArray[np.datetime64]:
    return ((year - 1970) * 12 + month - 1).astype(np.int64).astype("datetime64[M]")


def _iso(numbers: Mapping[str, NDArray[np.float64]], rows: int, *, clock: bool) -> NDArray[np.object_]:
    """ISO texts of numbers, as fine as they tell."""
    ones = np.ones(rows)
    month = numbers.get("month", numbers.get("quarter", (ones + 2) / 3) * 3 - 2)
    first = _months(numbers["year"], month)
    if "week" in numbers:
        fourth = first.astype("datetime64[D]") + 3
        monday = fourth - (fourth.astype(np.int64) + 3) % 7
        day = monday + (7 * (numbers["week"] - 1)).astype(np.int64)
    else:
        day = first.astype("datetime64[D]") + (numbers.get("day", numbers.get("yearday", ones)) - 1).astype(np.int64)
    if clock or not set(_SECONDS) & set(numbers):
        finest = "M" if not {"day", "yearday", "week"} & set(numbers) and not clock else "D"
        return np.datetime_as_string(day.astype(f"datetime64[{finest}]")).astype(object)
    seconds = sum(numbers[part] * size for part, size in _SECONDS.items() if part in numbers)
    stamps = day.astype("datetime64[s]") + np.round(seconds).astype(np.int64)
    whole = bool((np.round(seconds) % 60 == 0).all()) and "second" not in numbers
    texts = np.datetime_as_string(stamps, unit="m" if whole else "s")
    return np.char.replace(texts, "T", " ").astype(object)


def _clock(numbers: Mapping[str, NDArray[np.float64]]) -> NDArray[np.object_]:
    """Time of day as text: ``13:00``; ``24:00`` ends the day."""
    seconds = np.asarray(sum(numbers[part] * size for part, size in _SECONDS.items() if part in numbers))
    whole = np.round(seconds).astype(np.int64)
    fine = "second" in numbers or (whole % 60).any()
    pieces = [f"{s // 3600:02d}:{s // 60 % 60:02d}" + (f":{s % 60:02d}" if fine else "") for s in whole.tolist()]
    return np.array(pieces, object)


def _numbers(column: NDArray[Any]) -> NDArray[np.float64]:
    if column.dtype.kind in "fiub":
        return column.astype(np.float64)
    import pandas as pd

    return pd.to_numeric(pd.Series(column), errors="coerce").to_numpy(np.float64, na_value=np.nan)


def _texts(column: NDArray[Any]) -> NDArray[np.object_]:
    """Texts without empty clocks at their end; "" where missing."""
    import pandas as pd

    texts = pd.Series(column, dtype=object)
    texts = texts.where(texts.notna(), "").map(str).str.strip()
    texts = texts.str.replace(r"[T ]00:00(:00(\.0+)?)?$", "", regex=True)
    return texts.where(~texts.isin(MISSING_TEXTS), "").to_numpy(object)


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)
