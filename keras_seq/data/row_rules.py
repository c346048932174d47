"""Rules by which rows of a table become rows of a series: doubled stamps, the regular step; part of the schema."""

from __future__ import annotations

from pydantic import Field

from keras_seq.config.base import ConfigSection
from keras_seq.config.resampling import Duplicates, ResampleConfig
from keras_seq.data.calendar import Calendar


class RowRules(ConfigSection):
    """What was done with the rows of training, and is done with those of every later file."""

    sort: bool = Field(False, description="rows of each unit are sorted by time")
    duplicates: Duplicates = Field("error", description="rows of one stamp in one unit that contradict one another")
    resample: ResampleConfig = Field(default_factory=ResampleConfig)
    rows: Calendar | None = Field(None, description="the rule of the stamps before they were resampled")
