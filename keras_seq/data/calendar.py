"""Calendar of a table: the rule of its time stamps, read off once, kept in the schema, continued at prediction.

Stamps are naive ``datetime64`` (wall clock), or UTC with the IANA name of the zone whose wall clock they follow, or
numbers. The rule alone tells the next stamp of a row, never the rows that follow it in the file: what is known of a
row is the same whether or not later rows are there.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from keras_seq.config.base import ConfigSection
from keras_seq.errors import DataError

Int = NDArray[np.int64]
DAY = 86_400 * 10**9  # ns
MONDAY = 4 * DAY  # 1970-01-05, where weeks are counted from
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SPANS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


class Calendar(ConfigSection):
    """Rule of the time stamps of a table: fixed step, cycle, days of months, or none.

    - step: one after ``step``. A step of whole days keeps the wall clock of the zone.
    - cycle: the places ``slots`` in every ``cycle``, counted from Monday, 1970-01-05 (numbers: from 0): opening days
      and hours.
    - months: in every ``months``-th month the days ``days``, from its end where negative, counted as ``count`` says.
    - irregular: none.
    """

    kind: Literal["step", "cycle", "months", "irregular"]
    numbers: bool = Field(False, description="stamps are numbers, not dates")
    step: float = Field(0.0, description="seconds (of numbers: their unit) from one stamp to the next")
    cycle: float = Field(0.0, description="length of a cycle, in the unit of step")
    slots: tuple[float, ...] = Field((), description="places of the stamps in a cycle, in the unit of step")
    months: int = Field(0, description="months from one period to the next")
    days: tuple[int, ...] = Field((), description="1: the first day of the month, -1: the last")
    count: Literal["day", "business day", "weekday"] = Field("day", description="what days counts in a month")
    weekday: int = Field(0, description="0: Monday, where days counts one weekday")
    ends: bool = Field(True, description="a stamp ends its period (a month's last day), or begins it (its first)")
    zone: str | None = Field(None, description="IANA zone whose wall clock the rule follows; stamps are then UTC")
    units: dict[str, Calendar] = Field(default_factory=dict, description="units that follow a rule of their own")

    @model_validator(mode="after")
    def _whole(self) -> Calendar:
        if self.kind == "step" and not self.step > 0:
            raise ValueError(f"kind 'step' needs a step above 0, got {self.step:g}")
        rising = self.slots == tuple(sorted(set(self.slots)))
        if self.kind == "cycle" and not (self.slots and rising and self.slots[0] >= 0 and self.slots[-1] < self.cycle):
            raise ValueError(f"kind 'cycle' needs rising slots from 0 to below its cycle of {self.cycle:g}")
        if self.kind == "months" and (self.months < 1 or not self.days or 0 in self.days or self.numbers):
            raise ValueError("kind 'months' needs months of at least 1, days such as 1 or -1, and dates")
        return self

    def of(self, unit: str) -> Calendar:
        """The rule of a unit: its own where it has one."""
        return self.units.get(str(unit), self)

    @property
    def regular(self) -> bool:
        """Whether the next stamp can be told."""
        return self.kind != "irregular"

    @property
    def within_days(self) -> bool:
        """Whether a day may have several stamps."""
        if self.kind == "cycle":
            return any(slot % 86_400 for slot in self.slots)
        return self.kind == "irregular" or (self.kind == "step" and self.step < 86_400)


def shift(calendar: Calendar, time: NDArray[Any], steps: int | Int) -> NDArray[Any]:
    """Time stamps ``steps`` steps after each stamp, by the rule alone.

    Args:
        calendar: the rule.
        time: stamps ``(rows,)``, as the calendar takes them.
        steps: one number or one a row ``(rows,)``; negative: before.

    Returns:
        ``(rows,)``, datetime64[ns] or float64. A stamp beside the rule goes on with the next one on it.

    Raises:
        DataError: the stamps follow no rule.
    """
    if not calendar.regular:
        raise DataError("The stamps of this table follow no rule, so the next one is not known.")
    if calendar.numbers:
        return _shift_numbers(calendar, np.asarray(time, np.float64), steps)
    unknown = np.isnat(time)
    stamps = np.where(unknown, 0, _ticks(time))
    number = np.broadcast_to(np.asarray(steps, np.int64), stamps.shape)
    if calendar.kind == "step" and (calendar.zone is None or calendar.step % 86_400):
        later = stamps + number * round(calendar.step * 1e9)
    else:
        wall = _shift_wall(calendar, wall_ticks(stamps, calendar.zone), number)
        later = from_wall(wall, calendar.zone)
        if calendar.zone is not None and calendar.within_days:  # in an hour that comes twice time does not go back
            later = np.where((later - stamps) * np.sign(number) > 0, later, from_wall(wall, calendar.zone, first=False))
    moved = np.where(number == 0, stamps, later).view("datetime64[ns]")
    return np.where(unknown, np.datetime64("NaT", "ns"), moved)


def position(calendar: Calendar, time: NDArray[Any]) -> Int:
    """Position of each stamp among all stamps of the rule, int64 ``(rows,)``; told by the stamp alone.

    Raises:
        DataError: the stamps follow no rule.
    """
    if not calendar.regular:
        raise DataError("The stamps of this table follow no rule, so they have no number.")
    if calendar.numbers and calendar.kind == "step":
        return np.floor(np.round(np.asarray(time, np.float64) / calendar.step, 6)).astype(np.int64)
    if calendar.numbers:
        return _place(time.astype(np.int64), round(calendar.cycle), np.array(calendar.slots, np.int64), 0)
    ticks = np.where(np.isnat(time), 0, _ticks(time))
    if calendar.kind == "step" and calendar.step % 86_400:
        return ticks // round(calendar.step * 1e9)
    wall = wall_ticks(ticks, calendar.zone)
    if calendar.kind == "step":
        return wall // round(calendar.step * 1e9)
    if calendar.kind == "cycle":
        return _place(wall - MONDAY, round(calendar.cycle * 1e9), _slots(calendar), 0)
    return wall.view("datetime64[ns]").astype("datetime64[M]").astype(np.int64) // calendar.months * len(
        calendar.days
    ) + _nearest_day(calendar, wall)


def later(calendar: Calendar, last: np.datetime64 | float, steps: int) -> NDArray[Any]:
    """The next ``steps`` stamps after ``last``: ``(steps,)``."""
    count = np.arange(1, steps + 1)
    return shift(calendar, np.repeat(np.asarray([last]), steps), count)


def wall_clock(calendar: Calendar | None, time: NDArray[Any]) -> NDArray[np.datetime64]:
    """Local time of stamps in UTC ``(rows,)``: what years, weekdays and hours are read from."""
    if calendar is None or calendar.zone is None:
        return time
    return wall_ticks(_ticks(time), calendar.zone).view("datetime64[ns]")


def forecast_stamps(calendar: Calendar, last: NDArray[Any], steps: int, unit: NDArray[np.str_]) -> Any:
    """Time stamps of forecast steps; missing where the unit's stamps follow no rule.

    Args:
        calendar: the rule.
        last: stamp of the last row that each forecast has seen ``(n,)``.
        steps: of a forecast.
        unit: name of each forecast's unit ``(n,)``.

    Returns:
        ``(n * steps,)``, the steps of one forecast together; a pandas index with the zone where there is one.
    """
    nothing: Any = np.nan if calendar.numbers else np.datetime64("NaT", "ns")
    stamps = np.full((len(last), steps), nothing)
    ahead = np.tile(np.arange(1, steps + 1), (len(last), 1))
    apart = np.isin(unit, list(calendar.units))
    groups = [(calendar, ~apart), *((calendar.units[name], unit == name) for name in np.unique(unit[apart]).tolist())]
    for rule, rows in groups:
        if rule.regular and rows.any() and calendar.numbers == (last.dtype.kind != "M"):
            moved = shift(rule, np.repeat(last[rows], steps), ahead[rows].reshape(-1))
            stamps[rows] = moved.reshape(-1, steps)
    if calendar.zone is None:
        return stamps.reshape(-1)
    import pandas as pd

    return pd.DatetimeIndex(stamps.reshape(-1), tz="UTC").tz_convert(calendar.zone)


def describe(calendar: Calendar) -> str:
    """Calendar in words: ``every 1 day``, ``Mon, Tue, Wed, Thu, Fri``, ``last day of every 3 months``."""
    if calendar.kind == "irregular":
        text = "by no rule"
    elif calendar.kind == "step":
        text = f"every {_span(calendar, calendar.step)}"
    elif calendar.kind == "months":
        counted = calendar.count if calendar.count != "weekday" else WEEKDAYS[calendar.weekday]
        days = [{1: f"first {counted}", -1: f"last {counted}"}.get(day, f"{counted} {day}") for day in calendar.days]
        text = f"{', '.join(days)} of every {calendar.months} months"
    elif calendar.numbers or calendar.cycle != 7 * 86_400 or calendar.within_days:
        text = f"{len(calendar.slots)} times in every {_span(calendar, calendar.cycle)}"
    else:
        text = ", ".join(WEEKDAYS[int(slot // 86_400)] for slot in calendar.slots)
    own = f"; {len(calendar.units)} units by rules of their own" if calendar.units else ""
    return text + (f" ({calendar.zone})" if calendar.zone else "") + own


def _span(calendar: Calendar, seconds: float) -> str:
    if calendar.numbers:
        return f"{seconds:g}"
    size, name = next(((size, name) for size, name in SPANS if seconds % size == 0), (1, "second"))
    return f"{seconds / size:g} {name}{'' if seconds == size else 's'}"


def _ticks(time: NDArray[Any]) -> Int:
    """Nanoseconds since 1970 ``(rows,)``."""
    return np.asarray(time).astype("datetime64[ns]").astype(np.int64)


def wall_ticks(stamps: Int, zone: str | None) -> Int:
    """Wall clock of universal time, both in nanoseconds since 1970 ``(rows,)``."""
    if zone is None:
        return stamps
    import pandas as pd

    local = pd.DatetimeIndex(stamps.view("datetime64[ns]"), tz="UTC").tz_convert(zone).tz_localize(None)
    return local.to_numpy("datetime64[ns]").astype(np.int64)


def from_wall(wall: Int, zone: str | None, *, first: bool = True) -> Int:
    """UTC of a wall clock; an hour that it skips is the one after it, of one that comes twice the first or second."""
    if zone is None:
        return wall
    import pandas as pd

    naive = pd.DatetimeIndex(wall.view("datetime64[ns]"))
    local = naive.tz_localize(zone, ambiguous=np.full(len(naive), first), nonexistent="shift_forward")
    return local.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[ns]").astype(np.int64)


def _shift_wall(calendar: Calendar, wall: Int, number: Int) -> Int:
    if calendar.kind == "step":
        return wall + number * round(calendar.step * 1e9)
    if calendar.kind == "months":
        return _shift_months(calendar, wall, number)
    slots = _slots(calendar)
    rest = wall * 0 if calendar.within_days else wall % DAY  # days keep their own time of day
    return _shift_cycle(wall - rest, round(calendar.cycle * 1e9), slots, number, MONDAY) + rest


def _shift_cycle(time: Int, cycle: int, slots: Int, number: Int, origin: int) -> Int:
    """Times ``number`` slots later in a cycle; a time between two slots goes on from the earlier one."""
    place = _place(time, cycle, slots, origin)
    beside = origin + (place // len(slots)) * cycle + slots[place % len(slots)] != time
    moved = place + number + (beside & (number < 0))
    return origin + (moved // len(slots)) * cycle + slots[moved % len(slots)]


def _place(time: Int, cycle: int, slots: Int, origin: int) -> Int:
    """Number of the last slot up to each time ``(rows,)``."""
    number, rest = np.divmod(time - origin, cycle)
    return number * len(slots) + np.searchsorted(slots, rest, side="right") - 1


def _slots(calendar: Calendar) -> Int:
    return np.array([round(slot * 1e9) for slot in calendar.slots], np.int64)


def _shift_months(calendar: Calendar, wall: Int, number: Int) -> Int:
    moved = _nearest_day(calendar, wall) + number
    month = wall.view("datetime64[ns]").astype("datetime64[M]") + calendar.months * (moved // len(calendar.days))
    label = np.array(calendar.days)[moved % len(calendar.days)]
    later = day_of_month(calendar, month, label)
    return later.astype("datetime64[ns]").astype(np.int64) + wall % DAY


def _nearest_day(calendar: Calendar, wall: Int) -> Int:
    """Which of the calendar's days each stamp is, or is nearest to, in its month ``(rows,)``."""
    stamps = wall.view("datetime64[ns]")
    month, day = stamps.astype("datetime64[M]"), stamps.astype("datetime64[D]")
    choices = np.stack([day_of_month(calendar, month, label) for label in calendar.days], axis=-1)
    return np.abs((choices - day[..., None]).astype(np.int64)).argmin(axis=-1)


def day_of_month(calendar: Calendar, month: NDArray[np.datetime64], label: int | Int) -> NDArray[np.datetime64]:
    """The day that a label stands for in each month ``(rows,)``: the 30th of February is its last day."""
    first = month.astype("datetime64[D]")
    length = ((month + 1).astype("datetime64[D]") - first).astype(np.int64)
    label = np.broadcast_to(np.asarray(label, np.int64), first.shape)
    if calendar.count == "business day":
        forward = np.busday_offset(first, np.maximum(label, 1) - 1, roll="forward")
        backward = np.busday_offset(first + (length - 1), np.minimum(label, -1) + 1, roll="backward")
        return np.where(label > 0, forward, backward)
    if calendar.count == "weekday":
        begins = (first.astype(np.int64) + 3) % 7  # Monday: 0
        earliest = (calendar.weekday - begins) % 7
        latest = earliest + 7 * ((length - 1 - earliest) // 7)
        return first + np.where(label > 0, earliest + 7 * (label - 1), latest + 7 * (label + 1))
    return first + np.where(label > 0, np.minimum(label, length) - 1, length + label)


def _shift_numbers(calendar: Calendar, time: NDArray[np.float64], steps: int | Int) -> NDArray[np.float64]:
    if calendar.kind == "step":
        return time + np.asarray(steps) * calendar.step
    known = np.isfinite(time)
    number = np.broadcast_to(np.asarray(steps, np.int64), time.shape)
    whole, slots = np.where(known, time, 0.0).astype(np.int64), np.array(calendar.slots, np.int64)
    later = _shift_cycle(whole, round(calendar.cycle), slots, number, 0)
    return np.where(known, np.where(number == 0, time, later), np.nan)
