"""A real bundle of the weekly CO2 series and its exported files, made once (``shared.py``)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from tests.factories.bundles import CO2, experiment, make_bundle
from tests.factories.shared import shared


@functools.cache
def co2_bundle() -> Any:
    """An untrained LSTM of real CO2 windows: 20 steps, 2 ahead, with intervals."""
    from keras_seq.bundle import load_bundle

    bundle = load_bundle(shared("co2", CO2, lambda folder: make_bundle(experiment(CO2, folder))))
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

    def make(folder: Path) -> Path:
        from keras_seq.export.formats import write_formats

        written, failed = write_formats(co2_bundle(), folder, [name], samples=co2_windows())
        assert not failed, failed
        return written[name]

    return shared(f"co2-{name}", CO2, make)
