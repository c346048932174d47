"""Cases of the contract suite: one tiny model per family and task, built once a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec, Scaling
from tests.factories.families import sequence_families
from tests.factories.tiers import tiers

FEATURES, TIME, HORIZON = 3, 12, 4
LENGTHS = np.array([12, 7, 1, 0, 3], np.int32)
CENTER, SCALE = (10.0, -5.0, 300.0), (2.0, 0.5, 40.0)
TASKS = ("regression", "per_step", "binary", "multiclass", "forecast", "quantiles", "forecast_quantiles")
FORECASTS = ("forecast", "forecast_quantiles")
OUTPUTS = {
    "regression": ("prediction", (1,)),
    "per_step": ("prediction", (TIME, 1)),
    "binary": ("probability", (1,)),
    "multiclass": ("probabilities", (3,)),
    "forecast": ("prediction", (HORIZON, 2)),
    "quantiles": ("quantiles", (3,)),
    "forecast_quantiles": ("quantiles", (HORIZON, 2, 3)),
}


def make_spec(task: str, **changes: Any) -> DataSpec:
    kind = {"per_step": "regression", "quantiles": "regression", "forecast_quantiles": "forecast"}.get(task, task)
    forecast = kind == "forecast"
    numbers = {"mean": (-5.0, 300.0), "std": (0.5, 40.0)} if forecast else {"mean": (80.0,), "std": (20.0,)}
    settings: dict[str, Any] = {
        "task": kind,
        "features": ("speed", "level", "heat"),
        "targets": ("level", "heat") if forecast else ("y",),
        "time": TIME,
        "variable_length": True,
        "per_step": task == "per_step",
        "horizon": HORIZON if forecast else 0,
        "classes": ("a", "b", "c") if kind == "multiclass" else (),
        "target_mean": numbers["mean"] if kind in ("regression", "forecast") else (),
        "target_std": numbers["std"] if kind in ("regression", "forecast") else (),
        "target_index": (1, 2) if forecast else (),
        "impute": "forward",
        "scaling": Scaling(center=(CENTER,), scale=(SCALE,), fill=CENTER),
    }
    return DataSpec(**{**settings, **changes})


def make_config(family: str, task: str, **changes: Any) -> ModelConfig:
    settings: dict[str, Any] = {
        "family": family,
        "units": 8,
        "filters": 8,
        "ff_dim": 16,
        "layers": 2,
        "hidden_dims": (6,),
        "kernel_size": 3,
        "history": {"ewm": (0.9,), "baseline": 4, "elapsed": 10.0},
    }
    if "quantiles" in task:
        settings["quantiles"] = (0.1, 0.5, 0.9)
    if task == "per_step":
        settings["pool_size"] = 1
    return ModelConfig(**{**settings, **changes})


def shake(model: Any, seed: int = 0) -> Any:
    """Random weights and non-zero biases: zero ones hide wrong handling of padding and direction."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "variance" not in weight.path and "seed" not in weight.path:
            weight.assign(np.asarray(weight) + rng.normal(size=weight.shape, scale=0.2))
    return model


def raw_values(batch: int = len(LENGTHS), time: int = TIME, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(batch, time, FEATURES)) * SCALE + CENTER).astype(np.float32)


@dataclass
class Case:
    """A built model with inputs and its answers."""

    family: str
    task: str
    model: Any
    spec: DataSpec

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        return {"values": raw_values(), "lengths": LENGTHS}

    @cached_property
    def answers(self) -> np.ndarray:
        return self.predict(self.inputs)

    def predict(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(self.model(inputs, training=False))

    @property
    def tolerance(self) -> float:
        """1e-5 of the targets' scale."""
        return 1e-5 * max(self.spec.target_std or (1.0,))

    def same(self, answers: np.ndarray, rows: slice | list[int] = slice(None)) -> None:
        """Answers agree with the case's own; per step at real steps only."""
        expected, lengths = self.answers[rows], LENGTHS[rows]
        if self.task == "per_step":
            for one, other, length in zip(expected, answers, lengths, strict=True):
                np.testing.assert_allclose(other[:length], one[:length], rtol=0, atol=self.tolerance)
        else:
            np.testing.assert_allclose(answers, expected, rtol=0, atol=self.tolerance)


class FittedCase(Case):
    """A fitted model, asked about the first steps of the units that it was fitted to."""

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        return {"values": np.stack([unit[:TIME] for unit in self.units]), "lengths": LENGTHS}

    units: tuple[np.ndarray, ...] = ()


def fitted_case(family: str, task: str) -> Case:
    from tests.factories.fitted import fitted

    model, _, prepared = fitted(task, family)
    case = FittedCase(family, task, model, prepared.spec)
    case.units = tuple(prepared.series.unit_values(unit) for unit in range(len(LENGTHS)))
    return case


@pytest.fixture(scope="session")
def build() -> Callable[..., Case]:
    """``build(family, task, spec={...}, **model settings)``; skips what a family refuses and says why."""
    from keras_seq.errors import ConfigError
    from keras_seq.models import build_model

    cache: dict[str, Case] = {}

    def make(family: str, task: str = "regression", *, spec: dict[str, Any] | None = None, **settings: Any) -> Case:
        key = repr((family, task, spec, settings))
        if key not in cache:
            data, config = make_spec(task, **(spec or {})), make_config(family, task, **settings)
            try:
                cache[key] = Case(family, task, shake(build_model(config, data)), data)
            except ConfigError as refusal:
                if task == "per_step":
                    pytest.skip(str(refusal))
                raise
        return cache[key]

    return make


@pytest.fixture(scope="session")
def tools() -> Any:
    """The helpers above, for tests that build their own."""
    from types import SimpleNamespace

    return SimpleNamespace(
        make_spec=make_spec, make_config=make_config, shake=shake, raw_values=raw_values, LENGTHS=LENGTHS,
        OUTPUTS=OUTPUTS, CENTER=CENTER, SCALE=SCALE, TIME=TIME,
    )  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every registered family (``family``) and task (``task``); of both, quick tests hold one of each."""
    from keras_seq.models.registry import forecasters

    families = sequence_families()
    open_names = {n for n in ("family", "task") if n in metafunc.fixturenames and not _given(metafunc, n)}
    if open_names == {"family", "task"}:
        grid = [(family, task) for family in families for task in TASKS]
        grid += [(family, task) for family in sorted(forecasters()) for task in FORECASTS]
        quick = [("lstm", task) for task in TASKS] + [(family, "regression") for family in families[1:]]
        quick += [(family, "forecast") for family in sorted(forecasters())]
        nightly = {"resnet", *forecasters()}  # of what inception_time and nlinear are made, too
        slow = [case for case in grid if case not in quick and case[0] not in nightly]
        metafunc.parametrize(("family", "task"), tiers(grid, quick=quick, slow=slow))
    elif open_names:
        (name,) = open_names
        metafunc.parametrize(name, families if name == "family" else TASKS)


def _given(metafunc: pytest.Metafunc, argument: str) -> bool:
    marks = metafunc.definition.iter_markers("parametrize")
    names = (mark.args[0] for mark in marks)
    return any(argument in (name.replace(" ", "").split(",") if isinstance(name, str) else name) for name in names)
