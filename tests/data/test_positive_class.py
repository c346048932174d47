"""Which of two classes is positive: asked for, else the rarer one, and the same for every way of reading a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig, from_dict
from keras_seq.data.prepare import read_series
from keras_seq.data.sources.positive import order_classes, with_positive
from keras_seq.errors import ConfigError


def table(tmp_path, labels, *, rows=4, **options):
    """A file of one unit a label, each label on ``rows`` rows (or as many as its unit has)."""
    lengths = rows if isinstance(rows, list) else [rows] * len(labels)
    units = np.repeat(np.arange(len(labels)), lengths)
    frame = pd.DataFrame({"unit": units, "a": np.arange(len(units)) % 7, "label": np.repeat(labels, lengths)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    given = {"source": "table", "path": str(tmp_path / "t.csv"), "unit": "unit", "targets": ["label"], **options}
    return DataConfig.model_validate(given)


@pytest.mark.parametrize(("labels", "positive"), [
    (["failure"] * 2 + ["normal"] * 8, "failure"),
    (["ok"] * 7 + ["NOK"] * 2, "NOK"),
    (["no"] * 3 + ["yes"] * 6, "no"),
    ([1] * 3 + [2] * 6, "1"),
    ([-1] * 6 + [1] * 3, "1"),
    ([0] * 2 + [1] * 6, "1"),
    (["False"] * 2 + ["True"] * 6, "True"),
    (["good"] * 3 + ["worn"] * 3, "worn"),
])  # fmt: skip
@pytest.mark.parametrize("cache", [True, False])
def test_the_rarer_class_is_positive_and_flags_are_what_they_say(tmp_path, labels, positive, cache):
    numbers = {"task": "binary"} if isinstance(labels[0], int) else {}
    series = read_series(table(tmp_path, labels, cache=cache, **numbers))
    assert series.schema.task == "binary" and series.schema.classes[1] == positive
    expected = [str(label) == positive for label in labels]
    truth = np.asarray(series.targets)[:, 0]
    assert truth.tolist() == [float(value) for value in expected]


@pytest.mark.parametrize("cache", [True, False])
def test_units_are_counted_where_a_unit_has_one_label(tmp_path, cache):
    """Three short normal units are more rows than two long failed ones... counted by unit the failures are rarer."""
    config = table(tmp_path, ["bad"] * 2 + ["good"] * 3, rows=[20, 20, 2, 2, 2], cache=cache)
    assert read_series(config).schema.classes == ("good", "bad")


@pytest.mark.parametrize("cache", [True, False])
def test_the_positive_class_can_be_asked_for(tmp_path, cache):
    labels = ["failure"] * 2 + ["normal"] * 8
    series = read_series(table(tmp_path, labels, cache=cache, positive="normal"))
    assert series.schema.classes == ("failure", "normal")
    with pytest.raises(ConfigError, match=r"'data.positive' is 'norml'.*did you mean 'normal'"):
        read_series(table(tmp_path, labels, cache=cache, positive="norml"))
    with pytest.raises(ConfigError, match="the task is regression, which has no classes"):
        read_series(table(tmp_path, [1, 2, 1, 2], cache=cache, positive="1"))
    with pytest.raises(ConfigError, match="has 3 classes"):
        read_series(table(tmp_path, ["a", "b", "c"], cache=cache, positive="a"))


def test_the_schema_keeps_its_order(tmp_path):
    (tmp_path / "schema.yaml").write_text("classes: [failure, normal]\n")
    labels = ["failure"] * 2 + ["normal"] * 8
    assert read_series(table(tmp_path, labels, schema_file=str(tmp_path / "schema.yaml"))).schema.classes[1] == "normal"
    with pytest.raises(ConfigError, match="turn the schema's classes round"):
        read_series(table(tmp_path, labels, schema_file=str(tmp_path / "schema.yaml"), positive="failure"))


def test_a_model_keeps_its_positive_class_whatever_is_rare_later(tmp_path):
    from types import SimpleNamespace

    config = table(tmp_path, ["failure"] * 2 + ["normal"] * 8)
    taught = SimpleNamespace(task="binary", classes=read_series(config).schema.classes)
    experiment = with_positive(from_dict({"data": config.model_dump()}), taught)
    assert experiment.data.positive == "failure"
    later = table(tmp_path, ["failure"] * 8 + ["normal"] * 2, positive=experiment.data.positive)
    assert read_series(later).schema.classes == ("normal", "failure")
    old = SimpleNamespace(task="binary", classes=("failure", "normal"))  # of a bundle written before there was a rule
    assert with_positive(from_dict({"data": config.model_dump()}), old).data.positive == "normal"


def test_only_a_table_has_a_positive_class_to_ask_for():
    with pytest.raises(ConfigError, match="positive is read by source 'table' only"):
        from_dict({"data": {"source": "wafer", "positive": "abnormal"}})


def test_equal_counts_leave_the_sorted_order():
    assert order_classes(("a", "b"), {"a": 3, "b": 3}, asked=None, listed=False, target="t") == ("a", "b")
