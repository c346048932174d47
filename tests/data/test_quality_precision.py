"""What float32 does to a column is told before the numbers are lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.quality import check
from keras_seq.data.quality.precision import PrecisionTaker, precision_findings
from keras_seq.data.sources import load_series

RNG = np.random.default_rng(0)


def findings(values):
    taker = PrecisionTaker(["a"])
    for piece in np.array_split(np.asarray(values, np.float64), 3):
        taker.add({"a": piece})
    return precision_findings(taker.facts())


LOST = {
    "high level": 1e9 + RNG.normal(size=500),
    "counter beyond 2^24": 2.0**24 + np.arange(50.0),
    "milliseconds since 1970": 1.7e12 + 1000 * np.arange(500.0),
    "pressure in Pa with small changes": 101325000 + np.sin(np.arange(500)),
    "coordinates": 48.85837 + RNG.normal(0, 1e-5, 500),
    "low level": -1e9 + RNG.normal(size=500),
}


@pytest.mark.parametrize("name", LOST)
def test_a_small_spread_on_a_high_level_is_told_with_the_offset(name):
    (finding,) = findings(LOST[name])
    assert finding.severity == "warning" and "take the level off before (subtract" in finding.message


@pytest.mark.parametrize(
    "values",
    [
        RNG.normal(size=500),
        1e-19 * RNG.normal(size=500),
        1e30 * RNG.normal(size=500),
        1000 + RNG.normal(size=500),
        np.arange(2.0**20),
        np.full(500, 1e9 + 1),
        [np.nan, np.nan, 3.0],
        [],
    ],
)
def test_what_float32_holds_is_not_told(values):
    assert findings(values) == []


def test_values_outside_the_range_are_told():
    (finding,) = findings([1.0, 2.0, 1e308])
    assert finding.severity == "error" and "holds 1 to 1e+308, beyond what float32 can" in finding.message
    (finding,) = findings(1e-42 * np.arange(500))
    assert finding.severity == "warning" and "closer together than float32 tells apart from 0" in finding.message


def test_the_report_of_a_file_says_what_is_true(tmp_path):
    frame = pd.DataFrame({"t": np.arange(300), "a": 1e9 + RNG.normal(size=300), "y": RNG.normal(size=300)})
    frame["still"] = 1000000001.0
    frame.to_csv(tmp_path / "t.csv", index=False)
    config = {"source": "table", "path": str(tmp_path / "t.csv"), "time": "t", "targets": ["y"]}
    report = check(load_series(DataConfig.model_validate(config), checked=False))
    told = {finding.column: str(finding) for finding in report.findings}
    assert "float32 rounds it by up to" in told["a"] and "is always" not in told["a"]
    assert "is always 1000000000 in float32: it tells nothing" in told["still"]


def test_a_number_beyond_float32_is_named_as_the_file_has_it(data_home):
    config = {
        "source": "table",
        "path": str(data_home / "tiny" / "30_inf_huge.csv"),
        "time": "t",
        "targets": ["y"],
        "features": ["x"],
    }
    report = check(load_series(DataConfig.model_validate(config), checked=False))
    told = " ".join(map(str, report.errors))
    assert "1e+308" in told and "[infinite]" in report.to_text()
