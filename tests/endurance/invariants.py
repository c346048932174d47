"""What must hold of a folder at any moment: whatever a reader can see is whole.

Names that begin with a dot are not seen by readers; of MLflow's artifacts only those of finished runs are.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

LEFTOVER = (".partial-", ".old-")


def broken(place: Path) -> list[str]:
    """Every file or folder below ``place`` that a reader can see and cannot use, with the reason."""
    found = []
    unfinished = _unfinished_runs(place)
    for path in visible(place):
        if any(part in unfinished for part in path.parts):
            continue
        try:
            _check(path)
        except Exception as error:  # any reader, any reason
            found.append(f"{path.relative_to(place)}: {type(error).__name__}: {str(error)[:200]}")
    return found


def litter(place: Path) -> list[str]:
    """What killed commands left and no later one removed, temporary folders included."""
    left = [path for path in place.rglob("*") if any(mark in path.name for mark in LEFTOVER)]
    left += [path for path in (place / "tmp").iterdir() if path.name.startswith(("keras", "tmp"))]
    return sorted(str(path.relative_to(place)) for path in left)


def visible(place: Path) -> Iterator[Path]:
    """All files and folders without a dot in front of any part of their name; not what is temporary."""
    for child in sorted(place.iterdir()):
        if child.name.startswith(".") or child == place / "tmp":
            continue
        yield child
        if child.is_dir() and not child.is_symlink():
            yield from visible(child)


def _check(path: Path) -> None:
    if path.is_dir():
        _check_folder(path)
        return
    check = _READERS.get(path.name) or _READERS.get(path.suffix)
    if check is not None:
        check(path)


def _check_folder(path: Path) -> None:
    from keras_seq.bundle import load_bundle
    from keras_seq.data.store.folder import INDEX, open_store
    from tuning.records import open_study

    if path.name == "bundle" and path.parent.name != "artifacts":
        load_bundle(path)
    elif (path.name.isdigit() and path.parent.parent.name == "served") or path.parent.name == "export":
        _check_version(path)
    elif (path / INDEX).exists() or path.parent.name == "stores":
        np.asarray(open_store(path).values)
    elif path.parent.name == "studies":
        if (path / "study.json").exists():
            open_study(path).records()
    elif path.name == "explanations":
        from keras_seq.explain import layout

        layout.read(path)


def _check_version(path: Path) -> None:
    """A version is whole: sealed ones by their manifest, all by being read as a server reads them."""
    from keras_seq.export.record import MANIFEST, check_seal
    from serving.models.policy import find_versions

    assert path in find_versions(path.parent).values()
    if (path / MANIFEST).exists():
        check_seal(path)
    elif (path / "keras_seq").exists():
        raise ValueError("a version without its manifest")
    else:
        import tensorflow as tf

        tf.saved_model.load(str(path))


def _unfinished_runs(place: Path) -> set[str]:
    """Ids of MLflow runs that are not over."""
    found: set[str] = set()
    for path in place.glob("*.db"):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as store:
            found |= {row[0] for row in store.execute("select run_uuid from runs where status != 'FINISHED'")}
    return found


def _json(path: Path) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def _json_lines(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        json.loads(line)


def _yaml(path: Path) -> None:
    import yaml

    if not all(yaml.safe_load_all(path.read_text(encoding="utf-8"))):
        raise ValueError("empty")


def _csv(path: Path) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        widths = {len(row) for row in csv.reader(file)}
    if len(widths) != 1:
        raise ValueError(f"rows of {sorted(widths)} cells")


def _npz(path: Path) -> None:
    with np.load(path, allow_pickle=False) as stored:
        for name in stored.files:
            stored[name]


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if bad := archive.testzip():
            raise ValueError(f"member '{bad}' is damaged")


def _h5(path: Path) -> None:
    import h5py

    with h5py.File(path) as file:
        file.visititems(lambda name, item: item[()] if hasattr(item, "dtype") else None)


def _picture(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as image:
        image.load()


def _onnx(path: Path) -> None:
    import onnxruntime

    onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _html(path: Path) -> None:
    if not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
        raise ValueError("ends before </html>")


def _sqlite(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as store:
        said = store.execute("pragma integrity_check").fetchone()[0]
    if said != "ok":
        raise ValueError(said)


def _server_config(path: Path) -> None:
    from tensorflow_serving.config import model_server_config_pb2

    from serving.models.prototext import parse_text

    if not parse_text(path.read_text(), model_server_config_pb2.ModelServerConfig()).model_config_list.config:
        raise ValueError("names no model")


_READERS = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".yaml": _yaml,
    ".csv": _csv,
    ".npz": _npz,
    ".keras": _zip,
    ".h5": _h5,
    ".png": _picture,
    ".onnx": _onnx,
    ".html": _html,
    ".db": _sqlite,
    "models.config": _server_config,
}
