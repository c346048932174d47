"""Files damaged at any place are refused in one paragraph, or read with the rows that they hold."""

from __future__ import annotations

import csv
import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.config import DataConfig
from keras_seq.data.home import data_home
from keras_seq.data.reading.batches import read_batches
from keras_seq.data.reading.settle import settle_table
from keras_seq.errors import ConfigError, DataError

FILES = (
    "tiny/01b_dst_offsets.csv", "tiny/05_european_latin1.csv", "tiny/08_int_bool_category.csv",
    "tiny/18_duplicate_names.csv", "tiny/24_sentinels_words.csv", "tiny/31_crlf_trailing.csv",
    "tiny/34_unnamed_date_index.csv", "air_quality_italy/AirQualityUCI_bom_quoted_decimal_comma.csv",
    "air_quality_italy/AirQualityUCI_semicolon_decimal_comma.csv", "occupancy/datatraining.txt",
    "bike_hourly/bike_sharing_dataset_clean.csv", "walmart_weekly/walmart_sales_weekly.csv", "cmapss/train_FD001.txt",
)  # fmt: skip
DAMAGES = (
    "flip",
    "cut",
    "double a line",
    "drop a quote",
    "drop a delimiter",
    "drop a line end",
    "insert a quote",
    "zero",
)
ROWS = 120  # lines of each file that are damaged


def damaged(content: bytes, damage: str, random_: random.Random) -> bytes:
    """The bytes with one damage at some place below the header's first byte."""
    place = random_.randrange(1, len(content))
    if damage == "flip":
        return content[:place] + bytes([content[place] ^ 1 << random_.randrange(8)]) + content[place + 1 :]
    if damage == "zero":
        return content[:place] + b"\0" + content[place + 1 :]
    if damage == "cut":
        return content[:place]
    if damage == "insert a quote":
        return content[:place] + b'"' + content[place:]
    if damage == "double a line":
        lines = content.splitlines(keepends=True)
        line = random_.randrange(1, len(lines))
        return b"".join(lines[:line] + lines[line - 1 :])
    mark = {"drop a quote": b'"', "drop a line end": b"\n", "drop a delimiter": b","}[damage]
    places = [i for i in range(len(content)) if content[i : i + 1] == mark]
    place = random_.choice(places) if places else place
    return content[:place] + content[place + 1 :]


def rows_by_the_book(content: bytes, delimiter: str, encoding: str) -> int | None:
    """Rows that Python's own reader finds in a file with a header; None where it is not well defined."""
    try:
        text = content.decode(encoding.replace("utf-8", "utf-8-sig"))
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error):
        return None
    filled = [row for row in rows if any(field.strip() for field in row)]
    return len(filled) - 1 - sum(row[0].startswith("#") for row in filled)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25, deadline=None)
@given(damage=st.sampled_from(DAMAGES), seed=st.integers(0, 10**6), columns=st.sampled_from(["all", "numbers", "one"]))
def test_one_paragraph_or_the_right_rows(tmp_path_factory, name, damage, seed, columns):
    source = data_home() / name
    if not source.exists():
        pytest.skip(f"{name} is not in the data home")
    content = damaged(b"".join(source.read_bytes().splitlines(keepends=True)[:ROWS]), damage, random.Random(seed))
    path = tmp_path_factory.mktemp("damaged") / "t.csv"
    path.write_bytes(content)
    try:
        facts = settle_table(path, DataConfig(source="table", path=str(path), missing_texts=("ERR", "?")))
        kinds = {name: "number" if kind == "number" else "text" for name, kind in facts.kinds.items()}
        if columns != "all":  # the others are never turned into anything
            kinds = {name: kind for name, kind in kinds.items() if kind == "number"} or kinds
        kinds = dict(list(kinds.items())[:1]) if columns == "one" else kinds
        rows = sum(batch.num_rows for batch in read_batches(path, kinds, facts.reading))
    except (DataError, ConfigError) as error:
        assert "\n" not in str(error).strip() and "t.csv" in str(error)
        return
    reading = facts.reading
    expected = rows_by_the_book(content, reading.delimiter, reading.encoding)
    if expected is not None:
        before = (reading.header != "none") + reading.units_line + reading.skip_lines
        assert rows == expected + 1 - before if reading.delimiter != " " else rows > 0
