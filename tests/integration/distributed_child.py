"""What the processes of test_distribute.py run: small trainings, alone, on two logical devices, or as workers.

python distributed_child.py FOLDER HOW        HOW: alone (then mirrored, in the same process) or workers
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[2]))
from keras_seq.data.prepare import prepare_series
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.models.build import build_model
from keras_seq.training import distribute
from keras_seq.training.device import session
from keras_seq.training.fit import fit
from tests.integration.test_fit import experiment, make_series

COMMON = {"training__batch_size": 15, "training__epochs": 2, "training__jit": False, "training__warmup": 0.5}
PER_STEP = ("tcn_steps", "augmented")
STEPS = {"data__windows__mode": "whole", "data__windows__per_step": True, "data__windows__length": 12}
WARPED = {"data__augment__time_warp": 0.1, "data__augment__window_slice": 0.2}
CASES: dict[str, dict[str, Any]] = {
    "lstm": {"model__family": "lstm"},
    "lstm_xla": {"model__family": "lstm", "training__jit": True, "training__epochs": 2000, "training__patience": 2},
    "classes": {"model__family": "lstm", "training__class_weight": "balanced", "training__schedule": "plateau"},
    "tcn_steps": {"model__family": "tcn", "model__filters": 6, **STEPS},
    "augmented": {"model__family": "tcn", "model__filters": 6, "data__augment__jitter": 0.1, **WARPED, **STEPS},
    "random": {"model__family": "lstm", "model__dropout": 0.3, "model__normalisation": "batch"},
}


def steps_series() -> Series:
    """Units of very different length with a target at every step: parts of a batch weigh differently."""
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(rng.integers(2, 13), 2)) for _ in range(120)]
    targets = [np.cumsum(block[:, :1], axis=0) for block in values]
    schema = Schema(
        name="steps",
        task="regression",
        columns=(Column(name="a"), Column(name="b")),
        targets=("y",),
        target_per="step",
    )
    return build_series(schema, values, targets)


def one(name: str, folder: Path, **changes: Any) -> dict[str, np.ndarray]:
    """Train a case; final weights and what the history says."""
    chosen = experiment(**{**COMMON, **CASES[name], **changes})
    task = "binary" if name == "classes" else "regression"
    prepared = prepare_series(steps_series() if name in PER_STEP else make_series(task), chosen.data)
    if name == "lstm" or name in PER_STEP:
        prepared.series.targets[:: 3 if name in PER_STEP else 7] = np.nan
    with session(chosen.training, seed=chosen.seed):
        model = build_model(chosen.model, prepared.spec)
        result = fit(chosen, model, prepared, folder / name, quiet=True)
    history = np.array([result.history["loss"], result.history["val_loss"]])
    return {"history": history, **{f"w{i}": weight for i, weight in enumerate(model.get_weights())}}


def main(folder: Path, how: str) -> None:
    names = sys.argv[3].split(",") if len(sys.argv) > 3 else list(CASES)
    if how == "alone":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        for name in names:
            np.savez(folder / f"{name}-alone.npz", **one(name, folder / "alone"))
            found = one(name, folder / "mirrored", training__strategy="mirrored")
            np.savez(folder / f"{name}-mirrored.npz", **found)
        return
    with distribute.connect(experiment().training) as group:
        for name in names:
            found = one(name, folder / f"workers-{group.rank}")
            np.savez(folder / f"{name}-worker-{group.rank}.npz", **found)
        group.barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
