"""The ``data.resample`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from keras_seq.config.base import ConfigSection

How = Literal["mean", "sum", "last", "first", "min", "max", "any"]
Duplicates = Literal["error", "first", "last", "mean"]


class ResampleConfig(ConfigSection):
    """A regular step to which the rows of every unit are brought; off unless ``every`` is given."""

    every: str | None = Field(None, description="the step: 15min, 1h, 1d, 1w, 1mo; a number where the time is numbers")
    how: How | dict[str, How] = Field(
        "mean", description="value of a bin, or one by column ({rain: sum}; others: mean); words and classes: last"
    )
    fill: Literal["none", "forward", "interpolate"] = Field(
        "none", description="inputs of bins without a value; none: missing (see data.impute)"
    )

    def how_of(self, column: str) -> How | None:
        """How a column's bins get their value, where that is said for it; None: by the default of its kind."""
        return self.how.get(column) if isinstance(self.how, dict) else None

    @property
    def usual(self) -> How:
        """How numbers get their value where nothing is said for their column."""
        return "mean" if isinstance(self.how, dict) else self.how
