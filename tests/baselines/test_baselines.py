"""Baselines: features against direct formulas, causality, and forecasts and trees that beat the obvious."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from keras_seq import config
from keras_seq.baselines.reference import fit_reference
from keras_seq.config import CasterConfig, DataConfig
from keras_seq.data.features.causal import forward_filled, history_features, window_features, window_rows
from keras_seq.data.features.window_statistics import rich_features, summary_features
from keras_seq.data.prepare import Prepared, prepare_series
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.data.sources.caster import load_caster
from keras_seq.data.windows import WindowIndex
from keras_seq.pipeline.scores import score_baseline


def table(lengths: list[int], features: int = 3, *, seed: int = 0, task: str = "regression") -> Series:
    """Random walks whose target per step is a function of the past."""
    rng = np.random.default_rng(seed)
    units = [np.cumsum(rng.standard_normal((n, features)), 0).astype(np.float32) + 50 for n in lengths]
    schema = Schema.model_validate(
        {
            "name": "walks", "task": task, "columns": [Column(name=f"x{i}") for i in range(features)],
            "targets": ("y",), "classes": ("a", "b") if task == "binary" else (),
        }
    )  # fmt: skip
    targets = [np.arange(1.0, len(u) + 1)[:, None] for u in units]
    if task == "binary":
        targets = [(u[:, :1] > np.roll(u[:, :1], 4)).astype(float) for u in units]
    return build_series(schema, units, targets)


def prepared(series: Series, **config: object) -> Prepared:
    return prepare_series(series, DataConfig.model_validate({"source": "table", **config}))


@pytest.fixture(scope="module")
def casts() -> Series:
    return load_caster(CasterConfig(sequences=1500, heats=150, max_length=160, decoys=0.0, hidden_share=0.0))


# --- features of units ------------------------------------------------------------------------------


def column(named: tuple[np.ndarray, tuple[str, ...]], name: str) -> np.ndarray:
    return named[0][:, named[1].index(name)]


def test_summary_features_are_what_they_say() -> None:
    series = table([40, 7, 25])
    found = summary_features(series)
    assert found[0].shape == (3, len(found[1])) and found[0].dtype == np.float32
    for unit in range(3):
        x = series.unit_values(unit)[:, 1]
        for name, expected in (
            ("mean", x.mean()),
            ("std", x.std()),
            ("min", x.min()),
            ("max", x.max()),
            ("last", x[-1]),
        ):
            assert column(found, f"{name}:x1")[unit] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(column(found, "length"), [40, 7, 25])


def test_rich_features_against_direct_formulas() -> None:
    series = table([60, 9, 33])
    found = rich_features(series)
    for unit in range(3):
        x = series.unit_values(unit).astype(np.float64)
        z = (x - x.mean(0)) / x.std(0)
        n = len(x)
        expected = {
            "slope:x0": np.polyfit(np.arange(n), x[:, 0], 1)[0],
            "argmax:x2": x[:, 2].argmax() / n,
            "argmin:x2": x[:, 2].argmin() / n,
            "q0.5:x1": np.sort(x[:, 1])[round(0.5 * (n - 1))],
            "corr5:x0>x1": (z[:-5, 0] * z[5:, 1]).mean(),
            "corr2:x1>x1": (z[:-2, 1] * z[2:, 1]).mean(),
            "corr0:x0>x2": (z[:, 0] * z[:, 2]).mean(),
            "segment0:x0": x[np.arange(n) * 8 // n == 0, 0].mean(),
            "segment7-6:x0": x[np.arange(n) * 8 // n == 7, 0].mean() - x[np.arange(n) * 8 // n == 6, 0].mean(),
            "crossings0:x0": (np.diff(z[:, 0] > 0) != 0).mean(),
            "step_mean:x1": np.abs(np.diff(z[:, 1])).mean(),
        }
        for name, value in expected.items():
            assert column(found, name)[unit] == pytest.approx(value, rel=2e-3, abs=1e-4), (name, unit)


def test_features_do_not_depend_on_company_and_follow_the_order_asked_for() -> None:
    series = table([60, 9, 33, 120])
    everyone = rich_features(series)[0]
    np.testing.assert_allclose(rich_features(series, np.array([2, 0]))[0], everyone[[2, 0]], rtol=1e-4, atol=1e-5)


def test_names_are_unique_and_length_can_be_left_out() -> None:
    series = table([30, 40])
    for function in (summary_features, rich_features):
        with_length, without = function(series), function(series, length=False)
        assert len(set(with_length[1])) == len(with_length[1]) == with_length[0].shape[1]
        assert without[1] == with_length[1][:-1] and with_length[1][-1] == "length"


def test_many_channels_keep_their_autocorrelations_without_all_pairs() -> None:
    found, names = rich_features(table([50, 60], features=40))
    assert found.shape[1] == len(names) == len(set(names)) < 5000
    assert "auto5:x39" in names and "corr5:x0>x39" not in names


@pytest.mark.parametrize("length", [1, 2, 5])
def test_missing_values_and_tiny_or_constant_units_stay_finite(length: int) -> None:
    series = table([length, 30])
    series.values[3 if length > 3 else 0] = np.nan
    series.values[-30:, 1] = 7.0
    series.values[-20:, 0] = np.nan
    for found, _ in (rich_features(series), summary_features(series)):
        assert np.isfinite(found).all()
    assert column(summary_features(series), "last:x0")[1] == series.values[-21, 0]


# --- causal features --------------------------------------------------------------------------------


def test_history_features_are_what_they_say() -> None:
    series = table([50, 3, 80])
    spec = prepared(series, split={"validation": 1, "test": 1}).spec
    found = history_features(series, spec)
    scaled = (series.values - np.array(spec.scaling.center)[0]) / np.array(spec.scaling.scale)[0]
    unit = scaled[series.offsets[2] :, 1]
    t = 40
    weighted = unit[0]
    for value in unit[1 : t + 1]:
        weighted = 0.9 * weighted + 0.1 * value
    expected = {
        "value": unit[t],
        "ewm0.9": weighted,
        "own_change": weighted - unit[:20].mean(),
        "running_mean": unit[: t + 1].mean(),
        "mean5": unit[t - 4 : t + 1].mean(),
        "mean30": unit[t - 29 : t + 1].mean(),
    }
    row = series.offsets[2] + t
    for name, value in expected.items():
        assert column(found, f"{name}:x1")[row] == pytest.approx(value, abs=1e-4), name
    np.testing.assert_array_equal(column(found, "steps"), np.concatenate([np.arange(1, n + 1) for n in (50, 3, 80)]))


def test_history_and_window_features_never_look_ahead() -> None:
    series = table([50, 40, 60])
    spec = prepared(series, split={"validation": 1, "test": 1}).spec
    index = WindowIndex(*(np.array([v]) for v in (5, 20, 24, 0, 5)))
    later = replace(series, values=series.values.copy())
    later.values[25:] = 1e6
    later.values[:5] += 3.0  # before the window: history sees it, the window does not
    np.testing.assert_array_equal(window_features(series, index)[0], window_features(later, index)[0])
    later.values[:5] = series.values[:5]
    np.testing.assert_array_equal(history_features(series, spec)[0][:25], history_features(later, spec)[0][:25])


def test_window_features_are_what_they_say() -> None:
    series = table([50, 40])
    index = WindowIndex(*(np.array(v) for v in ([10, 50], [30, 4], [39, 53], [0, 1], [10, 50])))
    found = window_features(series, index)
    window = series.values[10:40, 2].astype(np.float64)
    assert column(found, "value:x2")[0] == pytest.approx(window[-1])
    assert column(found, "change3:x2")[0] == pytest.approx(window[-1] - window[-4], rel=1e-4)
    assert column(found, "change7:x2")[1] == pytest.approx(
        series.values[53, 2] - series.values[50, 2]
    )  # before the window: its first row
    assert column(found, "above_mean5:x2")[0] == pytest.approx(window[-1] - window[-5:].mean(), rel=1e-4)
    assert column(found, "above_mean:x2")[0] == pytest.approx(window[-1] - window.mean(), rel=1e-4)
    assert column(found, "std:x2")[0] == pytest.approx(window.std(), rel=1e-4)
    assert column(found, "slope:x2")[0] == pytest.approx(np.polyfit(np.arange(30), window, 1)[0], rel=1e-4)


def test_forward_fill_stays_within_the_unit() -> None:
    values = np.array([[1.0], [np.nan], [np.nan], [4.0]])
    np.testing.assert_array_equal(forward_filled(values, np.array([0, 2, 4]))[:, 0], [1, 1, 0, 4])


# --- the baseline beside a network ---------------------------------------------------------------------


def reference(data: Prepared, options: dict[str, Any] | None = None) -> tuple[str, np.ndarray]:
    """Family chosen, and its answers for the test windows."""
    found = fit_reference(config.from_dict(options or {}), data)
    return found.family, found.predict(data.index["test"])


def test_trees_find_what_is_easy(casts: Series) -> None:
    from sklearn.metrics import roc_auc_score

    data = prepared(casts, source="caster", windows={"mode": "whole", "length": 160})
    family, probability = reference(data)
    assert family == "hist_gradient_boosting"
    assert probability.shape == (len(data.index["test"]), 1)
    assert roc_auc_score(casts.targets[data.index["test"].unit, 0], probability[:, 0]) > 0.7


@pytest.mark.parametrize("per_step", [True, False])
def test_regression_at_every_step_and_of_windows(per_step: bool) -> None:
    series = table([60 + 2 * k for k in range(30)])
    windows = {"mode": "whole" if per_step else "sliding", "length": 150 if per_step else 50, "per_step": per_step}
    data = prepared(series, split={"validation": 5, "test": 5}, windows=windows, target_cap=70.0)
    given = {"data": {"target_cap": 70.0}, "model": {"quantiles": [0.1, 0.5, 0.9]}}  # the network's, not the trees'
    family, answer = reference(data, given)
    index = data.index["test"]
    rows = window_rows(index) if per_step else index.target
    assert answer.shape == (len(rows), 1)
    assert family == "hist_gradient_boosting"
    assert answer.max() <= 70.5
    if per_step:  # a window does not tell its place
        truth = np.minimum(series.targets[rows], 70.0)
        assert np.sqrt(np.mean((answer - truth) ** 2)) < 0.2 * truth.std()


def test_the_networks_precision_does_not_concern_the_baseline() -> None:
    from keras_seq.training.device import precision

    data = prepared(table([40] * 12), split={"validation": 3, "test": 3}, windows={"length": 40, "per_step": True})
    plain = reference(data)[1]
    with precision("bfloat16"):
        np.testing.assert_array_equal(reference(data)[1], plain)


def seasonal(rows: int = 700, *, walk: bool = False) -> Series:
    rng = np.random.default_rng(0)
    t = np.arange(rows)
    x = np.cumsum(rng.standard_normal(rows)) if walk else 10 * np.sin(2 * np.pi * t / 24) + rng.standard_normal(rows)
    schema = Schema(name="load", task="forecast", columns=(Column(name="load", missing=True),), targets=("load",))
    return build_series(schema, [x[:, None]], [x[:, None]])


@pytest.mark.parametrize("walk", [True, False])
def test_forecast_beats_or_equals_the_naive_one(walk: bool) -> None:
    series = seasonal(walk=walk)
    data = prepared(series, split={"by": "time"}, windows={"mode": "sliding", "length": 48, "horizon": 12})
    family, answer = reference(data)
    index = data.index["test"]
    assert answer.shape == (len(index), 12, 1)
    truth = series.targets[index.target[:, None] + np.arange(12)]
    naive = series.values[index.target - 1][:, None]
    error, naive_error = (float(np.sqrt(np.mean((a - truth) ** 2))) for a in (answer, naive))
    assert error < (1.05 if walk else 0.2) * naive_error, family


def test_noise_is_forecast_by_its_mean() -> None:
    noise = np.random.default_rng(0).standard_normal((600, 1)) + 5
    schema = Schema(name="noise", task="forecast", columns=(Column(name="load"),), targets=("load",))
    data = prepared(
        build_series(schema, [noise], [noise]), split={"by": "time"},
        windows={"mode": "sliding", "length": 20, "horizon": 2},
    )  # fmt: skip
    family, answer = reference(data)
    assert family == "mean"
    np.testing.assert_allclose(answer, data.spec.target_mean[0], rtol=1e-5)


def test_forecast_survives_gaps() -> None:
    series = seasonal()
    series.values[100:105] = np.nan
    series.targets[100:105] = np.nan
    data = prepared(series, split={"by": "time"}, windows={"mode": "sliding", "length": 48, "horizon": 3})
    assert np.isfinite(reference(data)[1]).all()


def test_multiclass_probabilities_add_up() -> None:
    rng = np.random.default_rng(0)
    label = np.arange(90) % 3
    units = [rng.standard_normal((20 + k % 7, 2)) + 2.0 * label[k] for k in range(90)]
    schema = Schema(
        name="levels", task="multiclass", columns=(Column(name="a"), Column(name="b")), targets=("kind",),
        target_per="unit", classes=("x", "y", "z"),
    )  # fmt: skip
    data = prepared(build_series(schema, units, label[:, None].astype(float)), windows={"length": 30})
    family, answer = reference(data)
    assert family == "extra_trees"
    assert answer.shape == (len(data.index["test"]), 3)
    np.testing.assert_allclose(answer.sum(1), 1.0, atol=1e-5)
    assert (answer.argmax(1) == data.series.targets[data.index["test"].unit, 0]).mean() > 0.9


def test_nothing_to_learn_leaves_no_baseline() -> None:
    series = table([40] * 12)
    series.targets[:] = 7.0
    data = prepared(series, split={"validation": 3, "test": 3}, windows={"length": 40, "per_step": True})
    said: list[str] = []
    assert score_baseline(config.from_dict({}), data, said.append) == {}
    assert "no baseline: Target 'y'" in said[0]


def test_features_import_no_tensorflow() -> None:
    code = (
        "import sys, keras_seq.baselines.trees; "
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_turbofan_baseline(data_home: object) -> None:
    from keras_seq.data.prepare import prepare

    given = config.load("configs/cmapss_fd001.yaml", {"data.home": str(data_home)})
    found = score_baseline(given, prepare(given.data))
    assert found["name"] == "hist_gradient_boosting"
    assert found["test"]["rmse"] < 11.6  # on single folds 11.55 in the mean, docs/baselines.md
