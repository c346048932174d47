"""Calendar detection: the rule of a table's time stamps, read off its rows."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.calendar import DAY, MONDAY, Calendar, Int, day_of_month, describe, shift, wall_clock
from keras_seq.data.series import Series
from keras_seq.errors import DataError

LONGEST_UNIT = 20_000  # last rows of a unit that are looked at
ROWS = 200_000  # of all units together, and that are read where they stay on disk
REACHED = 0.9  # least share of steps that lead from one place of the rule to a later one
MONTH = 30.436875 * 86_400  # s
FOLLOWED = 0.5  # least share of steps that lead to the very next place
CHECKED = 100  # last rows of a unit whose steps are compared with the rule at prediction
JITTER = 0.1  # deviation from the usual step, as a share of it, of stamps that are near a rule
LONGEST = 64  # stamps of a cycle that is no week
OFTEN = 0.75  # share of the rounds in which a longer step of a cycle is found, of MANY rounds; of fewer in all
MANY = 6
FINEST = 60 * 10**9  # ns: smallest step for which opening hours are looked for
CHANCE = 0.01  # of taking a place for closed whose rows are missing by chance


def with_calendar(series: Series) -> Series:
    """The series with the rule of its stamps in the schema, read off unless it is there; none if rows are counted."""
    schema = series.schema
    if schema.calendar is not None or not (schema.time_column or series.time.dtype.kind == "M"):
        return series
    rows = len(series.time)
    first = 0 if isinstance(series.time, np.ndarray) else max(0, rows - ROWS)
    time = np.asarray(series.time[first:rows])
    low, high = series.offsets[:-1] - first, series.offsets[1:] - first
    most = min(LONGEST_UNIT, max(100, ROWS // max(series.n_units, 1)))
    times = [time[max(a, b - most, 0) : max(b, 0)] for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    zone = schema.reading.zone if schema.reading else None
    calendar = observe(times, series.unit_ids.tolist(), zone)
    return dataclasses.replace(series, schema=schema.model_copy(update={"calendar": calendar}))


def observe(times: Sequence[NDArray[Any]], names: Sequence[str] = (), zone: str | None = None) -> Calendar:
    """Calendar of time stamps: the rule that most units follow, and those of units that follow another.

    Args:
        times: stamps of each unit ``(rows,)``: naive datetime64, UTC where a zone is named, or numbers.
        names: of the units.
        zone: IANA zone whose wall clock the stamps follow.

    Returns:
        The simplest rule by which most rows are followed by their next; irregular where there is none.
    """
    stamps = [_known(np.asarray(time)) for time in times]
    rule = _observe(stamps, zone)
    if not rule.regular and len(stamps) > 1:
        rows: Counter[str] = Counter()
        for time in stamps:
            rows[_observe([time], zone).model_dump_json()] += len(time)
        rules = [Calendar.model_validate_json(text) for text, _ in rows.most_common()]
        rule = next((choice for choice in rules if choice.regular), rule)
    if len(names) < 2 or not rule.regular:
        return rule
    never = set(_strangers(rule, stamps, least=1e-9))
    own = {unit: _observe([stamps[unit]], zone) for unit in _strangers(rule, stamps, least=FOLLOWED)}
    units = {str(names[unit]): o for unit, o in own.items() if o != rule and (o.regular or unit in never)}
    return rule.model_copy(update={"units": units})


def check_steps(rule: Calendar | None, time: NDArray[Any], offsets: Int, names: NDArray[np.str_], path: Path) -> None:
    """Refuse units whose rows do not go on as those of training did, seen in at least three steps.

    Args:
        rule: of training; None or irregular: nothing is asked for.
        time: stamps of the rows ``(rows,)``.
        offsets: of the units ``(units + 1,)``.
        names: of the units ``(units,)``.
        path: the file, for messages.

    Raises:
        DataError: names the first unit and the rule.
    """
    if rule is None or rule.numbers != (time.dtype.kind != "M"):
        return
    stamps = [_known(time[max(low, high - CHECKED) : high]) for low, high in pairwise(offsets.tolist())]
    apart = [number for number, name in enumerate(names.tolist()) if name in rule.units]
    common = [*stamps]
    for number in apart:
        common[number] = stamps[number][:0]
    wrong = _strangers(rule, common, least=0.0)
    for number in apart:
        wrong += [number] if _strangers(rule.of(names[number]), [stamps[number]], least=0.0) else []
    if wrong:
        unit = min(wrong)
        shown = ", ".join(str(stamp) for stamp in stamps[unit][-3:])
        raise DataError(
            f"The rows of unit '{names[unit]}' of '{path}' do not go on as in training "
            f"({describe(rule.of(names[unit]))}): its last are {shown}. Bring them to that step, or train a model on "
            "such rows."
        )


def _strangers(rule: Calendar, stamps: Sequence[NDArray[Any]], *, least: float) -> list[int]:
    """Numbers of the units of four and more rows that do not follow a rule.

    Args:
        rule: the rule.
        stamps: of each unit.
        least: share of steps that must lead to the very next place; 0: it is enough that most lead to some place.
    """
    if not rule.regular:
        return []
    before, after, unit = _pairs(stamps)
    counts = np.bincount(unit, minlength=len(stamps))
    reached, followed = (
        np.bincount(unit, weights=hits, minlength=len(stamps)) / np.maximum(counts, 1)
        for hits in _hits(rule, before, after)
    )
    strange = (reached < (REACHED if least else FOLLOWED)) | (followed < least)
    step = rule.step * (1.0 if rule.numbers else 1e9)
    return [
        number
        for number in np.flatnonzero(strange & (counts > 2)).tolist()
        if not (rule.kind == "step" and _near(step, _ticks(stamps[number])))
    ]


def _pairs(stamps: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any], Int]:
    """Every stamp but a unit's last, the one after it, and the number of the unit, ``(steps,)`` each."""
    before, after = (np.concatenate([time[part] for time in stamps]) for part in (slice(None, -1), slice(1, None)))
    return before, after, np.repeat(np.arange(len(stamps)), [max(len(time) - 1, 0) for time in stamps])


def _known(time: NDArray[Any]) -> NDArray[Any]:
    """Stamps that rise; what is missing or doubled is told by the check of the data."""
    if time.dtype.kind == "M":
        time = time.astype("datetime64[ns]")
        return np.unique(time[~np.isnat(time)])
    time = time.astype(np.float64)
    return np.unique(time[np.isfinite(time)])


def _observe(stamps: Sequence[NDArray[Any]], zone: str | None) -> Calendar:
    """One rule for all units; irregular where none holds."""
    stamps = [time for time in stamps if len(time) > 1]
    numbers = bool(stamps) and stamps[0].dtype.kind != "M"
    best, share = Calendar(kind="irregular", numbers=numbers, zone=zone), 0.0
    if not stamps:
        return best
    before, after, _ = _pairs(stamps)
    for candidate in _candidates(stamps, numbers, zone):
        reached, followed = (float(hits.mean()) for hits in _hits(candidate, before, after))
        if reached >= REACHED and followed >= FOLLOWED and followed > share + 1e-9:
            best, share = candidate, followed
    return best if best.regular else _steady(stamps, numbers, zone) or best


def _hits(rule: Calendar, before: NDArray[Any], after: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether a step leads to a later place of the rule, and whether to the very next one, ``(steps,)`` each."""
    if rule.kind == "cycle":
        reached = _same(shift(rule, shift(rule, after, 1), -1), after, rule)
    else:
        span = (after - before).astype(np.float64) / (1.0 if rule.numbers else 1e9)
        usual = rule.step if rule.kind == "step" else rule.months * MONTH / len(rule.days)
        guess = np.maximum(1, np.round(span / usual)).astype(np.int64)
        reached = np.zeros(len(before), bool)
        for more in (-1, 0, 1):  # months are not all as long
            reached |= _same(shift(rule, before, np.maximum(guess + more, 1)), after, rule)
    return reached, _same(shift(rule, before, 1), after, rule)


def _same(a: NDArray[Any], b: NDArray[Any], rule: Calendar) -> NDArray[np.bool_]:
    if not rule.numbers:
        return a == b
    return np.abs(a - b) <= 1e-6 * rule.step + 4 * np.spacing(np.abs(b))


def _candidates(stamps: Sequence[NDArray[Any]], numbers: bool, zone: str | None) -> Iterator[Calendar]:
    """Rules that may hold, the simplest first."""
    steps = np.concatenate([np.diff(_ticks(time)) for time in stamps])
    usual = _commonest(steps)
    unit = 1.0 if numbers else 1e9
    if not numbers:
        wall = [wall_clock(Calendar(kind="irregular", zone=zone), time) for time in stamps]
        if np.median(steps) >= 8 * DAY:
            yield from _months(wall, zone)
        steps = np.concatenate([np.diff(_ticks(time)) for time in wall]) if usual >= DAY / 2 else steps
        usual = _commonest(steps)
    yield Calendar(
        kind="step", step=float(usual / unit), numbers=numbers, zone=zone, ends=_ends(stamps, usual, numbers)
    )
    if numbers and (steps % 1).any():
        return
    whole = [_ticks(time).astype(np.int64) for time in (stamps if numbers else wall)]
    if not numbers and (week := _week(whole, steps, zone)):
        yield week
    if cycle := _cycle(max(whole, key=len), numbers, zone):
        yield cycle


def _ticks(time: NDArray[Any]) -> NDArray[Any]:
    return time.astype(np.int64) if time.dtype.kind == "M" else time


def _commonest(steps: NDArray[Any]) -> Any:
    """The commonest step, the smaller of two; of numbers with a rounding error their median."""
    value, count = np.unique(steps, return_counts=True)
    usual = value[count.argmax()]
    if steps.dtype.kind == "f":
        alike = np.abs(value - usual) <= 1e-6 * usual
        usual = np.median(value[alike])
    return usual


def _steady(stamps: Sequence[NDArray[Any]], numbers: bool, zone: str | None) -> Calendar | None:
    """Calendar of a nearly constant step (sampling with jitter); None: there is none."""
    steps = np.concatenate([np.diff(_ticks(time)) for time in stamps])
    usual = float(np.median(steps))
    if all(_near(usual, _ticks(time)) for time in stamps):
        return Calendar(kind="step", step=usual / (1.0 if numbers else 1e9), numbers=numbers, zone=zone)
    return None


def _near(usual: float, ticks: NDArray[Any]) -> bool:
    share = np.diff(ticks) / usual
    return bool((np.abs(share - np.round(share)) <= JITTER).mean() >= REACHED and (np.round(share) == 1).mean() > 0.9)


def _ends(stamps: Sequence[NDArray[Any]], usual: float, numbers: bool) -> bool:
    """Weeks stamped on Mondays begin with them; every other step ends at its stamp."""
    if numbers or usual % (7 * DAY):
        return True
    days = np.concatenate([(time.astype(np.int64) - MONDAY) // DAY % 7 for time in stamps])
    return int(np.bincount(days, minlength=7).argmax()) != 0


# Months


def _months(wall: Sequence[NDArray[np.datetime64]], zone: str | None) -> Iterator[Calendar]:
    """Rules by months that fit most stamps."""
    day = np.concatenate([time.astype("datetime64[D]") for time in wall])
    month = day.astype("datetime64[M]")
    number = (day - month.astype("datetime64[D]")).astype(np.int64) + 1
    left = ((month + 1).astype("datetime64[D]") - day).astype(np.int64)
    gaps = np.concatenate([np.diff(time.astype("datetime64[M]").astype(np.int64)) for time in wall])
    period = int(_commonest(gaps[gaps > 0])) if (gaps > 0).any() else 1

    def rule(days: tuple[int, ...], **more: Any) -> Calendar:
        return Calendar(kind="months", days=days, zone=zone, **{"months": period, "ends": days[0] != 1, **more})

    common = int(_commonest(number))
    singles = [rule((1,)), rule((-1,)), rule((common,)), rule((int(number.max()),))]
    weekday = int(_commonest((day.astype(np.int64) + 3) % 7))
    singles += [rule((int(n),), count="business day") for n in (1, -1)]
    singles += [rule((int(n),), count="weekday", weekday=weekday, ends=True) for n in (1, 2, 3, 4, -1)]
    for single in singles:
        if (day_of_month(single, month, single.days[0]) == day).mean() >= REACHED:
            yield single
    labels = np.where(left == 1, -1, number)
    value, count = np.unique(labels, return_counts=True)
    frequent = value[count >= 0.1 * len(labels)]
    if 1 < len(frequent) <= 6 and np.isin(labels, frequent).mean() >= REACHED:
        days = tuple(sorted((int(label) for label in frequent), key=lambda label: label % 40))
        yield rule(days, months=1)


# Weeks and other cycles


def _week(whole: Sequence[Int], steps: Int, zone: str | None) -> Calendar | None:
    """Opening days and hours: places in the week that have no rows more often than by chance."""
    value, count = np.unique(steps[steps <= 7 * DAY], return_counts=True)
    frequent = value[count >= 0.02 * len(steps)]
    step = int(np.gcd.reduce(frequent)) if len(frequent) else 0
    if step >= DAY and step % DAY == 0:
        step, grid = DAY, DAY
    elif step >= FINEST and DAY % step == 0:
        grid = step
    else:
        return None
    rest = int(_commonest(np.concatenate([time % grid for time in whole])))
    weeks = [_places(time - rest, grid) for time in whole]
    rows, chances = (np.sum([week[i] for week in weeks], axis=0) for i in (0, 1))
    open_ = _open_places(rows, chances, DAY // grid, weeks)
    if open_.all() or open_.sum() < 2:
        return None
    slots = np.flatnonzero(open_) * grid + (rest if grid < DAY else 0)
    return Calendar(kind="cycle", cycle=7 * 86_400.0, slots=tuple((slots / 1e9).tolist()), zone=zone)


def _places(time: Int, grid: int) -> tuple[Int, Int]:
    """Rows at each place of the week, and how often the week passed it, ``(places,)`` each."""
    places = 7 * DAY // grid
    number = (time - MONDAY) // grid
    rows = np.bincount(number % places, minlength=places)
    span = int(number[-1] - number[0]) + 1
    chances = np.full(places, span // places)
    chances[(number[0] + np.arange(span % places)) % places] += 1
    return np.minimum(rows, chances), chances


def _open_places(rows: Int, chances: Int, per_day: int, weeks: Sequence[tuple[Int, Int]]) -> NDArray[np.bool_]:
    """Which places of the week are open: by day, then by hour of the open days, then one by one."""
    rows, chances = rows.reshape(7, per_day), chances.reshape(7, per_day)
    busiest = rows.sum(axis=0).argmax()
    days = _open(rows.max(axis=1), chances[:, busiest])
    hours = _open(rows[days].sum(axis=0), chances[days].sum(axis=0))
    both = days[:, None] & hours[None, :]
    single = np.zeros_like(both)
    single[both] = _open(rows[both], chances[both])
    return single.reshape(-1)


def _open(rows: Int, chances: Int) -> NDArray[np.bool_]:
    """Places with rows about as often as the others; ``(places,)``."""
    from scipy.stats import binom

    rate = rows / np.maximum(chances, 1)
    if not rate.any():
        return np.ones(len(rows), bool)
    usual = min(float(np.median(rate[rate >= 0.5 * rate.max()])), 0.98)
    rare = binom.cdf(rows, chances, usual) < CHANCE / len(rows)
    return ~(rare & (rate < 0.5 * usual))


def _cycle(time: Int, numbers: bool, zone: str | None) -> Calendar | None:
    """Steps that come back in the same order: quarters written 20231 to 20234, a shift plan."""
    steps = np.diff(time)
    for length in range(2, min(LONGEST, len(steps) // 3) + 1):
        rounds = steps[len(steps) % length :].reshape(-1, length)
        pattern = np.sort(rounds, axis=0)[len(rounds) // 2]
        alike, special = rounds == pattern, pattern != _commonest(pattern)
        least = OFTEN if len(rounds) >= MANY else 1.0
        if not special.any() or alike.mean() < 0.95 or alike[:, special].mean(axis=0).min() < least:
            continue
        cycle = int(pattern.sum())
        slots = np.unique((time[-1] - np.cumsum(pattern[::-1]) - (0 if numbers else MONDAY)) % cycle)
        unit = 1.0 if numbers else 1e9
        return Calendar(
            kind="cycle", cycle=cycle / unit, slots=tuple((slots / unit).tolist()), numbers=numbers, zone=zone
        )
    return None
