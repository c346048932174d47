"""A pilot's training: what a network may not be asked to learn, and the moment's proof of a configuration."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq import config
from keras_seq.data.prepare import prepare_series
from keras_seq.errors import DataError
from keras_seq.pilots.run import _telling, fit_proof
from tests.factories.series import data_config, make_series


def prepared_units(labels, rows=6):
    data = data_config(windows={"mode": "whole", "length": rows}, split={"by": "stratified"}, source="table", path="t")
    series = make_series([rows] * len(labels), task="binary", per="unit", labels=labels, classes=("a", "b"))
    return config.from_dict({"data": data.model_dump(mode="json")}), prepare_series(series, data)


def network(experiment, family="gru"):
    return config.replace(experiment, **{"model.family": family, "model.units": 4, "model.layers": 1})


def test_every_class_is_among_the_windows_of_the_proof():
    labels = np.zeros(2000, int)
    labels[::150] = 1
    _, prepared = prepared_units(labels)
    chosen = prepared.index["train"].take(_telling(prepared))
    assert set(prepared.series.targets[chosen.unit, 0]) == {0.0, 1.0} and len(chosen) < 700


def test_a_handful_of_sequences_is_no_food_for_a_network():
    experiment, prepared = prepared_units([0, 1] * 20)
    with pytest.raises(DataError, match="28 training examples are too few for a network"):
        fit_proof(network(experiment), prepared)


def test_a_target_that_stands_still_in_train_is_refused():
    series = make_series([300])
    series.targets[:200] = 5
    data = data_config(windows={"mode": "sliding", "length": 4}, split={"by": "time", "validation": 50, "test": 50})
    experiment = config.from_dict({"data": {**data.model_dump(mode="json"), "source": "table", "path": "t"}})
    with pytest.raises(DataError, match="nothing to learn"):
        fit_proof(network(experiment), prepare_series(series, data))
