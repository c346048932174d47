"""Append the configured covariates to a series, unit by unit, each column marked for what it may know."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.calendar import Calendar, position
from keras_seq.data.covariates import calendar, indicators, past
from keras_seq.data.covariates.history import history_rows, indicator_period
from keras_seq.data.observe_calendar import with_calendar
from keras_seq.data.series import Column, Schema, Series
from keras_seq.errors import ConfigError

Columns = dict[str, NDArray[np.float32]]


def wanted(config: CovariatesConfig) -> bool:
    """Whether any covariate is configured."""
    dated = config.calendar or config.holidays or config.events
    return bool(dated or config.elapsed or config.lags or config.rolling or config.stl or config.indicators)


def add_covariates(series: Series, config: CovariatesConfig) -> Series:
    """The series with more feature columns; row ``t`` depends on rows up to ``t`` and on the rule of the stamps.

    Known-ahead columns are named ``<name>+<lead>`` and tell of the stamp ``lead`` steps later, by the calendar of the
    schema, which is read off the series where there is none: never of the rows that follow in the file.

    Raises:
        ConfigError: a calendar without dates or without a rule, an indicator without a price, a name that is taken.
        DataError: a unit too short for the season.
    """
    if not wanted(config):
        return series
    if config.elapsed and series.schema.time_column is None:
        raise ConfigError("data.covariates.elapsed needs a time column (data.time), but this series counts its rows.")
    anchored = series.schema.calendar  # of an older bundle there is none: rows are counted as they were then
    series = with_calendar(series)
    history = history_rows(config, anchored)
    known = [
        _known_ahead(series.time[low:high], config, series.schema, str(unit))
        for (low, high), unit in zip(_units(series), series.unit_ids, strict=True)
    ]
    seen = [_past_only(series, unit, config, anchored) for unit in range(series.n_units)]
    names = list(known[0]) + list(seen[0])
    taken = [name for name in names if name in series.schema.features]
    if taken:
        raise ConfigError(f"Covariate '{taken[0]}' has the name of a column of '{series.schema.name}'; rename that.")
    added = np.concatenate([np.stack([*a.values(), *b.values()], axis=1) for a, b in zip(known, seen, strict=True)])
    columns = [Column(name=name, known_ahead=True) for name in known[0]] + [
        Column(name=name, missing=bool(np.isnan(added[:, len(known[0]) + i]).any())) for i, name in enumerate(seen[0])
    ]
    return dataclasses.replace(
        series,
        schema=series.schema.model_copy(update={"columns": (*series.schema.columns, *columns), "history": history}),
        values=np.ascontiguousarray(np.concatenate([series.values, added.astype(np.float32)], axis=1)),
    )


def _units(series: Series) -> list[tuple[int, int]]:
    return list(zip(series.offsets[:-1].tolist(), series.offsets[1:].tolist(), strict=True))


def _known_ahead(time: NDArray, config: CovariatesConfig, schema: Schema, unit: str) -> Columns:
    if not (config.calendar or config.holidays or config.events):
        return {}
    if not np.issubdtype(time.dtype, np.datetime64) or schema.calendar is None:
        raise ConfigError(
            "data.covariates.calendar, holidays and events need a time column of dates, but this series counts its "
            "steps; give data.time, or leave them out."
        )
    rule = schema.calendar.of(unit)
    if not rule.regular and max(config.leads):
        raise ConfigError(_no_rule(time, config, schema, unit))
    dates = _dates(time, rule, config)
    columns: Columns = {}
    for lead in config.leads:
        stamps = calendar.wall_clock(rule, calendar.shift(rule, time, lead) if lead else time)
        of_lead: Columns = {}
        for name in config.calendar:
            of_lead |= calendar.cycle(stamps, name, config.harmonics)
        of_lead |= {name: calendar.happens(rule, time, lead, days) for name, days in dates.items()}
        columns |= {f"{name}+{lead}": column for name, column in of_lead.items()}
    return columns


def _dates(time: NDArray, rule: Calendar, config: CovariatesConfig) -> dict[str, list[np.datetime64]]:
    """Days of events and holidays by name: every holiday's name, however short the series."""
    dates = calendar.event_dates(config.events)
    if config.holidays:
        farthest = max(config.leads)
        last = calendar.shift(rule, time[-1:], farthest)[0] if farthest else time[-1]
        margin = np.timedelta64(400, "D")
        dates |= calendar.holidays_of(config.holidays, time[0] - margin, max(last, time[-1]) + margin)
    return dates


def _no_rule(time: NDArray, config: CovariatesConfig, schema: Schema, unit: str) -> str:
    shown = ", ".join(str(stamp.astype("datetime64[s]")) for stamp in time[-3:])
    options = [name for name in ("calendar", "holidays", "events") if getattr(config, name)]
    return (
        f"data.covariates.{options[0]} tells of stamps {max(config.leads)} step(s) ahead (data.covariates.leads="
        f"{list(config.leads)}), but those of unit '{unit}' of '{schema.name}' follow no rule (its last: {shown}), so "
        "the next one is not known. Set data.covariates.leads [0] to tell of each row's own stamp, bring the rows to a "
        "regular step, or leave the covariate out."
    )


def _past_only(series: Series, unit: int, config: CovariatesConfig, anchored: Calendar | None) -> Columns:
    low, high = series.offsets[unit : unit + 2].tolist()
    columns: Columns = {}
    schema = series.schema
    for name in _own_past(series, config):
        x = np.asarray(series.values[low:high, schema.features.index(name)], np.float64)
        for steps in config.lags:
            columns[f"{name}_lag{steps}"] = past.lag(x, steps).astype(np.float32)
        for window in config.rolling:
            mean, deviation = past.rolling(x, window)
            columns[f"{name}_mean{window}"] = mean.astype(np.float32)
            columns[f"{name}_std{window}"] = deviation.astype(np.float32)
        if config.stl:
            rule = anchored.of(str(series.unit_ids[unit])) if anchored else None
            place = position(rule, series.time[low:high]) if rule and rule.regular else None
            season, trend = past.seasonal(x, config.stl, name, place)
            columns[f"{name}_season{config.stl}"] = season.astype(np.float32)
            columns[f"{name}_trend{config.stl}"] = trend.astype(np.float32)
    if config.elapsed:
        columns["elapsed"] = past.elapsed(series.time[low:high])
    if config.indicators:
        columns |= _indicators(series, low, high, config)
    return columns


def _own_past(series: Series, config: CovariatesConfig) -> list[str]:
    """Targets among the features, else the first feature of numbers: whose past is described."""
    if not (config.lags or config.rolling or config.stl):
        return []
    schema = series.schema
    numbers = [name for name in schema.features if name not in schema.vocabularies]
    return [name for name in schema.targets if name in numbers] or numbers[:1]


def _indicators(series: Series, low: int, high: int, config: CovariatesConfig) -> Columns:
    features = series.schema.features
    name = "return" if "return" in features else features[0]
    x = np.asarray(series.values[low:high, features.index(name)], np.float64)
    x = np.where(np.isfinite(x), x, 0.0) if config.price == "returns" else past.carried(x)
    price = np.exp(np.cumsum(x)) if config.price == "returns" else x
    if config.price == "level" and price.min() <= 0:
        raise ConfigError(
            f"data.covariates.indicators need positive prices, but '{name}' falls to {price.min():g}; if it holds log "
            "returns set data.covariates.price=returns."
        )

    def period(usual: int) -> int:
        return indicator_period(usual, config.speed)

    columns: dict[str, NDArray] = {}
    if "rsi" in config.indicators:
        columns["rsi"] = indicators.rsi(price, period(14))
    if "macd" in config.indicators:
        columns["macd"], columns["macd_gap"] = indicators.macd(price, period(12), period(26), period(9))
    if "bollinger" in config.indicators:
        columns["bollinger"], columns["bollinger_width"] = indicators.bollinger(price, period(20))
    if "atr" in config.indicators:
        change = np.diff(np.log(price), prepend=np.log(price[0]))
        spread = np.asarray(series.values[low:high, features.index("range")]) if "range" in features else np.abs(change)
        columns["atr"] = indicators.atr(np.nan_to_num(spread).astype(np.float64), change, period(14))
    if "momentum" in config.indicators:
        columns["momentum"] = indicators.momentum(price, period(10))
    return {key: value.astype(np.float32) for key, value in columns.items()}
