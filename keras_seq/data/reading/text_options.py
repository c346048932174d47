"""Options that tell how text is written, given for a file that is none: refused where they would change its rows."""

from __future__ import annotations

from pathlib import Path

from keras_seq.config import DataConfig
from keras_seq.data.formats.registry import PARQUET, format_name, known_formats
from keras_seq.errors import ConfigError

ROWS = ("skip_lines", "skip_footer")  # options that leave out rows


def check_text_options(path: Path, config: DataConfig) -> None:
    """Refuse options that leave out lines of text where the file's format does not read them.

    Raises:
        ConfigError: names the option, the kind of file, and what to do instead.
    """
    name = format_name(path)
    read = known_formats()[name].options if name in known_formats() else ()
    for option in ROWS:
        value = getattr(config, option)
        if not value or option in read:
            continue
        what = "a Parquet file" if name == PARQUET else known_formats()[name].what
        instead = "Take those rows out of the file."
        if "header_row" in read:
            instead = f"Of a sheet, name the row of the column names: --data.header_row {value + 1}."
        raise ConfigError(f"data.{option}={value} leaves out lines of a text file, but '{path}' is {what}. {instead}")
