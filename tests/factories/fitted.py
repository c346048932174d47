"""Small made-up data for each task, and families that are fitted to them at once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from keras_seq import config
from keras_seq.data.prepare import Prepared, prepare_series
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.models.registry import get_family, resolve_experiment

TREES = ("random_forest", "extra_trees", "last_row_forest", "hist_gradient_boosting")
FAMILIES = (*TREES, "lightgbm", "ridge", "minirocket")
WINDOWS = ("minirocket",)  # families of one answer a window
SMALL = {"iterations": 15, "learning_rate": 0.2}


def walks(lengths: list[int], task: str, *, per: str = "step", seed: int = 0, gaps: bool = False) -> Series:
    """Three channels; the target follows from level, change and age."""
    rng = np.random.default_rng(seed)
    kinds = 3 if task == "multiclass" else 2
    label = np.arange(len(lengths)) % kinds
    shift = 3 if per == "unit" else 1
    units = [np.cumsum(rng.normal(size=(n, 3)), 0) * 0.1 + 50 + shift * label[k] for k, n in enumerate(lengths)]
    targets: Any = [20 * u[:, :1] + 60 * (u[:, 1:2] - np.roll(u[:, 1:2], 3, 0)) for u in units]
    if lengths[0] < lengths[-1]:
        targets = [20 * u[:, :1] + np.arange(len(u))[:, None] for u in units]
    if per == "unit":
        targets = label[:, None].astype(float)
    elif task == "forecast":
        units = [u + 5 * np.sin(2 * np.pi * np.arange(len(u)) / 12)[:, None] for u in units]
        targets = [u[:, :2].copy() for u in units]
    elif task != "regression":
        targets = [np.digitize(u[:, :1], np.quantile(u[:, 0], [0.33, 0.67][: kinds - 1])) for u in units]
    if gaps:
        for unit in units:
            unit[rng.random(unit.shape) < 0.1] = np.nan
    schema = Schema(
        name="walks",
        task=task,  # type: ignore[arg-type]
        columns=tuple(Column(name=name, missing=True) for name in ("x0", "x1", "x2")),
        targets=("x0", "x1") if task == "forecast" else ("y",),
        target_per=per,  # type: ignore[arg-type]
        classes=("a", "b", "c")[:kinds] if task in ("binary", "multiclass") else (),
    )
    return build_series(schema, units, targets)


def experiment(data: dict[str, Any] | None = None, model: dict[str, Any] | None = None) -> config.Experiment:
    sections = {"source": "table", "bucket": 10, "split": {"validation": 4, "test": 4}, **(data or {})}
    settings = {"family": "hist_gradient_boosting", "trees": SMALL, "rocket": {"features": 840}, **(model or {})}
    return resolve_experiment(config.from_dict({"data": sections, "model": settings}))


WHOLE = {"windows": {"length": 60}, "split": {"by": "stratified"}}
CASES: dict[str, tuple[dict[str, Any], Series]] = {
    "per_step": ({"windows": {"length": 70, "per_step": True}}, walks([40 + k for k in range(24)], "regression")),
    "sliding": (
        {"windows": {"mode": "sliding", "length": 12}, "impute": "forward"},
        walks([40] * 20, "regression", gaps=True),
    ),
    "binary": (WHOLE, walks([20 + k % 30 for k in range(60)], "binary", per="unit")),
    "multiclass": (WHOLE, walks([20 + k % 30 for k in range(90)], "multiclass", per="unit")),
    "forecast": (
        {"windows": {"mode": "sliding", "length": 24, "horizon": 6}, "split": {"by": "time"}},
        walks([500], "forecast"),
    ),
}


def cases_of(family: str) -> tuple[str, ...]:
    """Cases that a family serves."""
    return tuple(case for case in CASES if family not in WINDOWS or case not in ("per_step", "forecast"))


SHAPES = {"per_step": (None, 1), "sliding": (1,), "binary": (1,), "multiclass": (3,), "forecast": (6, 2)}


def fitted(case: str, family: str, **model: Any) -> tuple[keras.Model, config.Experiment, Prepared]:
    if family == "lightgbm":
        pytest.importorskip("lightgbm", reason="the optional extra 'trees' is not installed")
    data, series = CASES[case]
    found = experiment(data, {"family": family, **model})
    prepared = prepare_series(series, found.data)
    said: list[str] = []
    built = get_family(family).fit(found, prepared, said.append)  # type: ignore[misc]
    assert len(said) == 2
    return built, found, prepared
