"""Wafer, multivariate (Olszewski 2001): abnormal wafers from in-line etch sensors, ``.mat`` file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.data.sources.registry import SourceInfo, register
from keras_seq.errors import DataError

SENSORS = 6
ABNORMAL, NORMAL = 1, 2  # labels in the file


WAFER = SourceInfo(
    "wafer",
    "semiconductor etch, 6 sensors: abnormal wafers",
    "binary",
    "wafer_mts",
    ("Wafer.mat",),
    licence="Olszewski 2001 (CMU-CS-01-108); no explicit licence, do not redistribute",
    rank=4,
)


@register(WAFER)
def load_wafer(config: DataConfig) -> Series:
    """298 training and 896 test wafers of 104-198 steps; target 1: abnormal.

    Length alone tells much of the label (AUC 0.86 on test): padding must not be visible to a model
    whose result is to rest on the signals.

    Raises:
        DataError: the file is missing or is not the Wafer file.
    """
    (path,) = WAFER.paths(config)
    parts = _read(path)
    units = [unit for part in ("train", "test") for unit in parts[part][0]]
    labels = np.concatenate([parts[part][1] for part in ("train", "test")])
    official = [part for part in ("train", "test") for _ in parts[part][0]]
    ids = [f"{part}-{i + 1}" for part in ("train", "test") for i in range(len(parts[part][0]))]
    schema = Schema(
        name="wafer",
        task="binary",
        columns=tuple(Column(name=f"sensor_{i + 1}") for i in range(SENSORS)),
        targets=("abnormal",),
        target_per="unit",
        classes=("normal", "abnormal"),
    )
    return build_series(
        schema,
        units,
        (labels == ABNORMAL).astype(np.float32)[:, None],
        unit_ids=ids,
        official=official,
        info=WAFER.origin | {"length_alone_auc": 0.86},
    )


def _read(path: Path) -> dict[str, tuple[list[np.ndarray], np.ndarray]]:
    """For "train" and "test": units ``(time, sensors)`` and labels ``(units,)``."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        root: Any = loadmat(path)["mts"][0, 0]
        cells = {part: (root[part].ravel(), root[f"{part}labels"].ravel()) for part in ("train", "test")}
    except (MatReadError, ValueError, KeyError, IndexError, TypeError, NotImplementedError, OSError) as error:
        raise DataError(
            f"File '{path}' is not the Wafer .mat file: expected a struct 'mts' with train, trainlabels, test and "
            f"testlabels ({type(error).__name__}: {error}). Copy it again."
        ) from None
    result = {}
    for part, (units, labels) in cells.items():
        if len(units) != len(labels):
            raise DataError(f"File '{path}' has {len(units)} {part} wafers but {len(labels)} {part}labels.")
        for i, unit in enumerate(units):
            if unit.ndim != 2 or unit.shape[0] != SENSORS:
                raise DataError(
                    f"Wafer {part}-{i + 1} of '{path}' must be ({SENSORS} sensors, time), got shape {unit.shape}."
                )
            if labels[i] not in (ABNORMAL, NORMAL):
                raise DataError(f"Wafer {part}-{i + 1} of '{path}' has label {labels[i]}, expected 1 or 2.")
        result[part] = ([np.asarray(unit, np.float32).T for unit in units], np.asarray(labels, np.int64))
    return result
