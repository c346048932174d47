"""Numbers in tables: significant digits, nothing small shown as 0, nothing large as a power of ten."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keras_seq.figures import figure


@pytest.mark.parametrize(("value", "text"), [
    (1e-22, "1e-22"), (0.000012345, "1.234e-05"), (0.89999, "0.9"), (0.876543, "0.8765"), (12.3456, "12.35"),
    (12345.6, "12346"), (1234567.0, "1234567"), (3.2e17, "3.2e+17"), (-0.00321, "-0.00321"), (0.0, "0"), (7, "7"),
    (np.float32(0.5), "0.5"), (math.nan, "nan"), (math.inf, "inf"), (None, ""), (True, "True"), ("word", "word"),
])  # fmt: skip
def test_a_number_is_shown_by_its_significant_digits(value, text):
    assert figure(value) == text


def test_digits_and_a_sign_can_be_asked_for():
    assert figure(0.123456, 2) == "0.12" and figure(2.0, sign=True) == "+2" and figure(-2e-9, sign=True) == "-2e-09"


@pytest.mark.parametrize("scale", [1e-22, 1e-6, 1.0, 1e8])
def test_tables_of_a_run_show_values_of_any_scale(scale, capsys):
    from keras_seq.evaluation.spread import to_markdown
    from keras_seq.reports.summary import print_metrics

    value = 1.234 * scale
    print_metrics("regression", {"test": {"rmse": value, "mae": 0.5 * value}}, title="made")
    shown = capsys.readouterr().out
    assert figure(value) in shown and " 0.0000" not in shown
    row = {"mean": value, "deviation": value / 7, "n": 3}
    assert figure(value) in to_markdown({"name": "made", "seeds": [0], "folds": 3, "summary": {"test rmse": row}})


def test_metrics_of_several_targets_are_shown_by_target_with_what_the_overall_ones_are_in(capsys):
    from keras_seq.reports.summary import print_metrics

    numbers = {
        "rmse": 0.5,
        "rmse/a [kW]": 2e7,
        "rmse/b": 3e-7,
        "r2": 0.1,
        "coverage": 0.9,
        "coverage/a": 0.95,
        "coverage/b": 0.85,
    }
    print_metrics("regression", {"test": numbers}, title="made")
    shown = capsys.readouterr().out
    for text in ("rmse, in deviations", "rmse/a [kW]", "20000000", "3e-07", "coverage/b"):
        assert text in shown
    many = {f"rmse/{k}": 1.0 for k in range(40)} | {"rmse": 1.0}
    print_metrics("regression", {"test": many}, title="made")
    assert "rmse/7" not in capsys.readouterr().out


def test_a_benchmark_says_which_answers_its_metric_is_of():
    from types import SimpleNamespace

    from keras_seq.export.benchmark import judged_words

    bundle = SimpleNamespace(spec=SimpleNamespace(per_step=True), metrics={"test": {"rmse": 11.4321}})
    words = judged_words(bundle, "rmse", 100, 100)
    assert words.startswith("rmse is of the last step of each window") and words.endswith("is 11.43")
    bundle.spec.per_step = False
    assert "2000 of 3486 windows" in judged_words(bundle, "rmse", 2000, 3486)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_class_that_is_absent_in_test_is_drawn_without_a_word_of_the_library(tmp_path, label, recwarn):
    from keras_seq.reports import plots
    from keras_seq.training.predictions import Points

    score = np.linspace(0.1, 0.9, 30)
    found = Points(np.full(30, label), score, np.arange(30), np.arange(30), np.ones(30))
    path = plots.binary(found, tmp_path / "a.png", threshold=0.5, part="test", classes=("normal", "failure"))
    assert path.stat().st_size > 10_000
    assert not [warning for warning in recwarn if "class" in str(warning.message)]
