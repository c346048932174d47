"""Attributions as data, questions, backgrounds, groups, checks, tables, the folder: everything without a model."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.errors import ConfigError, DataError, ModelError
from keras_seq.explain import (
    attribution,
    background,
    faithfulness,
    feature_groups,
    layout,
    output_target,
    registry,
    samples,
    views,
)
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.findings import findings
from keras_seq.explain.tree_features import sources


def make_spec(**changes):
    given = {
        "task": "regression",
        "features": ("a", "b"),
        "targets": ("y",),
        "time": 6,
        "variable_length": True,
        "impute": "forward",
        "scaling": Scaling(center=((10.0, 0.0),), scale=((2.0, 1.0),), fill=(10.0, 0.0)),
    }
    return DataSpec(**{**given, **changes})


def make_attribution(values=None, **changes):
    values = np.arange(12, dtype=np.float32).reshape(2, 3, 2) - 4 if values is None else np.asarray(values)
    given = {
        "base": 1.0,
        "predictions": 1.0 + values.sum((1, 2)),
        "lengths": [values.shape[1]] * len(values),
        "features": ("a", "b"),
        "units": ("K", ""),
        "method": "occlusion",
        "output": "y",
        "output_range": 10.0,
    }
    return attribution.Attribution(values, **{**given, **changes})


def test_attributions_survive_the_disk_without_pickle(tmp_path):
    made = make_attribution(details={"nodes": [4, 8]}, samples=("u1", "u2"), lengths=[3, 2])
    made.save(tmp_path / "deep" / "occlusion")
    again = attribution.Attribution.load(tmp_path / "deep" / "occlusion.json")
    for name in attribution.ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))
    assert (again.features, again.samples, again.details) == (made.features, made.samples, {"nodes": [4, 8]})
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["occlusion.json", "occlusion.npz"]
    with pytest.raises(DataError, match="No attributions can be read"):
        attribution.Attribution.load(tmp_path / "nothing")


def test_additivity_error_is_a_share_of_the_range():
    made = make_attribution()
    assert made.additivity_error().max() < 1e-7
    off = make_attribution(predictions=made.predictions + np.array([0.0, 0.5]))
    np.testing.assert_allclose(off.additivity_error(), [0.0, 0.05], atol=1e-7)
    with pytest.raises(DataError, match="expected \\(samples, time, features\\)"):
        make_attribution(features=("a",))


def test_lags_count_from_the_last_real_step():
    made = make_attribution(lengths=[3, 2])
    by_lag = made.by_lag()
    np.testing.assert_array_equal(by_lag[0, 0], made.values[0, 2])
    np.testing.assert_array_equal(by_lag[1, 0], made.values[1, 1])
    assert np.isnan(by_lag[1, 2]).all() and not np.isnan(by_lag[0]).any()


@pytest.mark.parametrize(
    ("changes", "options", "match"),
    [
        ({}, {"class_name": "x"}, "has no classes"),
        ({}, {"scale": "logit"}, "for probabilities"),
        ({}, {"target": "z"}, "no target 'z'"),
        ({}, {"ahead": 2}, "expected nothing, for task 'regression'"),
        ({}, {"level": 0.5}, "quantiles are: none"),
        ({"task": "forecast", "horizon": 3}, {"ahead": 4}, "expected 1 to 3"),
        ({"task": "multiclass", "classes": ("u", "v")}, {"class_name": "w"}, "has not seen a class 'w'"),
        ({"task": "binary", "classes": ("no", "yes")}, {"class_name": "no"}, "opposite sign"),
        ({"task": "binary", "classes": ("no", "yes")}, {"class_name": "yess"}, "did you mean 'yes'"),
    ],
)
def test_questions_that_do_not_fit_are_refused(changes, options, match):
    with pytest.raises(ConfigError, match=match):
        output_target.make_target(make_spec(**changes), **options)


def test_questions_pick_the_number_that_is_meant():
    forecast = make_spec(task="forecast", horizon=3, targets=("a", "b"))
    outputs = np.arange(6.0)[None]  # (horizon, targets)
    mean = output_target.make_target(forecast, target="b")
    assert mean.number(outputs, mean.select(outputs))[0] == pytest.approx(3.0)  # of 1, 3, 5
    second = output_target.make_target(forecast, ahead=2)
    assert mean.name.endswith(", mean of 3 steps ahead") and second.name.endswith(", 2 steps ahead")
    assert output_target.make_target(forecast.model_copy(update={"horizon": 1})).name.endswith(", 1 step ahead")
    assert second.number(outputs, second.select(outputs))[0] == 2.0
    quantile = output_target.make_target(make_spec(), quantiles=(0.1, 0.5, 0.9), level=0.9)
    assert quantile.number(np.array([[1.0, 2.0, 3.0]]), quantile.select(np.zeros((1, 3))))[0] == 3.0
    called = output_target.make_target(make_spec(task="multiclass", classes=("u", "v")), scale="logit")
    shares = np.array([[0.2, 0.8], [0.9, 0.1]])
    np.testing.assert_allclose(called.number(shares, called.select(shares)), np.log([4.0, 9.0]), rtol=1e-6)


def test_backgrounds_give_their_first_steps_and_are_continued_by_reflection():
    spec = make_spec()
    windows = np.zeros((2, 6, 2), np.float32)
    windows[0, :, 0], windows[1, :3, 0] = np.arange(6), [7, 8, 9]
    made = background.from_windows(windows, [6, 3], spec, count=2)
    short = made.beside(np.zeros((2, 2), np.float32))
    np.testing.assert_array_equal(short[:, :, 0], [[0, 1], [7, 8]])
    long = made.beside(np.zeros((6, 2), np.float32))
    np.testing.assert_array_equal(long[:, :, 0], [[0, 1, 2, 3, 4, 5], [7, 8, 9, 8, 7, 8]])
    assert (made.continued(2), made.continued(6)) == (0, 1)
    assert made.constant() == ("b",)
    one = background.from_windows(windows, [6, 3], spec, count=1).beside(np.zeros((5, 2), np.float32))
    np.testing.assert_array_equal(one[0, :, 0], [0, 1, 2, 3, 4])  # the one that is long enough


@given(st.integers(1, 9), st.integers(1, 40))
def test_reflection_stays_inside_and_moves_by_one_step(length, steps):
    index = background._reflected(length, steps)
    assert len(index) == steps and index.min() >= 0 and index.max() < length
    np.testing.assert_array_equal(index[: min(length, steps)], np.arange(min(length, steps)))
    assert length == 1 or (np.abs(np.diff(index)) == 1).all()


def test_gaps_of_a_background_are_filled_as_the_model_fills_them():
    rows = np.array([[np.nan, 1], [3, np.nan], [np.nan, np.nan], [7, 4]], np.float32)
    forward = background.filled(rows, make_spec())
    np.testing.assert_array_equal(forward, [[10, 1], [3, 1], [3, 1], [7, 4]])
    line = background.filled(rows, make_spec(impute="interpolate"))
    np.testing.assert_array_equal(line, [[10, 1], [3, 2], [5, 3], [7, 4]])
    mean = background.filled(rows, make_spec(impute="mean"))
    np.testing.assert_array_equal(mean[:, 0], [10, 3, 10, 7])


def test_backgrounds_move_into_the_samples_operating_condition():
    scaling = Scaling(
        center=((0.0, 100.0), (10.0, 500.0)),
        scale=((1.0, 10.0), (1.0, 50.0)),
        fill=(0.0, 100.0),
        condition_features=(0,),
        condition_scale=(1.0,),
        centroids=((0.0,), (10.0,)),
    )
    spec = make_spec(scaling=scaling)
    low = np.array([[[0.0, 110.0], [0.0, 120.0]]], np.float32)  # one and two deviations above normal
    made = background.from_windows(low, [2], spec, count=1)
    sample = np.array([[10.0, 480.0], [0.0, 90.0]], np.float32)
    np.testing.assert_allclose(made.beside(sample)[0], [[10, 550], [0, 120]])
    mean = background.from_windows(low, [2], spec, count=1, kind="mean")
    np.testing.assert_allclose(mean.beside(sample)[0], [[10, 500], [0, 100]])


def test_samples_are_checked_before_anything_is_computed():
    spec = make_spec()
    with pytest.raises(DataError, match="the model takes at most 6"):
        samples.from_arrays(np.zeros((1, 7, 2)), spec)
    with pytest.raises(DataError, match="takes exactly 6"):
        samples.from_arrays(np.zeros((1, 5, 2)), make_spec(variable_length=False))
    with pytest.raises(DataError, match="expected \\(samples, time, 2\\)"):
        samples.from_arrays(np.zeros((1, 5, 3)), spec)
    with pytest.raises(DataError, match="reach from 2 to 9"):
        samples.from_arrays(np.zeros((2, 5, 2)), spec, lengths=[2, 9])
    made = samples.from_arrays(np.full((2, 6, 2), 5.0), spec, lengths=[3, 2])
    assert made.values.shape == (2, 3, 2) and (made.values[1, 2:] == 0).all()
    np.testing.assert_array_equal(made.prefix(1).lengths, [1, 1])


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 2**16))
def test_groups_share_out_exactly_what_they_get(length, blocks, seed):
    rng = np.random.default_rng(seed)
    known = np.zeros((length + 2, 3), bool)
    known[:length] = rng.random((length, 3)) < 0.8
    borders = feature_groups.edges(length, blocks)
    found = [(f, a, b) for f in range(2) for a, b in pairwise(borders) if known[a:b, f].any()]
    made = feature_groups.FeatureGroups(*np.array(found, np.int64).reshape(-1, 3).T, known)
    assert borders[0] == 0 and borders[-1] == length
    mean_answers = rng.normal(size=len(made))
    spread = made.spread(mean_answers)
    assert spread.sum() == pytest.approx(mean_answers.sum()) and (spread[~known] == 0).all()
    masks = np.eye(len(made), dtype=bool)
    present = made.present(masks)
    assert present[:, :, 2].all()  # values of no group are always known
    np.testing.assert_array_equal(present[:, :length, :2] & known[:length, :2], made.cells[:, :length, :2])


def test_agreement_ranks_groups_that_either_method_names():
    one, other = make_attribution(), make_attribution(method="lime")
    rows = faithfulness.agreement({"occlusion": one, "lime": other}, blocks=3)
    assert rows[0]["spearman"] == pytest.approx(1.0)
    against = faithfulness.agreement({"occlusion": one, "lime": make_attribution(-one.values, method="lime")}, blocks=3)
    assert against[0]["spearman"] == pytest.approx(-1.0)
    assert np.isnan(faithfulness.spearman(np.zeros(5), np.zeros(5)))
    np.testing.assert_allclose(faithfulness.grouped(one, 1), one.by_feature())


def test_tables_rank_what_is_there():
    values = np.zeros((6, 4, 2), np.float32)
    level = np.arange(6.0)
    values[:, 3, 0] = 2 * level - 5  # the last step of a, rising with its level
    values[:, 0, 1] = 0.5
    made = make_attribution(values)
    raw = np.zeros_like(values)
    raw[:, :, 0] = level[:, None]
    rows = views.sensors(made, raw)
    assert [row["feature"] for row in rows] == ["a", "b"] and rows[0]["direction"] == pytest.approx(1.0)
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    assert views.steps(made)[0]["lag"] == 0
    heat = {(row["feature"], row["lag_from"]): row for row in views.heatmap(made, bins=2)}
    assert heat["a", 0]["importance"] == pytest.approx(3.0) and heat["b", 2]["mean"] == pytest.approx(0.5)
    top = views.largest(made, most=1)[0]
    assert (top["feature"], top["time"], top["value"], top["rank"]) == ("a", 3, -5.0, 1)
    told = findings(made, raw, constant=("c",), areas={"occlusion": (0.2, 0.8), "random": (0.5, 0.5)})
    assert "a moves y most" in told[0]["text"] and "higher values raise it" in told[0]["text"]
    assert "1 features never change" in told[-1]["text"] and len(told) <= 5


def test_attention_is_not_said_to_decide_among_sensors():
    """It has one column, which once was "all sensors", with 100 % of the attribution."""
    made = make_attribution(
        np.full((6, 4, 1), 0.25, np.float32),
        features=(attribution.ALL,),
        units=("",),
        method="attention",
        additive=False,
        predictions=np.arange(6.0),
    )
    assert not made.by_sensor and views.sensors(made, np.zeros((6, 4, 2))) == []
    told = findings(made, np.zeros((6, 4, 2)), areas={"attention": (0.4, 0.6), "random": (0.5, 0.5)})
    text = " ".join(one["text"] for one in told)
    assert attribution.ALL not in text and "100%" not in text and "add up to the answers within" not in text
    assert "not which sensors it uses" in told[0]["text"] and "Half of all attention lies" in told[1]["text"]
    assert told[0]["numbers"]["top"] == [] and told[2]["numbers"]["reasons"] == {}


def test_the_only_sensor_is_called_so():
    made = make_attribution(np.ones((6, 4, 1), np.float32), features=("a",), units=("",), additive=True)
    told = findings(made, np.random.default_rng(0).normal(size=(6, 4, 1)))
    assert "a, the only sensor, moves y by 4 a sample" in told[0]["text"] and "100%" not in told[0]["text"]


@pytest.mark.parametrize("method", ["occlusion", "attention"])
def test_a_method_that_need_not_add_up_is_not_said_to(method):
    sensors = {"features": (attribution.ALL,), "units": ("",)} if method == "attention" else {}
    values = np.ones((3, 4, 1 if sensors else 2), np.float32)
    made = make_attribution(values, method=method, additive=False, predictions=[9.0, 9.0, 9.0], **sensors)
    trust = findings(made, np.zeros((3, 4, 2)))[-1]["text"]
    assert "need not add up" in trust and "within" not in trust


def test_tree_features_name_their_sources():
    from keras_seq.models.window_features import RecentFeatures, WindowFeatures

    sample = np.arange(48, dtype=np.float32).reshape(24, 2) % 7
    known = np.ones((24, 2), bool)
    known[23, 0] = False
    layer = WindowFeatures([0.0, 0.0], [1.0, 1.0])
    shares = sources([layer], sample, known)
    assert len(shares) == layer.count(2)
    np.testing.assert_allclose(shares[:-1].sum((1, 2)), 1.0)  # the last one is the length, which has no source
    assert shares[-1].sum() == 0 and (shares[:, 23, 0] == 0).all()
    assert shares[4, 22, 0] == 1.0  # the last value of a is the one before the gap
    recent = sources([RecentFeatures()], sample, np.ones((24, 2), bool))
    assert len(recent) == 28 and recent[0, 23, 0] == 1.0 and recent[3, 22, 1] == 0.5


def test_unknown_and_forbidden_methods_are_refused_at_once():
    with pytest.raises(ConfigError, match="did you mean 'kernel'"):
        registry.check_names(["kernal"])
    with pytest.raises(ModelError, match="gradients fail in the same process"):
        registry.check_names(["deep"])


def test_a_folder_is_read_back(tmp_path):
    folder = tmp_path / "run" / layout.FOLDER
    with pytest.raises(DataError, match="holds no explanations"):
        layout.read(folder.parent)
    made = make_attribution()
    made.save(layout.attribution_file(folder, "occlusion"))
    layout.write_table(layout.table_file(folder, "sensors"), views.sensors(made))
    layout.write_table(layout.table_file(folder, "agreement"), [])
    (folder / layout.SUMMARY).write_text('{"methods": ["occlusion"]}')
    (folder / layout.FINDINGS).write_text("[]")
    read = layout.read(folder.parent)
    assert read.methods == ("occlusion",) and read.tables == ("sensors",) and read.plots == {}
    np.testing.assert_array_equal(read.attribution("occlusion").values, made.values)
    assert read.table("sensors")[0]["rank"] == "1"
    with pytest.raises(DataError, match="holds no table 'steps'"):
        read.table("steps")
    assert layout.default_folder(folder.parent / "bundle") == folder


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["x", "--methods", "shapley"], "there is no method 'shapley'"),
        (["x", "--methods", "deep"], "DeepExplainer"),
        (["x", "--model.units", "3"], "cannot change a trained model"),
        (["nowhere"], "is not a bundle"),
        (["x", "--part", "tests"], "it can be train, validation, test"),
    ],
)
def test_the_command_line_refuses_in_a_paragraph(words, match, capsys):
    from keras_seq import cli
    from keras_seq.commands.explain import main

    assert cli.run(main, words) == 2
    said = capsys.readouterr().err
    assert match in said and "Traceback" not in said


def test_importing_loads_neither_tensorflow_nor_shap():
    code = (
        "import sys, keras_seq.explain, keras_seq.explain.__main__, keras_seq.explain.layout, keras_seq.explain.run; "
        "keras_seq.commands.explain.make_parser(); "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'shap', 'matplotlib', 'mlflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_each_word_does_is_told_by_the_word():
    values = np.array([[[1.0, 5.0], [2.0, 5.0], [0.0, 5.0]]], np.float32)
    effect = np.array([[[0.4, 0.1], [-0.2, 0.1], [0.0, 0.1]]], np.float32)
    attribution = Attribution(effect, [1.0], [1.5], [3], ("weather", "temp"), (views.WORD, ""), "occlusion", "y")
    rows = views.words(attribution, values, {"weather": ("clear", "rain")})
    assert [(row["word"], row["steps"]) for row in rows] == [("clear", 1), ("rain", 1), ("other", 1)]
    np.testing.assert_allclose([row["effect"] for row in rows], [0.4, -0.2, 0.0], atol=1e-6)
