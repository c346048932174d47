"""Small bundles with known answers, as the present release leaves them: later releases must read them and answer alike.

    scripts/golden                       # writes those that are not there to tests/golden/bundles/<version>/
    scripts/golden --replace lstm        # anew, where the release itself was wrong

Each is trained for an epoch on real data (C-MAPSS FD001 of the data home, the weekly CO2 series) with a fixed seed.
Beside the bundle lies ``case.json``: raw inputs and the final answers of the day it was written, on the CPU. A release
adds its own folder once; the folders of earlier releases are never written again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parents[1] / "tests" / "golden" / "bundles"
WINDOWS = 3
ENGINES: dict[str, Any] = {
    "data": {
        "source": "cmapss",
        "subset": "FD001",
        "target_cap": 125.0,
        "features": ["T24", "T50", "P30", "Ps30"],
        "split": {"by": "official", "validation": 0.1},
        "windows": {"mode": "sliding", "length": 30, "stride": 25, "pad_short": True},
    },
    "model": {"family": "lstm", "units": 4, "layers": 1, "hidden_dims": [], "history": {"ewm": [0.9]}},
}
CO2: dict[str, Any] = {
    "data": {
        "source": "co2",
        "split": {"by": "time", "validation": 104, "test": 104},
        "windows": {"mode": "sliding", "length": 20, "horizon": 2},
    },
    "model": {"family": "lstm", "units": 4, "layers": 1, "hidden_dims": [], "quantiles": [0.1, 0.5, 0.9]},
}
TREES = {"family": "hist_gradient_boosting", "trees": {"iterations": 8, "leaves": 6}}
STUDIES: dict[str, Any] = {"lstm": ENGINES, "trees": ENGINES | {"model": TREES}, "quantiles": CO2}
NAMES = (*STUDIES, "ensemble")
COMMON = {
    "training": {"epochs": 1, "jit": False, "deterministic": True, "device": "cpu"},
    "evaluation": {"baseline": False},
    "tracking": {"backend": "none"},
    "export": {"saved_model": False},
}


def make(name: str, scratch: Path) -> Path:
    """Train one of ``NAMES``; its run folder."""
    from keras_seq import config
    from keras_seq.pipeline.ensemble import ensemble
    from keras_seq.pipeline.train import train

    if name == "ensemble":
        members = [make("lstm", scratch), make("trees", scratch)]
        own = {"export.saved_model": False, "tracking.backend": "none"}
        return ensemble(members, method="mean", output=scratch / name, overrides=own, quiet=True).folder
    tree = {**STUDIES[name], **COMMON, "name": name, "output": str(scratch)}
    return train(config.from_dict(tree), quiet=True).folder


def write(name: str, target: Path, scratch: Path) -> None:
    """Keep the bundle without its pictures, and what it answers to real windows of its test part."""
    from keras_seq import files
    from keras_seq.bundle import load_bundle, write_manifest
    from keras_seq.export.metadata import source_of
    from keras_seq.export.samples import sample_windows
    from tests.golden.answers import answers

    run = make(name, scratch)
    with files.new_folder(target, replace=True) as partial:
        shutil.copytree(run / "bundle", partial / "bundle", ignore=shutil.ignore_patterns("plots"))
        for file in ("config.yaml", "data.json"):  # they name the folder that goes
            path = partial / "bundle" / file
            path.write_text(path.read_text(encoding="utf-8").replace(str(scratch), "runs"), encoding="utf-8")
        write_manifest(partial / "bundle")
        bundle = load_bundle(partial / "bundle")
        windows = sample_windows(bundle, part="test", count=WINDOWS)
        given = {key: np.asarray(value) for key, value in windows.items()}
        files.write_json(partial / "case.json", {"inputs": given, "answers": answers(source_of(bundle), given)})


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    from keras_seq import __version__

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help=f"of {', '.join(NAMES)} (all)")
    parser.add_argument("--replace", action="store_true", help="write those that are there anew")
    options = parser.parse_args(argv)
    for name in options.names or NAMES:
        target = HERE / __version__ / name
        if target.exists() and not options.replace:
            print(f"{target}: there already")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            write(name, target, Path(scratch))
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        print(f"{target}: {size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
