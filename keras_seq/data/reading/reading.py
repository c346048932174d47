"""``Reading``: delimiter, encoding, number marks, dates, zone and missing values of a table; part of the schema."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from keras_seq.config.base import ConfigSection

Kind = Literal["number", "flag", "text", "date", "clock"]  # clock: a time given as a number, kept in float64
Decimal = Literal[".", ","]
Thousands = Literal["", ",", ".", " ", "'"]
UNNAMED = "unnamed_"  # and the position, from 1, of a column without a name
MISSING_TEXTS = (
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
)


class Marks(ConfigSection):
    """Marks in written numbers: ``1.234,5`` has the decimal mark ``,`` and the thousands mark ``.``."""

    decimal: Decimal = "."
    thousands: Thousands = ""


class Reading(ConfigSection):
    """Reading of a table: dialect, number marks, dates, missing values.

    The defaults are those of a plain CSV file; files whose columns have types need only those from ``marks`` on.

    Numbers are read by ``marks[column]``, else by ``decimal`` and ``thousands``. Texts of units, groups and labels
    are never taken for missing unless they are empty.
    """

    encoding: str = "utf-8"
    delimiter: str = Field(",", description="between fields; a blank stands for any number of blanks and tabs")
    member: str | None = Field(None, description="of a zip file: the one that is read; none: its only table")
    comment: str = Field("", description="lines before the header that begin so are passed over")
    comments: Literal["head", "other", "all"] = Field(
        "head", description="lines below it that begin so and are passed over: none, those unlike rows, all"
    )
    header: Literal["line", "numbers", "comment", "none"] = Field(
        "line",
        description="names of the columns: the first line, also where it holds numbers alone, the last comment before "
        "the rows, or ``names``",
    )
    names: tuple[str, ...] = Field((), description="names of the columns of a file without a header")
    skip_lines: int = Field(0, description="lines before the header that are passed over")
    units_line: bool = Field(False, description="a line without numbers below the header is passed over")
    skip_footer: int = Field(0, description="lines at the end that are passed over")
    quoted_lines: bool = Field(False, description="quoted texts may hold line ends")
    row_names: bool = Field(False, description="rows begin with a field that the header does not name")
    open_ends: bool = Field(False, description="rows end with a delimiter that the header lacks")
    decimal: Decimal = "."
    thousands: Thousands = ""
    marks: dict[str, Marks] = Field(default_factory=dict, description="columns whose numbers are written otherwise")
    flags: tuple[str, ...] = Field((), description="columns of true and false, read as 1 and 0")
    missing_texts: tuple[str, ...] = Field((), description="further texts that stand for a missing value")
    missing_codes: tuple[float, ...] = Field((), description="numbers that stand for a missing value")
    time_parts: dict[str, str] = Field(
        default_factory=dict, description="columns joined into the time, and what each tells of it: date, clock, hour"
    )
    date_format: str | None = Field(None, description="of the time column in text, as strptime has it, or ISO8601")
    zone: str | None = Field(None, description="time zone of the stamps; none: they are a local clock's")
    offsets: bool = Field(False, description="stamps carry their offset from universal time")
    stamp_format: str | None = Field(None, description="in which the table writes its stamps, for new ones")
    sheet: str | None = Field(None, description="of a workbook: name, or number from 1; none: the one with most cells")
    header_row: int | None = Field(None, description="of a sheet: row of the column names, from 1; none: told from it")
    dataset: str | None = Field(None, description="of a file of arrays: name or path of the one to read")
    shape: Shape | None = Field(
        None, description="how its rows are made of other files or other rows; none: they lie so"
    )

    @property
    def blanks(self) -> str:
        """Characters that a line without values may hold."""
        return " \t" if self.delimiter == " " else f" {self.delimiter}"

    def of_files(self) -> Reading:
        """How the files themselves are written, where the table is made of them."""
        return self.shape.file.of_files() if self.shape else self

    def marks_of(self, column: str) -> Marks:
        """The marks in the numbers of a column."""
        return self.marks.get(column) or Marks(decimal=self.decimal, thousands=self.thousands)

    @property
    def all_missing_texts(self) -> list[str]:
        """Texts that stand for a missing value among numbers."""
        return list(dict.fromkeys((*MISSING_TEXTS, *self.missing_texts)))


class Shape(ConfigSection):
    """How a table is made before it is read: of the files of a folder, of a wide table, or with labels joined.

    Each kind is a format (``formats/<kind>.py``) that reads a table by ``file`` and yields rows of another shape.
    """

    kind: Literal["folder", "columns", "rows", "labels"]
    file: Reading = Field(description="how the files, or the table before, are read")
    unit: str | None = Field(None, description="column that names the units there")
    time: str | None = Field(None, description="of a wide table: its time column")
    keep: tuple[str, ...] = Field((), description="of a wide table: columns that are no series or steps")
    aside: tuple[str, ...] = Field((), description="those of them that are no inputs")
    name: str = Field("series", description="of a wide table: column for the names of the series")
    value: str = Field("value", description="of a wide table: column for the values")
    dated: bool = Field(False, description="of a wide table with steps as columns: their names are dates")
    labels: str | None = Field(None, description="table of labels by unit")
    labels_reading: Reading | None = Field(None, description="how it is read")


Reading.model_rebuild()
