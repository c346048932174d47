"""Real bundles in a second: networks as they are before training, judged and saved like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_seq import config
from keras_seq.bundle import save_bundle
from tests.factories.experiments import caster_tree, co2_tree, placed

CASTER, CO2 = caster_tree(), co2_tree()


def experiment(tree: dict[str, Any], folder: Path, **changes: Any) -> config.Experiment:
    """A small experiment whose runs lie in ``folder`` itself."""
    return placed(tree, folder, runs="", **changes)


def make_bundle(given: config.Experiment) -> Path:
    """Build, do not train, and save; the run folder."""
    import keras

    from keras_seq.data.prepare import prepare
    from keras_seq.models.build import build_model
    from keras_seq.models.registry import resolve_experiment
    from keras_seq.pipeline.context import run_folder

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
