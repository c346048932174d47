"""Known-ahead covariates: sine and cosine of the place in year, month, week or day; holidays; events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.calendar import Calendar, shift, wall_clock
from keras_seq.errors import ConfigError

Float = NDArray[np.float32]
_DAY = np.timedelta64(1, "D")


def cycle(time: NDArray[np.datetime64], name: str, harmonics: int) -> dict[str, Float]:
    """Sine and cosine of the place in a cycle: ``{"year_sin1": ..., "year_cos1": ...}``, ``(rows,)`` float32 each.

    Args:
        time: of the rows ``(rows,)``.
        name: "year", "month", "week" or "hour".
        harmonics: pairs of columns: of the cycle itself, its half, its third.
    """
    share = _share(time, name)
    columns = {}
    for k in range(1, harmonics + 1):
        angle = 2.0 * np.pi * k * share
        columns[f"{name}_sin{k}"] = np.sin(angle).astype(np.float32)
        columns[f"{name}_cos{k}"] = np.cos(angle).astype(np.float32)
    return columns


def _share(time: NDArray[np.datetime64], name: str) -> NDArray[np.float64]:
    """Place in the cycle as a number from 0 to 1."""
    if name in ("year", "month"):
        kind = "Y" if name == "year" else "M"
        first = time.astype(f"datetime64[{kind}]")
        span = (first + 1).astype("datetime64[s]") - first.astype("datetime64[s]")
        return (time.astype("datetime64[s]") - first.astype("datetime64[s]")) / span
    seconds = time.astype("datetime64[s]").astype(np.int64)
    if name == "week":
        return ((seconds + 3 * 86400) % (7 * 86400)) / (7 * 86400)  # 1970-01-01 was a Thursday; weeks begin on Monday
    return (seconds % 86400) / 86400


def happens(calendar: Calendar, time: NDArray[np.datetime64], lead: int, dates: Sequence[np.datetime64]) -> Float:
    """How many of ``dates`` lie in the period of the stamp ``lead`` steps after each row ``(rows,)``.

    A stamp stands for the days after the one before it, up to its own (a month's last day), or for its own and those
    before the next one (a month's first day), as the calendar says; for its own day where a day has several stamps or
    stamps follow no rule.

    Args:
        calendar: the rule of the stamps.
        time: of the rows ``(rows,)``.
        lead: steps.
        dates: of the event.
    """
    wanted = np.sort(np.asarray(dates, "datetime64[D]"))
    if calendar.within_days:
        first = after = _days(calendar, time, lead)
        after = after + _DAY
    elif calendar.ends:
        first, after = (_days(calendar, time, step) + _DAY for step in (lead - 1, lead))
    else:
        first, after = (_days(calendar, time, step) for step in (lead, lead + 1))
    return (np.searchsorted(wanted, after) - np.searchsorted(wanted, first)).astype(np.float32)


def _days(calendar: Calendar, time: NDArray[np.datetime64], steps: int) -> NDArray[np.datetime64]:
    return wall_clock(calendar, shift(calendar, time, steps) if steps else time).astype("datetime64[D]")


def holidays_of(country: str, first: np.datetime64, last: np.datetime64) -> dict[str, list[np.datetime64]]:
    """Public holidays by name. ``US``: federal ones by pandas; others by the package ``holidays``.

    Raises:
        ConfigError: the package is not installed, or does not know the country.
    """
    import pandas as pd

    if country.upper() == "US":
        from pandas.tseries.holiday import USFederalHolidayCalendar

        federal = USFederalHolidayCalendar().holidays(pd.Timestamp(first), pd.Timestamp(last), return_name=True)
        pairs = list(zip(federal.index.to_numpy(), federal.to_numpy(), strict=True))
    else:
        try:
            import holidays
        except ImportError:
            raise ConfigError(
                f"data.covariates.holidays={country!r} needs the package 'holidays' (only US comes without it); "
                "install it, or list the days in data.covariates.events."
            ) from None
        years = range(pd.Timestamp(first).year, pd.Timestamp(last).year + 1)
        try:
            table = holidays.country_holidays(country.upper(), years=years)
        except NotImplementedError:
            raise ConfigError(f"data.covariates.holidays={country!r} is no country code; use US, DE, FR, ...") from None
        pairs = [(np.datetime64(day), name) for day, name in sorted(table.items())]
    by_name: dict[str, list[np.datetime64]] = {}
    for day, name in pairs:
        by_name.setdefault(_slug(str(name)), []).append(np.datetime64(day, "D"))
    return dict(sorted(by_name.items()))


def event_dates(events: Mapping[str, Sequence[str]]) -> dict[str, list[np.datetime64]]:
    """Dates of the user's events.

    Raises:
        ConfigError: a date cannot be read; names the event.
    """
    dates_by_event: dict[str, list[np.datetime64]] = {}
    for name, dates in events.items():
        try:
            dates_by_event[_slug(name)] = [np.datetime64(date, "D") for date in dates]
        except ValueError:
            raise ConfigError(
                f"data.covariates.events: event '{name}' has a date that is none in {list(dates)}; write 2019-07-04."
            ) from None
    return dates_by_event


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower()).strip("_")
