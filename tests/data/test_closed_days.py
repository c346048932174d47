"""Business days without rows are no gaps where they are public holidays of one country."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

from keras_seq.config import DataConfig
from keras_seq.data.prepare import read_series
from keras_seq.data.quality import check


def gaps(tmp_path, days):
    path = tmp_path / "days.csv"
    pd.DataFrame({"date": days, "y": np.arange(float(len(days)))}).to_csv(path, index=False)
    tree = {"source": "table", "path": str(path), "time": "date", "targets": ["y"], "task": "forecast"}
    return [
        str(finding)
        for finding in check(read_series(DataConfig.model_validate(tree))).warnings
        if finding.rule == "gap"
    ]


def test_holidays_are_no_gaps_and_other_days_are(tmp_path):
    days = pd.bdate_range("2020-01-02", "2023-12-29")
    open_days = days.difference(USFederalHolidayCalendar().holidays("2020-01-01", "2024-01-01"))
    assert gaps(tmp_path, open_days) == []
    assert len(gaps(tmp_path, open_days.drop("2021-03-10"))) == 1
    some = np.random.default_rng(0).choice(days[1:-1], 30, replace=False)
    assert len(gaps(tmp_path, days.drop(some))) == 1
