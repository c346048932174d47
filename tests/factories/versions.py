"""Judged bundles in seconds: as make_bundles leaves them, with real metrics and decisions of validation."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

from keras_seq import config
from tests.factories.experiments import caster_tree, co2_tree, placed
from tests.factories.shared import shared

CASTS = caster_tree(sequences=80, longest=110) | {
    "name": "casts",
    "model": {"family": "lstm", "units": 4, "layers": 1, "hidden_dims": [], "history": {"ewm": [0.9]}},
}
CO2 = co2_tree()


def judged(kind: str = "casts") -> Any:
    """An untrained, judged bundle: ``casts`` (binary, sequences) or ``co2`` (forecast, windows)."""
    return _judged(kind)


@functools.cache
def _judged(kind: str) -> Any:
    from keras_seq.bundle import load_bundle

    tree = {"casts": CASTS, "co2": CO2}[kind]
    return load_bundle(
        shared(f"judged-{kind}", tree, lambda folder: make_judged(placed(tree, folder, recorded=True)).folder)
    )


def make_judged(given: config.Experiment) -> Any:
    """Build, judge on validation and test as training does, and save; the loaded bundle."""
    import keras

    from keras_seq.bundle import load_bundle, save_bundle
    from keras_seq.data.prepare import prepare
    from keras_seq.models.build import build_model
    from keras_seq.models.registry import resolve_experiment
    from keras_seq.pipeline.context import run_folder
    from keras_seq.pipeline.scores import score_model

    given = resolve_experiment(given)
    prepared = prepare(given.data)
    keras.utils.set_random_seed(given.seed)
    model = build_model(given.model, prepared.spec)
    judgement = score_model(given, prepared, model)
    save_bundle(
        run_folder(given) / "bundle",
        model=model,
        experiment=given,
        schema=prepared.series.schema,
        spec=prepared.spec,
        decision=judgement.decision,
        metrics={**judgement.metrics, "performance": {"training_minutes": 0.1}},
        data={"fingerprint": prepared.series.fingerprint(), "split": prepared.splits.fingerprint},
    )
    return load_bundle(run_folder(given) / "bundle")


def version(kind: str = "casts") -> Any:
    """The bundle exported; the canary loads it in this process, which saves the seconds of another one."""
    return _version(kind)


@functools.cache
def _version(kind: str) -> Any:
    bundle = judged(kind)

    def make(_: Path) -> Any:
        from keras_seq.export.canary import answers_of
        from keras_seq.export.samples import sample_windows
        from keras_seq.export.version import Wanted, export_version

        base = bundle.folder.parent / "export"
        shutil.rmtree(base, ignore_errors=True)
        windows = sample_windows(bundle, part="test", count=8)
        wanted = Wanted(canaries={"this process": answers_of})
        return export_version(bundle, base, ("saved_model", "onnx"), windows=windows, wanted=wanted)

    return shared(f"version-{kind}", str(bundle.folder), make)
