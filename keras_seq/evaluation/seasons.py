"""Seasons of a series, found on the train part alone: by its calendar and by its autocorrelation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import Experiment

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

Array = NDArray[np.float64]
DAY = 86400.0
CALENDAR = {"an hour": 3600.0, "a day": DAY, "a week": 7 * DAY, "a month": 30.44 * DAY, "a year": 365.25 * DAY}
MOST_ROWS = 200_000  # of a unit that are looked at
MOST_UNITS = 5  # the longest ones
MOST_PEAKS = 3
LEAST = 0.1  # correlation at a season's lag
MORE = 0.05  # correlation by which a multiple of a season must beat it


def find_seasons(prepared: Prepared, experiment: Experiment) -> dict[int, str]:
    """Lags in rows worth trying for a naive answer, and how each is called; 1 is the last value.

    Named are the season of the source or of ``model.arima``, those of the calendar that the train part holds twice, and
    the highest peaks of its targets' autocorrelation.
    """
    arima, units = experiment.model.arima, _train_units(prepared)
    longest = max((len(values) for values, _ in units), default=0)
    seasons = {1: "the last value"}
    for season in (int(prepared.series.info.get("season", 0)), arima.seasonal[3], round(arima.period)):
        if season > 1:
            seasons.setdefault(season, f"the value {season} rows before")
    for season, words in _calendar(units).items():
        seasons[season] = f"the value of {words} before"
    for season in _peaks(units):
        if not any(_is_multiple(season, known) for known in seasons if known > 1):
            seasons[season] = f"the value {season} rows before"
    return {season: words for season, words in seasons.items() if season == 1 or 2 * season <= longest}


def _train_units(prepared: Prepared) -> list[tuple[Array, NDArray]]:
    """Targets ``(rows, targets)`` and stamps of the longest units of the train part."""
    train, series = prepared.splits.train, prepared.series
    order = np.argsort(train.first - train.last, kind="stable")[:MOST_UNITS]
    spans = [(max(int(train.first[k]), int(train.last[k]) - MOST_ROWS), int(train.last[k])) for k in order]
    return [
        (np.asarray(series.targets[low:high], np.float64), np.asarray(series.time[low:high])) for low, high in spans
    ]


def _calendar(units: list[tuple[Array, NDArray]]) -> dict[int, str]:
    """Hours, days, weeks, months and years in rows, where rows come at even distances."""
    if not units or units[0][1].dtype.kind != "M" or len(units[0][1]) < 3:
        return {}
    gaps = np.diff(units[0][1].astype("datetime64[s]").astype(np.float64))
    step = float(np.median(gaps))
    if step <= 0:
        return {}
    if step == DAY and np.mean(gaps >= 3 * DAY) > 0.1:  # working days
        return {5: "a week"}
    seasons = {}
    for words, period in CALENDAR.items():
        rows = round(period / step)
        if rows >= 2 and abs(rows * step - period) <= 0.02 * period:
            seasons[rows] = words
    return seasons


def _peaks(units: list[tuple[Array, NDArray]]) -> list[int]:
    """Lags of the highest local maxima of the autocorrelation of changes, mean over units and targets."""
    parts = [(np.diff(column), len(column)) for values, _ in units for column in _filled(values).T if len(column) > 8]
    if not parts:
        return []
    longest = min(max(length for _, length in parts) // 3, MOST_ROWS // 3)
    total, weight = np.zeros(longest + 2), np.zeros(longest + 2)
    for change, length in parts:
        own = _autocorrelation(change, min(longest + 2, length // 2))
        total[: len(own)] += own * length
        weight[: len(own)] += length
    mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    lags = np.arange(2, longest + 1)
    noise = max(LEAST, 3 / np.sqrt(max(length for _, length in parts)))
    tops = lags[(mean[lags] > noise) & (mean[lags] >= mean[lags - 1]) & (mean[lags] > mean[lags + 1])]
    peaks: list[int] = []
    for lag in map(int, tops):  # two weeks say nothing that a week does not, a week may say more than a day
        if all(mean[lag] > mean[other] + MORE for other in peaks if _is_multiple(lag, other)):
            peaks.append(lag)
    return sorted(peaks, key=lambda lag: -mean[lag])[:MOST_PEAKS]


def _is_multiple(lag: int, season: int) -> bool:
    """Whether a lag is a whole number of seasons, but for 2 %."""
    times = round(lag / season)
    return times >= 1 and abs(lag - times * season) <= 0.02 * lag


def _filled(values: Array) -> Array:
    """Gaps take the last value before them, leading ones the first after."""
    known = np.isfinite(values)
    place = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], -1), axis=0)
    first = np.argmax(known, axis=0)
    filled = np.take_along_axis(values, np.where(place < 0, first, place), axis=0)
    return np.where(np.isfinite(filled), filled, 0.0)


def _autocorrelation(values: Array, lags: int) -> Array:
    """At lags 0, 1, ... ``lags - 1``, by FFT."""
    centred = values - values.mean()
    size = 1 << int(2 * len(values) - 1).bit_length()
    power = np.abs(np.fft.rfft(centred, size)) ** 2
    own = np.fft.irfft(power, size)[:lags]
    return own / own[0] if own[0] > 0 else np.zeros(lags)
