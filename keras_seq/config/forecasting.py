"""The ``model.arima`` section and the ``data.covariates`` section."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from keras_seq.config.base import ConfigSection, Count, NonNegative, Positive

Lags = tuple[Count, ...]


class ArimaConfig(ConfigSection):
    """Orders of families ``sarimax`` and ``hybrid``."""

    order: tuple[int, int, int] = Field((1, 1, 1), description="p, d, q")
    seasonal: tuple[int, int, int, int] = Field((0, 0, 0, 0), description="P, D, Q and the season in steps")
    fourier: int = Field(0, ge=0, description="pairs of sine and cosine for the season, instead of seasonal terms")
    period: NonNegative = Field(0.0, description="season in steps, may be broken (52.18); 0: the source's own")
    drift: bool = Field(False, description="a constant in the differenced series")
    select: bool = Field(False, description="choose by AICc among all orders up to the given ones")
    iterations: Count = Field(60, description="most iterations of one fit")

    @model_validator(mode="after")
    def _whole_orders(self) -> ArimaConfig:
        if min(*self.order, *self.seasonal) < 0:
            raise ValueError(f"orders must not be negative, got {list(self.order)} and {list(self.seasonal)}")
        if any(self.seasonal[:3]) and self.seasonal[3] < 2:
            raise ValueError(f"seasonal orders {list(self.seasonal)} need a season of at least 2 steps at their end")
        return self


class CovariatesConfig(ConfigSection):
    """Columns computed from a series before it is split; each row of a past-only one uses rows up to its own."""

    calendar: tuple[Literal["year", "month", "week", "hour"], ...] = Field(
        (), description="known ahead: sine and cosine of the place in the year, month, week or day"
    )
    harmonics: Count = Field(1, description="pairs of sine and cosine per calendar cycle")
    holidays: str | None = Field(None, description="known ahead: public holidays of this country (US, DE, ...)")
    events: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="known ahead: name -> dates (2019-07-04) of events of your own"
    )
    leads: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (1,), min_length=1, description="steps ahead for which known-ahead columns are given; 0: of the row itself"
    )
    plan_leads: tuple[Count, ...] | None = Field(
        None,
        description="steps ahead for which the columns of data.known_ahead are given; none: all of the horizon, "
        "at most 96 of them at equal distances; empty: not at all",
    )
    lags: Lags = Field((), description="past only: the targets' values so many steps before")
    rolling: Lags = Field((), description="past only: mean and deviation over so many last steps")
    elapsed: bool = Field(
        False, description="past only: log1p of the time since the unit's row before (dates: seconds), for uneven steps"
    )
    stl: int = Field(0, ge=0, description="past only: season and trend by STL with this period, from rows seen so far")
    indicators: tuple[Literal["rsi", "macd", "bollinger", "atr", "momentum"], ...] = Field(
        (), description="past only: technical indicators of the price"
    )
    price: Literal["level", "returns"] = Field("returns", description="how the first target's past tells the price")
    speed: Positive = Field(1.0, description="factor on the usual periods of indicators (14, 12/26/9, 20, 14, 10)")
