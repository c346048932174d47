from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from keras_seq import config
from keras_seq.data.prepare import prepare, prepare_series
from keras_seq.evaluation.naive_error import naive_errors
from keras_seq.evaluation.postprocessed import postprocess, score_postprocessed
from keras_seq.evaluation.scores import score
from keras_seq.training.predictions import Points, points
from tests.factories.bundles import CO2
from tests.factories.series import data_config, make_series


def per_step(series, by="time"):
    config = data_config(
        split={"by": by, "validation": 10, "test": 10},
        windows={"mode": "whole", "length": 100, "per_step": True},
    )
    return prepare_series(series, config)


def test_steps_of_earlier_parts_are_not_judged_again() -> None:
    prepared = per_step(make_series([60, 50]))
    for name, part in prepared.splits.items():
        index = prepared.index[name]
        found = points(prepared.series, index, prepared.spec, np.zeros((int(index.length.sum()), 1)))
        assert len(found.row) == part.rows
        for unit, first, last in zip(part.units, part.first, part.last, strict=True):
            assert found.row[found.unit == unit].tolist() == list(range(first, last))
        np.testing.assert_array_equal(found.truth[:, 0], found.row)


def test_predictions_stay_beside_their_rows() -> None:
    prepared = per_step(make_series([60, 50]))
    index = prepared.index["test"]
    rows = np.concatenate([np.arange(s, s + n) for s, n in zip(index.start, index.length, strict=True)])
    found = points(prepared.series, index, prepared.spec, rows[:, None].astype(float))
    np.testing.assert_array_equal(found.prediction[:, 0], found.row)


def test_missing_truth_is_left_out() -> None:
    prepared = per_step(make_series([60]))
    targets = prepared.series.targets.copy()
    targets[55] = np.nan
    series = dataclasses.replace(prepared.series, targets=targets)
    index = prepared.index["test"]
    found = points(series, index, prepared.spec, np.zeros((int(index.length.sum()), 1)))
    assert found.row.tolist() == [50, 51, 52, 53, 54, 56, 57, 58, 59]


def test_quantile_models_are_also_judged_by_pinball() -> None:
    prepared = prepare_series(make_series([60] * 5), data_config(windows={"mode": "sliding", "length": 5}))
    experiment = config.from_dict({"model": {"quantiles": [0.1, 0.5, 0.9]}})
    answers = np.array([[0.0, 2.0, 4.0], [0.0, 2.0, 4.0]])
    found = Points(np.array([[2.0], [5.0]]), answers, np.arange(2), np.arange(2), np.ones(2))
    metrics = score(found, prepared.spec, experiment, part="validation")
    # of truth 2: 0.2, 0, 0.2; of truth 5: 0.5, 1.5, 0.9
    assert metrics["pinball"] == pytest.approx((0.2 + 0 + 0.2 + 0.5 + 1.5 + 0.9) / 6)
    assert metrics["coverage"] == 0.5


def test_forecasts_are_scaled_by_the_seasonal_naive_error_of_the_train_part() -> None:
    given = config.from_dict(CO2)
    prepared = prepare(given.data)
    rows = prepared.splits.train
    weeks = pd.Series(prepared.series.targets[rows.first[0] : rows.last[0], 0].astype(float))
    scale = weeks.diff(52).abs().mean()  # the source's season; pairs with a missing week are left out
    assert naive_errors(prepared, given) == pytest.approx(np.array([[scale]]))
    index = prepared.index["test"]
    found = points(prepared.series, index, prepared.spec, np.full((len(index), 2, 1), 360.0))
    decided = postprocess(found, prepared.spec, given, {}, part="test", naive=naive_errors(prepared, given))
    metrics = score_postprocessed(decided, prepared.spec, given, {}, part="test")
    assert metrics["mase"] == pytest.approx(metrics["mae"] / scale)


def test_without_a_known_season_the_scale_is_that_of_the_last_value() -> None:
    settings = {"split": {"by": "time", "validation": 10, "test": 10}}
    forecast = data_config(**settings, windows={"mode": "sliding", "length": 5, "horizon": 2})
    prepared = prepare_series(make_series([60, 50], task="forecast"), forecast)
    # the targets rise by 1 a row; units are not mixed
    assert naive_errors(prepared, config.from_dict({})).tolist() == [[1.0], [1.0]]
    assert naive_errors(prepared, config.from_dict({"model": {"arima": {"period": 7}}})).tolist() == [[7.0], [7.0]]
    assert naive_errors(prepared, config.from_dict({"model": {"arima": {"period": 45}}})) is None  # 40 rows are known
    values = prepare_series(make_series([60]), data_config(**settings, windows={"mode": "sliding", "length": 5}))
    assert naive_errors(values, config.from_dict({})) is None
