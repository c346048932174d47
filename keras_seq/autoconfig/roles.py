"""Unit, group and time columns of a table, guessed from how values repeat and rise."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.autoconfig.table import ColumnProfile, TableProfile
from keras_seq.data.reading.dates import spoilt_date
from keras_seq.errors import ConfigError, DataError, nearest


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


UNIT_WORDS = words(
    "unit id engine machine pump device sensor station store wafer run vehicle car patient cast strand series customer "
    "asset serial motor bearing battery cell turbine meter site plant product item sku sequence sample subject "
    "equipment tool node user name"
)
GROUP_WORDS = words(
    "group site heat batch lot plant line fleet campaign furnace region patient subject customer factory"
)
CLOCK_WORDS = words(  # those that name nothing else; the others may be a season's inputs, too
    "time date datetime timestamp ts zeit datum uhrzeit zeitstempel zeitpunkt fecha hora tiempo heure horodatage "
    "tijd dato czas čas ora tempo 日期 时间 時間 日付 時刻 日時 날짜 시간 일시 дата время"
)
TIME_WORDS = CLOCK_WORDS | words(
    "t cycle cycles step hour hours day days week weeks month minute minutes second seconds year at when index tick "
    "period stunde woche monat jahr dia día mes año jour mois année semaine giorno mese anno godzina rok "
    "年 月 日 时 час день месяц год"
)
HOUR = 3_600_000_000_000  # nanoseconds
MOST_DOUBLED = 0.05  # share of rows with a stamp that their unit has already, which are merged
MOST_TRIED = 12  # columns of each kind that are compared with one another
NONE = "none"  # an option's word for: there is none


@dataclass(frozen=True)
class Order:
    """Rows of the head sorted by unit, and where the row before is of the same unit."""

    rows: NDArray[np.int64]
    inside: NDArray[np.bool_]

    def steps(self, values: NDArray[Any]) -> NDArray[Any]:
        """Differences to the row before in the same unit."""
        return np.diff(values[self.rows])[self.inside]

    def same(self, codes: NDArray[Any]) -> bool:
        """Whether a column is constant in every unit."""
        return not self.steps(codes).any()


@dataclass(frozen=True)
class ColumnRole:
    """The column that is the unit, time or group (None: none), why, which others could be, and a note for the user."""

    column: str | None
    why: str
    others: tuple[str, ...] = ()
    note: str = ""


def named(name: str, words: frozenset[str]) -> bool:
    """Whether one of the words of a column name (``engine_id``, ``EngineId``) is among ``words``."""
    apart = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    inside = any(len(word) > 1 and max(word) > "\u1100" and word in apart for word in words)  # no blanks in 采集时间
    return inside or not words.isdisjoint(re.split(r"[\W\d_]+", apart))


def codes(table: TableProfile, name: str) -> NDArray[np.int64]:
    """Values of a column of the head as numbers, equal for equal values; -1 where missing."""
    import pandas as pd

    return np.asarray(pd.factorize(table.head[name])[0], np.int64)


def order_by(table: TableProfile, unit: str | None) -> Order:
    """The head's rows by unit, in file order within one."""
    if unit is None:
        return Order(np.arange(len(table.head)), np.ones(len(table.head) - 1, bool))
    numbers = codes(table, unit)
    rows = np.argsort(numbers, kind="stable")
    return Order(rows, np.diff(numbers[rows]) == 0)


def choose_asked(table: TableProfile, name: str, option: str) -> str | None:
    """The column an option names, None for "none".

    Raises:
        ConfigError: there is no such column; names the nearest.
    """
    if name == NONE and NONE not in table.columns:
        return None
    if name not in table.columns:
        raise ConfigError(f"Option '{option}': '{table.path}' has no column '{name}'{nearest(name, table.columns)}")
    return name


def guess_unit(table: TableProfile, taken: set[str]) -> ColumnRole:
    """The column whose values name the units: it repeats, and blocks or restarting clocks go with it."""
    whole = order_by(table, None)
    times = [name for name in _clock_names(table, taken) if not _rises(table, name, whole)]
    scored: list[tuple[int, str, str]] = []
    for name in _unit_names(table, taken):
        column = table.columns[name]
        hint, blocks = _unit_like(name), column.counts is not None and column.runs == column.distinct
        order = order_by(table, name)
        clock = next((t for t in times if t != name and _rises(table, t, order)), None)
        counted = blocks and column.distinct >= 10
        score = 3 * hint + 2 * blocks + 4 * (clock is not None) + 2 * counted - 4 * named(name, TIME_WORDS)
        reasons = [f"{column.distinct} values that repeat"]
        reasons += ["each in one block of rows"] if blocks else []
        reasons += [f"'{clock}' rises within each and starts again"] if clock else []
        scored.append((score, name, ", ".join(reasons)))
    scored.sort(key=lambda item: -item[0])  # stable: the first column of equals
    sure = [item for item in scored if item[0] >= 4]
    if not sure:
        others = tuple(name for score, name, _ in scored if score > 0)
        why = "no column repeats as the name of a unit would: the whole file is one series"
        return ColumnRole(None, why, others, _holed_unit(table, taken))
    return ColumnRole(sure[0][1], sure[0][2], tuple(name for _, name, _ in sure[1:4]))


def guess_time(table: TableProfile, unit: str | None, taken: set[str]) -> ColumnRole:
    """The column that rises within every unit; dates first, then by name.

    Raises:
        DataError: dates are there, but they do not rise; says how to sort the file.
    """
    order = order_by(table, unit)
    names = _clock_names(table, taken)
    rising = [name for name in names if _rises(table, name, order)]
    if not unit:  # a sensor may happen to rise all the way: without a name or dates only even steps count
        rising = [n for n in rising if table.is_date(n) or named(n, TIME_WORDS) or _even(table, n, order)]
    else:
        rising = [n for n in rising if table.is_date(n) or named(n, TIME_WORDS) or table.columns[n].whole]
    dates = [name for name in names if table.is_date(name)]
    if not dates:
        _refuse_spoilt(table, taken)
    if dates and not any(name in rising for name in dates):
        if not sortable(table, dates[0], unit):
            raise _unsorted(table, dates[0], unit, order)
        return ColumnRole(dates[0], "dates, though not every row's is later than that of the row before")
    if not rising:
        why = "no column rises with the rows: steps are counted, in the order of the file"
        return ColumnRole(None, why, note=_unread_time(table, taken))
    where = "within every unit" if unit else "from row to row"
    what = "dates that rise" if table.is_date(rising[0]) else "rises"
    return ColumnRole(rising[0], f"{what} {where}", tuple(rising[1:4]))


def _refuse_spoilt(table: TableProfile, taken: set[str]) -> None:
    """Refuse a column of dates of which a few are none: a total, a day that there is not.

    Raises:
        DataError: names the first one and its row.
    """
    for name, column in table.columns.items():
        if name in taken or column.kind != "text" or column.missing or column.distinct <= table.rows // 2:
            continue
        spoilt = spoilt_date(table.head[name], name, table.path)
        if spoilt is not None:
            row, text = spoilt
            last = " A row below the table is left out by --data.skip_footer 1." if row >= len(table.head) - 3 else ""
            raise DataError(
                f"Column '{name}' of '{table.path}' holds {text!r} in data row {row + 1}, where nearly all others are "
                f"dates. Mend the row or take it out, or give --time none, if the rows are to be counted.{last}"
            )


def guess_group(table: TableProfile, unit: str | None, taken: set[str]) -> ColumnRole:
    """A column that holds several units each, by its name."""
    if unit is None:
        return ColumnRole(None, "without units there are no groups of them")
    order, units = order_by(table, unit), table.columns[unit].distinct
    possible = [
        column.name
        for column in _filled(table, taken)
        if 4 <= column.distinct < units and order.same(codes(table, column.name))
    ]
    likely = [name for name in possible if named(name, GROUP_WORDS)]
    if not likely:
        return ColumnRole(None, "no column is known to hold units that belong together", tuple(possible[:3]))
    count = table.columns[likely[0]].distinct
    return ColumnRole(
        likely[0], f"{count} values, each for whole units: they are never split apart", tuple(likely[1:3])
    )


def check_part(table: TableProfile, part: str, name: str | None, unit: str | None) -> None:
    """Refuse a column that an option gives a part it cannot play.

    Raises:
        DataError: a unit or group without name in some row, a time that does not rise.
    """
    if name is None:
        return
    if part in ("unit", "group"):
        if table.columns[name].missing:
            raise DataError(
                f"Column '{name}' of '{table.path}' is empty in {table.columns[name].missing} rows, so it cannot tell "
                f"the {part}; fill it, or name another column with --{part}."
            )
        return
    order = order_by(table, unit)
    if name not in table.clocks:
        raise DataError(
            f"Column '{name}' of '{table.path}' is no time: it must hold a number in every row, or dates in one format "
            "such as 2024-05-31 14:00:00. Mend it, name another column with --time, or give --time none."
        )
    if not _rises(table, name, order) and not sortable(table, name, unit):
        raise _unsorted(table, name, unit, order)


def sortable(table: TableProfile, name: str, unit: str | None) -> bool:
    """Whether dates do not rise, but have hardly a stamp twice within a unit: rows can be sorted and merged by them."""
    order = order_by(table, unit)
    steps = order.steps(table.clocks[name])
    if not table.is_date(name) or ((steps < 0).any() and _put_back(steps)):
        return False
    return doubled_share(table, name, unit) <= MOST_DOUBLED


def doubled_share(table: TableProfile, name: str, unit: str | None) -> float:
    """Share of the head's rows whose unit has their stamp already, with other values."""
    units = codes(table, unit) if unit else np.zeros(len(table.head), np.int64)
    clock = table.clocks[name]
    order = np.lexsort((clock, units))
    same = (np.diff(clock[order]) == 0) & (np.diff(units[order]) == 0)
    if same.any():
        same &= ~table.head.iloc[order].duplicated().to_numpy()[1:]
    return float(same.mean()) if len(same) else 0.0


def _put_back(steps: NDArray[Any]) -> bool:
    """Whether all that falls is a clock put back for winter."""
    return bool((steps <= 0).sum() <= 2 + len(steps) // 1000 and (steps >= -HOUR).all())


def _unit_like(name: str) -> bool:
    """Whether a name is one of units; ``sensor_7`` is not."""
    return named(name, UNIT_WORDS) and not name[-1:].isdigit()


def _filled(table: TableProfile, taken: set[str]) -> list[ColumnProfile]:
    """Columns of words or whole numbers, filled in every row."""
    free = [column for name, column in table.columns.items() if name not in taken and not column.missing]
    return [column for column in free if column.kind == "text" or (column.kind == "number" and column.whole)]


def _unit_names(table: TableProfile, taken: set[str]) -> list[str]:
    columns = [column for column in _filled(table, taken) if column.counts is not None]
    fit = [column.name for column in columns if 2 <= column.distinct <= table.rows // 2]
    return sorted(fit, key=lambda name: not _unit_like(name))[:MOST_TRIED]


def _clock_names(table: TableProfile, taken: set[str]) -> list[str]:
    fit = [name for name in table.clocks if name not in taken and table.columns[name].distinct > 1]
    return sorted(fit, key=lambda name: (not table.is_date(name), not named(name, TIME_WORDS)))[:MOST_TRIED]


def _holed_unit(table: TableProfile, taken: set[str]) -> str:
    """That a column would name the units were it not empty in some rows; empty: there is none such."""
    for name, column in table.columns.items():
        likely = column.kind == "text" and _unit_like(name) and 2 <= column.distinct <= table.rows // 2
        if name not in taken and column.missing and likely:
            return (
                f"column '{name}' seems to name the units, but is empty in {column.missing} rows, so the file is taken "
                "for one series: fill it in every row"
            )
    return ""


def _unread_time(table: TableProfile, taken: set[str]) -> str:
    """That a column seems to tell the time but cannot be read as one, and why; empty: there is none such."""
    for name, column in table.columns.items():
        if name not in taken and name in table.clocks and column.kind == "number" and named(name, CLOCK_WORDS):
            return (
                f"column '{name}' may tell the time, but its numbers do not rise with the rows: steps are counted. "
                f"Sort the file by it and give --time {shlex.quote(name)}, name the units with --unit, or say "
                "--time none, if it is no time"
            )
        text = column.word or next(iter(column.counts or ()), "")
        timed = named(name, TIME_WORDS) and column.kind in ("text", "mixed", "number")
        stamps = column.kind == "text" and re.search(r"\d[-/.:]\d", text) and column.distinct > table.rows // 2
        if name in taken or name in table.clocks or not (timed or stamps):
            continue
        if column.missing:
            what = f"is empty in {column.missing} rows"
        elif column.kind == "mixed":
            what = f"holds {text!r} in data row {column.word_row} ({column.words} in all)"
        else:
            what = f"holds no dates in one format that is known or named with data.date_format (first: {text!r})"
        return (
            f"column '{name}' seems to tell the time, but {what}: every row is taken for one step, in the order of "
            "the file, and gaps or rows out of order cannot be seen. Mend it and give --time "
            f"{shlex.quote(name)}; or --time none, if it is no time"
        )
    return ""


def _rises(table: TableProfile, name: str, order: Order) -> bool:
    steps = order.steps(table.clocks[name])
    if not len(steps) or (steps < 0).any() or not (steps > 0).any():
        return False
    doubled = np.flatnonzero(steps == 0)
    return not len(doubled) or (table.is_date(name) and _mergeable(table, order, doubled))


def _mergeable(table: TableProfile, order: Order, doubled: NDArray[np.int64]) -> bool:
    """Whether rows of one stamp are merged as asked for, or are copies of the rows before them."""
    if table.duplicates != "error":
        return True
    before, after = order.rows[:-1][order.inside][doubled], order.rows[1:][order.inside][doubled]
    rows = [table.head.iloc[places].reset_index(drop=True) for places in (before, after)]
    return bool(rows[0].equals(rows[1]))


def _even(table: TableProfile, name: str, order: Order) -> bool:
    steps = order.steps(table.clocks[name])
    return table.columns[name].whole and bool((steps == steps[0]).all())


def _unsorted(table: TableProfile, name: str, unit: str | None, order: Order) -> DataError:
    """What is wrong with a time that does not rise, and the way to sort it."""
    steps = order.steps(table.clocks[name])
    clock = ""
    if table.is_date(name) and _put_back(steps):
        clock = " Where a clock was put back for winter, name its zone instead: --data.zone Europe/Berlin."
    if (steps < 0).any():
        newest = " (the newest rows come first)" if (steps <= 0).all() else ""
        target = table.path.with_name(table.path.stem.removesuffix(".csv") + "_sorted.csv")
        read = "read_parquet" if table.path.suffix in (".parquet", ".pq") else "read_csv"
        options = "" if read == "read_parquet" else ", sep=None, engine='python'"
        by = [unit, name] if unit else [name]
        key = f", key=lambda c: pd.to_datetime(c) if c.name == {name!r} else c" if table.is_date(name) else ""
        return DataError(
            f"Column '{name}' of '{table.path}' goes back in time{newest}; rows must be sorted"
            f'{" within each " + repr(unit) if unit else ""}. Sort them: python -c "import pandas as pd; '
            f"pd.{read}({str(table.path)!r}{options}).sort_values({by!r}, kind='stable'{key}).to_csv({str(target)!r}, "
            f'index=False)" (or, if it is not the time, give --time none or another column).{clock}'
        )
    value = table.head[name].iloc[order.rows[1:][order.inside][int((steps == 0).argmax())]]
    place = f"unit '{unit}'" if unit else "file"
    return DataError(
        f"Column '{name}' of '{table.path}' holds {value!r} twice within one {place}. If several things are measured "
        "at each time, name the column that tells them apart with --unit; else remove the doubled rows, merge them "
        f"(--data.duplicates first, last or mean), or give --time none.{clock}"
    )
