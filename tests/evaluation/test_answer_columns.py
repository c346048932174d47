"""Every answer has a column of its own, whatever the table's columns are called."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from keras_seq.errors import ConfigError
from keras_seq.evaluation.answer_columns import answer_columns, level_name, output_columns
from keras_seq.tasks import classifies

ROWS = 3


def bundle(*, targets=("y",), unit="shop", clock="day", task="regression", classes=(), levels=(), horizon=0):
    """What a table of answers needs of a bundle."""
    return SimpleNamespace(
        spec=SimpleNamespace(task=task, classifies=classifies(task), targets=targets, classes=classes, horizon=horizon),
        schema=SimpleNamespace(unit_column=unit, time_column=clock, calendar=None),
        experiment=SimpleNamespace(model=SimpleNamespace(quantiles=levels)),
    )


def answers(model, *, file_has_time=True):
    """Answers of three units, every number another: targets 0, 1, ..., ends and quantiles beside them."""
    from keras_seq.evaluation.answered import answers_table

    spec, levels = model.spec, model.experiment.model.quantiles
    point = np.tile(np.arange(len(spec.targets), dtype=np.float32), (ROWS, max(spec.horizon, 1), 1))
    if spec.task in ("binary", "multiclass"):
        chances = np.tile(np.linspace(0.1, 0.2, max(len(spec.classes), 2), dtype=np.float32), (ROWS, 1))
        output = {"class": np.zeros((ROWS, 1), int)}
        output |= {"probability": chances[:, :1]} if spec.task == "binary" else {"probabilities": chances}
    else:
        output = {"prediction": point, "lower": point - 0.25, "upper": point + 0.25}
        if levels:
            output["quantiles"] = point[..., None] + np.arange(len(levels), dtype=np.float32) / 100
    clock = model.schema.time_column if file_has_time else None
    last = np.array([10, 20, 30])
    return answers_table(model, output, unit=np.array(["a", "b", "c"]), last=last, time=last, clock=clock)


def test_ordinary_names_are_as_they_were():
    assert list(answers(bundle())) == ["shop", "day", "y", "y_lower", "y_upper"]
    assert list(answers(bundle(unit=None, clock=None))) == ["unit", "row", "y", "y_lower", "y_upper"]
    quantiles = answers(bundle(levels=(0.05, 0.5, 0.95), horizon=2))
    assert list(quantiles) == ["shop", "day", "steps_ahead", "y_q05", "y_q50", "y_q95", "y_lower", "y_upper"]
    classes = answers(bundle(task="multiclass", classes=("low", "high")))
    assert list(classes) == ["shop", "day", "probability_low", "probability_high", "class"]


def test_an_interval_does_not_overwrite_a_target():
    found = answers(bundle(targets=("temp_lower", "temp_upper", "temp")))
    assert found["temp_lower"].tolist() == [0.0] * 3 and found["temp_upper"].tolist() == [1.0] * 3
    assert found["temp"].tolist() == [2.0] * 3
    assert found["temp__lower"].tolist() == [1.75] * 3 and found["temp__upper"].tolist() == [2.25] * 3
    assert found["temp_lower__upper"].tolist() == [0.25] * 3
    own = answers(bundle(unit=None, clock=None, targets=("row", "y")))
    assert list(own) == ["_unit", "_row", "row", "row_lower", "row_upper", "y", "y_lower", "y_upper"]


@pytest.mark.parametrize(("model", "columns"), [
    (bundle(targets=("y", "y_q05"), levels=(0.05, 0.5)), 2 + 4 + 4),
    (bundle(levels=(0.025, 0.03, 0.05, 0.051, 0.5, 0.999)), 2 + 6 + 2),
    (bundle(targets=("unit",), unit=None), 2 + 3),
    (bundle(targets=("row",), clock=None), 2 + 3),
    (bundle(targets=("steps_ahead", "y"), horizon=2), 3 + 6),
    (bundle(unit="y_lower"), 2 + 3),
    (bundle(unit="row", clock=None), 2 + 3),
    (bundle(task="binary", unit="class", clock="probability"), 2 + 2),
    (bundle(task="multiclass", unit="probability_a", classes=("a", "a_b")), 2 + 3),
    (bundle(targets=("y", "y_", "y__lower", "y_lower")), 2 + 12),
])  # fmt: skip
def test_every_answer_has_a_column_of_its_own(model, columns):
    found = answers(model)
    assert len(found.columns) == columns and found.columns.is_unique
    own = model.schema.unit_column or "unit"
    if own in found and found[own].dtype == object:
        assert found[own].iloc[0] == "a"
    if model.schema.time_column:
        assert found[model.schema.time_column].tolist()[:1] == [10]
    if not model.experiment.model.quantiles and model.spec.task == "regression":
        assert [found[name].iloc[0] for name in model.spec.targets] == list(range(len(model.spec.targets)))


def test_quantile_levels_are_exact():
    assert [level_name(level) for level in (0.05, 0.5, 0.99, 0.025, 0.051, 0.999, 1e-4)] == [
        "q05", "q50", "q99", "q2.5", "q5.1", "q99.9", "q0.01"
    ]  # fmt: skip


def test_a_file_without_the_time_column_counts_rows():
    assert list(answers(bundle(clock="row"), file_has_time=False))[1] == "row"


def test_a_stream_and_a_file_use_the_same_names():
    names = answer_columns(unit="y_ahead1", clock=None, task="forecast", targets=("y", "z"), horizon=3)
    assert names.end("y", "lower") == "y__lower" and names.ahead("y", 1) == "y__ahead1"


@pytest.mark.parametrize("own", [
    {"unit": "a", "clock": "a", "targets": ("y",)},
    {"unit": "y", "clock": None, "targets": ("y",)},
    {"unit": None, "clock": "y", "targets": ("x", "y")},
])  # fmt: skip
def test_a_column_of_two_parts_is_refused(own):
    with pytest.raises(ConfigError, match="plays two parts"):
        answer_columns(task="regression", **own)


def test_classes_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="several classes of one name"):
        answer_columns(unit=None, clock=None, task="multiclass", targets=("y",), classes=("1e+08", "1e+08"))


def test_outputs_that_nobody_describes_have_columns_of_their_own():
    assert output_columns(["class"], {"class": 1, "score": 2}) == {
        "class": ["_class"],
        "score": ["_score__0", "_score__1"],
    }
    assert output_columns(["unit"], {"s_0": 1, "s": 2}) == {"s_0": ["_s_0"], "s": ["_s__0", "_s__1"]}
    assert output_columns(["unit"], {"prediction": 1}) == {"prediction": ["prediction"]}
