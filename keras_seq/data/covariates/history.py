"""Lookback of covariates: the rows before a window that its columns depend on."""

from __future__ import annotations

import math
from typing import Literal

from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.calendar import Calendar
from keras_seq.data.covariates.past import CYCLES

FORGOTTEN = 1e-8  # weight of older rows in an exponentially weighted mean that no longer shows in float32
History = int | Literal["unit"]  # rows, or the unit from its very first row on


def history_rows(config: CovariatesConfig, calendar: Calendar | None) -> History:
    """Rows before a window's first one that its covariates read; exact, or beyond what float32 shows.

    Args:
        config: the covariates.
        calendar: the rule of the stamps; None: rows are counted.

    Returns:
        The number, or "unit" where it is the whole unit: STL without stamps that go on by a rule is refitted once a
        period, counted from the unit's first row.
    """
    if config.stl and not (calendar and calendar.regular and all(own.regular for own in calendar.units.values())):
        return "unit"
    return max((rows for rows, _ in _readers(config)), default=0)


def history_reason(config: CovariatesConfig, window: int, before: int) -> str:
    """Why a unit of fewer rows than window and history is not answered."""
    reader = max(_readers(config))[1]
    return (
        f"the model needs {window + before}: its window of {window} and the {before} before it that its covariates "
        f"look back on ({reader}); give more of its past or, if the table holds every unit from its very first row on, "
        "say so with --whole (whole=True)"
    )


def whole_units_needed(config: CovariatesConfig, where: str) -> str:
    """The message for a table that may begin anywhere."""
    return (
        f"Covariate stl {config.stl} of the model depends on where a unit begins, as its rows have no regular time, "
        f"and {where} may begin anywhere. Give every unit from its very first row on and say so with --whole "
        "(whole=True)."
    )


def _readers(config: CovariatesConfig) -> list[tuple[int, str]]:
    """Rows that each option looks back, and its name."""
    readers = [(steps, f"lags {steps}") for steps in config.lags]
    readers += [(window - 1, f"rolling {window}") for window in config.rolling]
    if config.elapsed:
        readers.append((1, "elapsed"))
    if config.stl:
        readers.append(((CYCLES + 1) * config.stl, f"stl {config.stl}"))
    return readers + [(indicator_rows(name, config.speed), f"indicators {name}") for name in config.indicators]


def indicator_period(usual: int, speed: float) -> int:
    """The period of an indicator, steps."""
    return max(2, round(usual * speed))


def indicator_rows(name: str, speed: float) -> int:
    """Rows before its own that an indicator reads."""

    def period(usual: int) -> int:
        return indicator_period(usual, speed)

    def memory(alpha: float) -> int:
        """Rows after which an exponentially weighted mean has forgotten."""
        return math.ceil(math.log(FORGOTTEN) / math.log(1.0 - alpha))

    if name in ("rsi", "atr"):
        return memory(1 / period(14)) + 1
    if name == "macd":
        return memory(2 / (max(period(26), period(12)) + 1)) + memory(2 / (period(9) + 1))
    return period(20) - 1 if name == "bollinger" else period(10)
