"""A retraining reads its new table as the champion's was read, not as the new rows may look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_seq import config
from keras_seq.data.sources.registry import load_series
from keras_seq.errors import DataError
from serving.retrain.job import RetrainRequest, Start, plan_experiment

HEAD = "pump{0}day{0}heat{0}state\n"


def champion(folder, rows, mark=";", **options):
    path = folder / "old.csv"
    path.write_text(HEAD.format(mark) + "".join(mark.join(row) + "\n" for row in rows))
    data = {"source": "table", "path": str(path), "unit": "pump", "time": "day", "targets": ["state"], **options}
    experiment = config.from_dict({"name": "pumps", "data": data})
    return Start(experiment, None, "", Path(), load_series(experiment.data).schema)


def planned(start, folder, rows, mark=";", **overrides):
    path = folder / "new.csv"
    path.write_text(HEAD.format(mark) + "".join(mark.join(row) + "\n" for row in rows))
    return plan_experiment(RetrainRequest("pumps", folder, folder, {"data.path": str(path), **overrides}), start).data


OLD = [("1", "13.02.2018", "1,5", "good"), ("1", "14.02.2018", "2,5", "worn"), ("1", "15.02.2018", "3,5", "good")]


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_day_first_and_the_decimal_comma_stay(tmp_path, mark):
    """Alone, the new rows would be read month first, and their numbers as thousands."""
    start = champion(tmp_path, OLD, mark)
    data = planned(start, tmp_path, [("1", "01.03.2018", "1,500", "good"), ("1", "02.03.2018", "2,500", "worn")], mark)
    series = load_series(data)
    assert series.time.astype("datetime64[D]").astype(str).tolist() == ["2018-03-01", "2018-03-02"]
    np.testing.assert_array_equal(series.values[:, 0], [1.5, 2.5])
    assert (data.delimiter, data.date_format, data.decimal) == (mark, "%d.%m.%Y", ",")


def test_the_positive_class_stays(tmp_path):
    """The rarer class of the new rows is another one."""
    start = champion(tmp_path, OLD)
    assert start.schema.classes == ("good", "worn")
    rows = [(unit, day, heat, {"good": "worn", "worn": "good"}[state]) for unit, day, heat, state in OLD]
    assert load_series(planned(start, tmp_path, rows)).schema.classes == ("good", "worn")


def test_a_table_written_otherwise_is_refused_and_an_option_says_so(tmp_path):
    start = champion(tmp_path, OLD)
    rows = [("1", "2018-03-01", "1.5", "good"), ("1", "2018-03-02", "2.5", "worn")]
    with pytest.raises(DataError, match=r"Column 'heat' .* holds text such as '1\.5' where a number is expected"):
        load_series(planned(start, tmp_path, rows))
    options = {"data.date_format": "ISO8601", "data.decimal": ".", "data.thousands": "null"}
    assert load_series(planned(start, tmp_path, rows, **options)).values[:, 0].tolist() == [1.5, 2.5]


def test_what_the_configuration_says_stays(tmp_path):
    start = champion(tmp_path, OLD, delimiter=";", positive="good")
    data = planned(start, tmp_path, OLD)
    assert data.positive == "good" and data.delimiter == ";"
