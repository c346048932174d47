"""Numbers that stand for a missing value are named with the option that takes them out; honest numbers are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.quality import check
from keras_seq.data.quality.codes import check_codes, suspected_codes
from keras_seq.data.sources import load_series

ROWS = 1000
RNG = np.random.default_rng(0)


def with_code(values, code, share=0.05):
    values = np.array(values, np.float32)
    values[RNG.random(len(values)) < share] = code
    return values


CODED = {
    "-200 among small numbers": (RNG.gamma(2, 1, ROWS), -200),
    "-200 in nearly all rows": (RNG.gamma(2, 100, ROWS), -200, 0.9),
    "-200 near the values": (RNG.gamma(3, 300, ROWS), -200),
    "-999": (RNG.normal(20, 5, ROWS).round(1), -999),
    "-9999.0": (RNG.normal(0, 50, ROWS), -9999.0),
    "9999": (RNG.normal(1013, 8, ROWS), 9999),
    "99.9": (RNG.uniform(0, 20, ROWS).round(1), 99.9),
    "1e20": (RNG.normal(0, 1, ROWS), 1e20),
    "-1e30": (RNG.normal(0, 1, ROWS), -1e30),
    "-1 among counts": (RNG.poisson(20, ROWS), -1, 0.2),
    "-1 among shares": (RNG.uniform(0, 1, ROWS), -1),
    "0 as pressure": (RNG.normal(1013, 8, ROWS), 0),
    "65535": (RNG.integers(0, 4000, ROWS), 65535),
    "888": (RNG.normal(36.8, 0.5, ROWS).round(1), 888),
}


@pytest.mark.parametrize("name", CODED)
def test_a_code_is_named_with_its_option(name):
    values, code, *share = CODED[name]
    values = with_code(values, code, *share)
    assert suspected_codes(values) == [pytest.approx(code, rel=1e-6)]
    (finding,) = check_codes({"flow": values})
    assert (finding.severity, finding.column) == ("warning", "flow")
    assert f"occurs {np.count_nonzero(values == np.float32(code))} times" in finding.message
    assert float(finding.message.rpartition("[")[2].rstrip("]")) == pytest.approx(code, rel=1e-6)


HONEST = {
    "temperature around 0": RNG.normal(0, 5, ROWS).round(0),
    "temperature with -1 at the end": np.maximum(RNG.normal(4, 3, ROWS).round(0), -1),
    "flag": RNG.integers(0, 2, ROWS),
    "counts with many zeros": RNG.poisson(0.3, ROWS) * RNG.integers(1, 50, ROWS),
    "sign": RNG.integers(-1, 2, ROWS),
    "settings": RNG.choice([-200, 20, 21, 22], ROWS),
    "on and off": np.where(RNG.random(ROWS) < 0.5, 0, RNG.normal(1000, 5, ROWS)),
    "power, off at night": np.where(np.arange(ROWS) % 24 < 10, 0, RNG.normal(3, 0.1, ROWS)),
    "heavy tail": RNG.pareto(1.0, ROWS),
    "one outlier": np.append(RNG.normal(0, 1, ROWS), -999),
    "clipped": np.minimum(RNG.normal(0, 1, ROWS), 1.0),
    "percent": RNG.integers(0, 100, ROWS),
    "profit": RNG.normal(0, 300, ROWS).round(-2),
    "counter": np.arange(ROWS),
    "constant": np.full(ROWS, -999.0),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_numbers_are_not_suspected(name):
    assert suspected_codes(np.asarray(HONEST[name], np.float32)) == []


def test_a_code_is_believed_in_other_columns_too():
    sure, close = with_code(RNG.normal(20, 3, ROWS), -50), with_code(RNG.normal(0, 20, ROWS).clip(-45, 45), -50, 0.1)
    assert suspected_codes(close) == []
    (finding,) = check_codes({"a": sure, "b": close, "c": RNG.normal(0, 30, ROWS)})
    assert finding.count == 2 and "also in a" in finding.message


def test_two_codes_are_two_findings_with_one_option():
    values = with_code(with_code(RNG.normal(20, 3, ROWS), -999), 9999)
    found = check_codes({"a": values})
    assert len(found) == 2 and all("data.missing_codes: [-999, 9999]" in finding.message for finding in found)


def test_a_code_of_the_target_and_only_late_in_the_file(tmp_path):
    rows = pd.DataFrame({"t": np.arange(400), "x": RNG.normal(size=400), "y": RNG.gamma(2, 1, 400)})
    rows.loc[350:370, "y"] = -200
    rows.to_csv(tmp_path / "t.csv", index=False)
    config = {"source": "table", "path": str(tmp_path / "t.csv"), "time": "t", "targets": ["y"]}
    found = check(load_series(DataConfig.model_validate(config), checked=False)).warnings
    assert "column 'y': -200 occurs 21 times" in " ".join(map(str, found))
    clean = load_series(DataConfig.model_validate(config | {"missing_codes": [-200]}), checked=False)
    assert not [f for f in check(clean).findings if f.rule == "missing code"]
    assert np.isnan(clean.targets).sum() == 21


def test_a_real_file_and_its_codes(data_home):
    file = data_home / "air_quality_italy" / "AirQualityUCI.csv"
    frame = pd.read_csv(file)
    (finding,) = check_codes({name: frame[name].to_numpy(np.float32) for name in frame.select_dtypes("number")})
    assert finding.count == 13 and "data.missing_codes: [-200]" in finding.message


def test_no_false_alarm_on_the_known_sets(known_set):
    assert not [finding for finding in check(known_set).findings if finding.rule in ("missing code", "float32")]
