"""Every example of docs/reading.md is read as the page says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.reading.zones import to_local
from keras_seq.data.series import Series
from keras_seq.data.sources import load_series
from keras_seq.errors import KerasSeqError

PAGE = Path(__file__).parents[2] / "docs" / "reading.md"
EXAMPLES = re.findall(r"```csv ([^\n]*)\n(.*?)```\n```(text|error)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
LISTS = ("targets", "missing_codes", "missing_texts")


def show(value: float) -> str:
    return "-" if np.isnan(value) else repr(round(float(value), 2)).removesuffix(".0")


def rows(series: Series) -> list[str]:
    """A line a row: unit, time, inputs and targets that are no inputs."""
    schema, lines = series.schema, []
    clock = to_local(series.time, schema.reading.zone if schema.reading else None)
    targets = np.repeat(series.targets, series.lengths, axis=0) if schema.target_per == "unit" else series.targets
    for row in range(len(series.values)):
        unit = int(np.searchsorted(series.offsets, row, side="right")) - 1
        parts = [f"{schema.unit_column} {series.unit_ids[unit]}"] if schema.unit_column else []
        if schema.time_column:
            stamp = clock[row]
            dated = np.issubdtype(clock.dtype, np.datetime64)
            text = str(pd.Timestamp(stamp)).removesuffix(" 00:00:00") if dated else show(stamp)
            midnight = dated and (clock == clock.astype("datetime64[D]")).all()
            parts.append(f"{schema.time_column} {text if midnight or not dated else pd.Timestamp(stamp)}")
        parts += [f"{name} {show(value)}" for name, value in zip(schema.features, series.values[row], strict=True)]
        for name, value in zip(schema.targets, targets[row], strict=True):
            if name not in schema.features:
                parts.append(f"{name} {schema.classes[int(value)] if schema.classes else show(value)}")
        lines.append(", ".join(parts))
    return lines


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{number}" for number in range(len(EXAMPLES))])
def test_example(tmp_path, example):
    options, content, kind, expected = example
    path = tmp_path / "table.csv"
    path.write_text(content, encoding="utf-8")
    pairs = [option.split("=", 1) for option in options.split()]
    tree = {name: [value] if name in LISTS else value for name, value in pairs}
    if "," in tree.get("time", ""):
        tree["time"] = tree["time"].split(",")
    config = DataConfig.model_validate({"source": "table", "path": str(path), **tree})
    if kind == "text":
        assert rows(load_series(config, checked=False)) == expected.splitlines()
    else:
        with pytest.raises(KerasSeqError, match=expected.strip()):
            load_series(config, checked=False)


def test_there_are_examples():
    assert len(EXAMPLES) >= 14
