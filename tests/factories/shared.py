"""Trained, exported and converted material made once: by one of the workers, and again only when the code changed.

It lies in ``.pytest_cache/keras_seq/<sources>/<name>-<settings>``. Tests read it; one that changes it takes a copy.
"""

from __future__ import annotations

import functools
import hashlib
import json
import pickle
import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from keras_seq import files

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
HOME = ROOT / ".pytest_cache" / "keras_seq"
LIBRARIES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "numpy", "scikit-learn")
DAY = 24 * 3600.0


def shared(name: str, settings: Any, make: Callable[[Path], T]) -> T:
    """What ``make`` gave back for an empty folder of its own; called once for each settings and state of the sources.

    Args:
        name: first part of the folder's name.
        settings: as JSON knows them; others are made apart.
        make: fills the folder, which keeps its path, and returns what can be pickled.
    """
    key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = _place() / f"{name}-{key}"
    with files.locked(folder.with_suffix(".lock")):
        made = folder.with_suffix(".made")
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            result = make(folder)
            with files.new_file(made) as path:
                path.write_bytes(pickle.dumps(result))
        return pickle.loads(made.read_bytes())


@functools.cache
def _place() -> Path:
    """The folder of these sources; those of others go a day after they were last used."""
    place = HOME / _sources()
    place.mkdir(parents=True, exist_ok=True)
    place.touch()
    for other in HOME.iterdir():
        if other != place and time.time() - other.stat().st_mtime > DAY:
            shutil.rmtree(other, ignore_errors=True)
    return place


def _sources() -> str:
    """Digest of the package, the factories and the libraries' versions."""
    digest = hashlib.sha256(repr([version(library) for library in LIBRARIES]).encode())
    for package in ("keras_seq", "tests/factories"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)} {files.sha256(path)}\n".encode())
    return digest.hexdigest()[:16]
