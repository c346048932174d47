"""Small series for the data tests: values that tell their own row, so every mistake shows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.data.series import Column, Schema, Series, build_series


def make_series(
    lengths: Sequence[int],
    *,
    task: str = "regression",
    per: str = "step",
    features: int = 2,
    labels: Sequence[int] | None = None,
    classes: Sequence[str] = (),
    groups: Sequence[str] | None = None,
    official: Sequence[str] | None = None,
) -> Series:
    """Feature 0 is the absolute row number plus one, feature 1 the unit number, the rest noise.

    Targets per step are the absolute row number; per unit the label, or the unit number.
    """
    rng = np.random.default_rng(0)
    names = [f"f{i}" for i in range(features)]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    units = []
    for unit, length in enumerate(lengths):
        rows = rng.normal(size=(length, features)).astype(np.float32)
        rows[:, 0] = offsets[unit] + np.arange(length) + 1
        rows[:, 1] = unit
        units.append(rows)
    schema = Schema(
        name="made",
        task=task,  # type: ignore[arg-type]
        columns=tuple(Column(name=name) for name in names),
        targets=("f0",) if task == "forecast" else ("y",),
        target_per=per,  # type: ignore[arg-type]
        classes=tuple(classes),
    )
    if per == "unit":
        targets = np.array(labels if labels is not None else range(len(lengths)), np.float32)[:, None]
        return build_series(schema, units, targets, groups=groups, official=official)
    steps = [np.arange(a, b, dtype=np.float32)[:, None] for a, b in itertools.pairwise(offsets)]
    return build_series(schema, units, steps, groups=groups, official=official)


def data_config(**sections: object) -> DataConfig:
    """A data section from nested plain values."""
    return DataConfig.model_validate(sections)
