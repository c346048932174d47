"""Days without rows for a reason in a table of business days: public holidays of the country that explains most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.calendar import Calendar, position, shift, wall_clock
from keras_seq.data.covariates.calendar import holidays_of
from keras_seq.errors import ConfigError

COUNTRIES = ("US", "GB", "DE", "FR", "IT", "ES", "CA", "AU", "JP", "CN", "IN", "BR", "CH", "NL")
EXPLAINED = 0.6  # least share of the missing days that are holidays of one country
FEWEST = 3
MOST = 2000  # missing days beyond which they are no holidays


def is_of_days(calendar: Calendar) -> bool:
    """Whether a rule is one of days of the week."""
    return calendar.kind == "cycle" and not calendar.numbers and not calendar.within_days


def missing_days(calendar: Calendar, time: NDArray[np.datetime64], steps: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Days of the rule that lie between a stamp and the next one.

    Args:
        calendar: a rule of days.
        time: stamps after which days are missing ``(gaps,)``.
        steps: steps of the rule from each to the next stamp ``(gaps,)``.
    """
    after = [
        wall_clock(calendar, shift(calendar, time[i : i + 1], k)) for i, n in enumerate(steps) for k in range(1, n)
    ]
    return np.concatenate(after).astype("datetime64[D]") if after else np.zeros(0, "datetime64[D]")


def holiday_gaps(calendar: Calendar, time: NDArray[np.datetime64], missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which gaps hold nothing but public holidays of one country ``(rows - 1,)``; none where too few are explained.

    Args:
        calendar: rule of the stamps.
        time: stamps of all rows ``(rows,)``.
        missing: the steps that leave stamps out ``(rows - 1,)``.
    """
    nothing = np.zeros(len(missing), bool)
    places = np.flatnonzero(missing)
    if not is_of_days(calendar):
        return nothing
    steps = (position(calendar, time[places + 1]) - position(calendar, time[places])).astype(np.int64)
    if not FEWEST <= (steps - 1).sum() <= MOST:
        return nothing
    days = missing_days(calendar, time[places], steps)
    known = max((np.isin(days, _days_off(country, days)) for country in COUNTRIES), key=lambda hits: int(hits.sum()))
    if known.mean() < EXPLAINED:
        return nothing
    ends = np.cumsum(steps - 1)
    whole = [bool(known[end - many : end].all()) for end, many in zip(ends.tolist(), (steps - 1).tolist(), strict=True)]
    nothing[places[np.array(whole)]] = True
    return nothing


def _days_off(country: str, days: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Public holidays around days, and those of most exchanges; empty where the country's package is not installed."""
    from pandas.tseries.holiday import EasterMonday, GoodFriday

    first, last = days.min() - np.timedelta64(366, "D"), days.max() + np.timedelta64(366, "D")
    try:
        by_name = holidays_of(country, first, last)
    except ConfigError:
        return np.zeros(0, "datetime64[D]")
    easter = [np.asarray(rule.dates(str(first), str(last)), "datetime64[D]") for rule in (GoodFriday, EasterMonday)]
    return np.unique(np.concatenate([*(np.asarray(dates, "datetime64[D]") for dates in by_name.values()), *easter]))
