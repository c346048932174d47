"""Bins of a regular step: where each begins and ends, on the local clock of a zone.

Days, weeks and months begin at local midnight, so a bin of a day has 23 or 25 hours where the clock changes. Steps that
divide an hour follow each other without a break; steps of whole hours that divide a day begin at local midnight. Weeks
begin on Monday. Other steps are counted from 1970.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.calendar import DAY, MONDAY, Calendar, Int, from_wall, wall_ticks
from keras_seq.errors import ConfigError

HOUR = 3_600 * 10**9
_UNITS = {
    "s sec secs second seconds": 10**9,
    "min mins minute minutes": 60 * 10**9,
    "h hr hour hours": HOUR,
    "d day days": DAY,
    "w week weeks": 7 * DAY,
}
_MONTHS = {"mo month months": 1, "q quarter quarters": 3, "y yr year years": 12}


@dataclass(frozen=True)
class BinStep:
    """A step of bins.

    Attributes:
        ticks: its length, ns; 0: it is months.
        months: of it.
        number: its length where the time is numbers.
        zone: whose clock tells days and hours; None: that of the stamps.
    """

    ticks: int = 0
    months: int = 0
    number: float = 0.0
    zone: str | None = None

    @property
    def by_wall(self) -> bool:
        """Whether bins begin at places of the wall clock."""
        whole_hours = self.ticks > HOUR and self.ticks % HOUR == 0 and DAY % self.ticks == 0
        return (
            bool(self.months) or (self.ticks > 0 and self.ticks % DAY == 0) or (whole_hours and self.zone is not None)
        )


def parse_step(every: str, *, numbers: bool, zone: str | None) -> BinStep:
    """The step of ``data.resample.every``.

    Args:
        every: as the user writes it.
        numbers: the time is numbers, not dates.
        zone: of the stamps.

    Raises:
        ConfigError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)?\s*([A-Za-z]*)", every.strip())
    amount = float(match[1] or 1) if match and (match[1] or match[2]) else 0.0
    unit = match[2].lower() if match else ""
    if numbers and amount > 0 and not unit:
        return BinStep(number=amount)
    if not numbers and amount > 0:
        for words, months in _MONTHS.items():
            if unit in words.split() and amount.is_integer():
                return BinStep(months=int(amount) * months, zone=zone)
        for words, ticks in _UNITS.items():
            if unit in words.split():
                return BinStep(ticks=round(amount * ticks), zone=zone)
    wanted = (
        "a number above 0, as the time column holds numbers" if numbers else "a step such as 15min, 1h, 1d, 1w or 1mo"
    )
    raise ConfigError(f"Option 'data.resample.every' must be {wanted}, got '{every}'.")


def bin_starts(time: NDArray[Any], step: BinStep) -> NDArray[Any]:
    """The start of each stamp's bin ``(rows,)``, in the dtype of ``time`` (dates: ``datetime64[ns]``)."""
    if step.number:
        return np.floor(np.round(np.asarray(time, np.float64) / step.number, 9)) * step.number
    ticks = time.astype("datetime64[ns]").astype(np.int64)
    if step.by_wall:
        return _dates(from_wall(_wall_starts(wall_ticks(ticks, step.zone), step), step.zone))
    if step.zone is not None and HOUR % step.ticks == 0:
        ahead = wall_ticks(ticks, step.zone) - ticks  # local clock before universal time
        return _dates((ticks + ahead) // step.ticks * step.ticks - ahead)
    return _dates(ticks // step.ticks * step.ticks)


def next_starts(starts: NDArray[Any], step: BinStep) -> NDArray[Any]:
    """The start of the bin after each, which is its end ``(rows,)``."""
    if step.number:
        return (np.round(starts / step.number) + 1) * step.number
    ticks = starts.astype("datetime64[ns]").astype(np.int64)
    if not step.by_wall:
        return _dates(ticks + step.ticks)
    wall = _wall_starts(wall_ticks(ticks, step.zone), step)
    return _dates(from_wall(_later_wall(wall, step, 1), step.zone))


def all_starts(first: Any, last: Any, step: BinStep) -> NDArray[Any]:
    """The starts of all bins from one to another, both among them."""
    if step.number:
        return np.arange(round(first / step.number), round(last / step.number) + 1) * step.number
    ends = np.array([first, last], "datetime64[ns]").astype(np.int64)
    if not step.by_wall:
        return np.unique(bin_starts(_dates(_ticks_between(ends[0], ends[1], step.ticks)), step))
    low, high = _wall_starts(wall_ticks(ends, step.zone), step).tolist()
    if step.months:
        months = np.array([low, high]).view("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
        wall = np.arange(months[0], months[1] + 1, step.months).astype("datetime64[M]").astype("datetime64[ns]")
        return np.unique(_dates(from_wall(wall.astype(np.int64), step.zone)))
    return np.unique(_dates(from_wall(_ticks_between(low, high, step.ticks), step.zone)))


def count_bins(first: Any, last: Any, step: BinStep) -> float:
    """About how many bins lie from one to another."""
    if step.number:
        return float((last - first) / step.number) + 1
    ticks = float(np.asarray(last - first).astype("timedelta64[ns]").astype(np.int64))
    return ticks / (step.ticks or step.months * 28 * DAY) + 1


def calendar_of(step: BinStep) -> Calendar:
    """The rule by which the starts of bins follow one another."""
    if step.number:
        return Calendar(kind="step", step=step.number, numbers=True)
    if step.months:
        return Calendar(kind="months", months=step.months, days=(1,), ends=False, zone=step.zone)
    seconds = step.ticks / 1e9
    if step.by_wall and step.ticks % DAY:
        slots = tuple(float(place) for place in np.arange(0, 86_400, seconds))
        return Calendar(kind="cycle", cycle=86_400.0, slots=slots, zone=step.zone)
    return Calendar(kind="step", step=seconds, zone=step.zone)


def _wall_starts(wall: Int, step: BinStep) -> Int:
    if step.months:
        month = wall.view("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
        start = (month // step.months * step.months).astype("datetime64[M]").astype("datetime64[ns]")
        return np.asarray(start.astype(np.int64))
    origin = MONDAY if step.ticks % (7 * DAY) == 0 else 0
    return np.asarray((wall - origin) // step.ticks * step.ticks + origin)


def _later_wall(wall: Int, step: BinStep, number: int) -> Int:
    if not step.months:
        return wall + number * step.ticks
    month = wall.view("datetime64[ns]").astype("datetime64[M]") + number * step.months
    return np.asarray(month.astype("datetime64[ns]").astype(np.int64))


def _ticks_between(first: int, last: int, step: int) -> Int:
    """Every ``step``-th tick from one to another, both among them (``np.arange`` counts in float64, and loses it)."""
    return first + step * np.arange((last - first) // step + 1, dtype=np.int64)


def _dates(ticks: Int) -> NDArray[np.datetime64]:
    return np.asarray(ticks, np.int64).view("datetime64[ns]")
