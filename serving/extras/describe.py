"""Descriptions of models and versions: states, signatures, what ``keras_seq.export`` wrote beside the graph."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from keras_seq import files
from serving.contract.signatures import Signature, TensorInfo
from serving.contract.status import Refused
from serving.extras.http import ExtrasHost
from serving.models.servable import Servable

METADATA, REFERENCE = "keras_seq/metadata.json", "keras_seq/reference.json"
SHOWN = ("task", "targets", "target_unit", "classes", "time", "variable_length", "horizon", "threshold", "exported")


def metadata(app: ExtrasHost, model: str, version: int) -> dict[str, Any] | None:
    """The ``metadata.json`` of a version; None where it has none."""
    folder = app.folder(model, version)
    if folder is None:
        return None
    path = folder / METADATA
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError:
        return None


def seen(app: ExtrasHost, model: str, version: int) -> dict[str, dict[str, float]]:
    """Mean, minimum and maximum of each feature in what a version was trained on; empty where it does not say."""
    folder = app.folder(model, version)
    if folder is None:
        return {}
    path = folder / REFERENCE
    try:
        return _read_seen(path, path.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=64)
def _read_seen(path: Path, changed: int) -> dict[str, dict[str, float]]:
    try:
        reference = files.read_json(path)
        columns = {column["name"]: column for column in reference["columns"]}
        rows = {name: columns.get(name) or columns.get(f"{name} mean") for name in reference["features"]}
        return {
            name: {key: float(row[key]) for key in ("mean", "minimum", "maximum")}
            for name, row in rows.items()
            if row and row["count"]
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> dict[str, Any] | None:
    try:
        description = files.read_json(path)
    except ValueError:
        return None
    return description if isinstance(description, dict) and isinstance(description.get("features"), list) else None


def states(app: ExtrasHost, model: str) -> list[dict[str, Any]]:
    """State of each version, the highest first; empty where there is none yet."""
    try:
        rows = app.models.states(model)
    except Refused:
        return []
    return [
        {
            "version": row.version,
            "state": row.state,
            "error_code": row.error_code,
            "error_message": row.error_message,
        }
        for row in rows
    ]


def overview(app: ExtrasHost) -> list[dict[str, Any]]:
    """All models with their versions, and the features of the version that answers most calls that name none.

    ``share`` of a version is that of these calls: all go to the latest, unless a rollout deals them.
    """
    models = []
    for name in sorted(app.models.names()):
        shares = answering(app, name)
        versions = [{**row, "share": shares.get(row["version"], 0.0)} for row in states(app, name)]
        serving = max(shares, key=lambda version: (shares[version], version), default=None)
        description = metadata(app, name, serving) if serving is not None else None
        about = {key: description.get(key) for key in SHOWN} if description else {}
        known = seen(app, name, serving) if serving is not None and description else {}
        features = (
            [{**column, "seen": known.get(column["name"])} for column in description["features"]] if description else []
        )
        models.append({"name": name, "serving": serving, "versions": versions, "features": features, **about})
    return models


def answering(app: ExtrasHost, model: str) -> dict[int, float]:
    """Shares of the calls that name no version, by version; empty where none is available."""
    available = [row["version"] for row in states(app, model) if row["state"] == "AVAILABLE"]
    if not available:
        return {}
    shares = {version: share for version, share in app.shares(model).items() if version in available}
    rest = 1.0 - sum(shares.values())
    if rest > 1e-9:
        shares[max(available)] = shares.get(max(available), 0.0) + rest
    return shares


def is_ready(app: ExtrasHost) -> tuple[bool, dict[str, bool]]:
    """Whether every model has a version that answers, and which do."""
    by_name = {name: any(row["state"] == "AVAILABLE" for row in states(app, name)) for name in app.models.names()}
    return all(by_name.values()), by_name


def version(app: ExtrasHost, servable: Servable) -> dict[str, Any]:
    """A loaded version: signatures, and its metadata under ``keras_seq``."""
    return {
        "name": servable.name,
        "version": servable.version,
        "signatures": {name: signature(found) for name, found in servable.signatures.items()},
        "keras_seq": metadata(app, servable.name, servable.version),
    }


def signature(called: Signature) -> dict[str, Any]:
    """A signature as JSON knows it."""
    sides = {"inputs": called.inputs, "outputs": called.outputs}
    tensors = {side: {alias: _tensor(info) for alias, info in infos.items()} for side, infos in sides.items()}
    return {"method": called.method, **tensors}


def _tensor(info: TensorInfo) -> dict[str, Any]:
    return {"dtype": info.dtype, "shape": None if info.shape is None else list(info.shape)}
