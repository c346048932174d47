"""``StaticTable``: a table with one row a unit, whose columns are joined to the rows of each; part of the schema."""

from __future__ import annotations

from keras_seq.config.base import ConfigSection
from keras_seq.data.reading.reading import Reading


class StaticTable(ConfigSection):
    """A companion table: where it lies, which column names the unit, which are inputs, and how it is read."""

    path: str
    unit: str
    columns: tuple[str, ...] = ()
    reading: Reading = Reading()
