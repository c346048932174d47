"""Real bundles in a second: networks as they are before training, judged and saved like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_seq import config
from keras_seq.export.bundle import save_bundle

CASTER = {
    "name": "caster",
    "data": {
        "source": "caster",
        "caster": {"sequences": 160, "heats": 40, "min_length": 100, "max_length": 120},
        "split": {"by": "group", "validation": 0.25, "test": 0.4},
        "windows": {"length": 120},
        "bucket": 120,
    },
    "model": {"family": "cnn_lstm", "filters": 4, "units": 4, "layers": 1, "conv_layers": 1, "hidden_dims": []},
}
CO2 = {
    "name": "co2",
    "data": {
        "source": "co2",
        "split": {"by": "time", "validation": 52, "test": 104},
        "windows": {"mode": "sliding", "length": 20, "horizon": 2},
    },
    "model": {"family": "lstm", "units": 4, "layers": 1, "hidden_dims": []},
}


def experiment(tree: dict[str, Any], folder: Path, **changes: Any) -> config.Experiment:
    """A small experiment that writes below ``folder`` and records nothing."""
    places = {"output": str(folder), "export": {"saved_model": False}, "tracking": {"backend": "none"}}
    return config.replace(config.from_dict(tree | places), **changes)


def make_bundle(given: config.Experiment) -> Path:
    """Build, do not train, and save; the run folder."""
    import keras

    from keras_seq.data.prepare import prepare
    from keras_seq.models.registry import build_model, resolve_experiment
    from keras_seq.train import run_folder

    given = resolve_experiment(given)
    prepared = prepare(given.data)
    keras.utils.set_random_seed(given.seed)
    save_bundle(
        run_folder(given) / "bundle",
        model=build_model(given.model, prepared.spec),
        experiment=given,
        schema=prepared.series.schema,
        spec=prepared.spec,
        decision={"threshold": 0.5} if prepared.spec.task == "binary" else {},
        metrics={"performance": {"training_minutes": 0.5}},
        data={
            "fingerprint": prepared.series.fingerprint(),
            "split": prepared.splits.fingerprint,
            "statistics": prepared.statistics(),
        },
    )
    return run_folder(given)
