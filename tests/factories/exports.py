"""A real bundle of the weekly CO2 series and its exported files, made once a test run."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = tempfile.TemporaryDirectory(prefix="keras-seq-tests-")
HERE = Path(FOLDER.name)


@functools.cache
def co2_bundle() -> Any:
    """An untrained LSTM of real CO2 windows: 20 steps, 2 ahead, with intervals."""
    from keras_seq.bundle import load_bundle
    from tests.factories.bundles import CO2, experiment, make_bundle

    bundle = load_bundle(make_bundle(experiment(CO2, HERE / "runs")))
    interval = {"method": "conformal", "width": [[1.0], [2.0]], "bounds": [0.0, None]}
    bundle.decision["interval"] = interval
    return bundle


@functools.cache
def co2_windows() -> dict[str, np.ndarray]:
    """Real training windows of the bundle."""
    from keras_seq.export.samples import sample_windows

    return sample_windows(co2_bundle(), count=16)


@functools.cache
def exported(name: str) -> Path:
    """The bundle's file of a format."""
    from keras_seq.export.formats import write_formats

    written, failed = write_formats(co2_bundle(), HERE / "files", [name], samples=co2_windows())
    assert not failed, failed
    return written[name]
