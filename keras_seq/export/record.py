"""What a version says of itself: ``keras_seq/metadata.json``, ``schema.pbtxt``, the manifest, and its run on record.

::

    <version>/
      saved_model.pb  variables/     what TensorFlow Serving loads
      assets.extra/                  warm-up requests
      BLESSED or NOT_BLESSED         the gate's verdict and reasons
      keras_seq/                     model.onnx, step.onnx, *.tflite, model.keras, metadata.json, parity.json,
                                     schema.pbtxt, reference.npz and .json (for drift), manifest.json (sha256 of
                                     every file)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keras_seq import __version__, config, files
from keras_seq.bundle import Bundle, read_versions
from keras_seq.errors import ExportError
from keras_seq.export.metadata import describe, source_of
from keras_seq.machine import library_versions

FOLDER = "keras_seq"  # of ours, in a version
FORMAT = 1
METADATA, PARITY, MANIFEST = (f"{FOLDER}/{name}.json" for name in ("metadata", "parity", "manifest"))


def make_metadata(
    bundle: Bundle,
    *,
    written: Mapping[str, str],
    failed: Mapping[str, str],
    signatures: Mapping[str, Any],
    step: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of ``metadata.json``.

    Args:
        bundle: what is exported.
        written: file of each format, relative to the version.
        failed: why a format was not written.
        signatures: of the SavedModel, with what they take and give.
        step: shapes of the state tensors of a unit, or the reason why the model cannot stream.
    """
    return describe(source_of(bundle)) | {
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "schema": bundle.schema.model_dump(mode="json"),
        "config": config.to_dict(bundle.experiment),
        "metrics": bundle.metrics,
        "data": {name: bundle.data.get(name) for name in ("fingerprint", "split", "targets")},
        "bundle_sha256": files.sha256(bundle.folder / "manifest.json"),
        "trained_with": read_versions(bundle.folder),
        "formats": dict(written),
        "failed": dict(failed),
        "signatures": dict(signatures),
        "step": dict(step),
    }


def read_metadata(folder: Path) -> dict[str, Any]:
    """What a version says of itself.

    Raises:
        ExportError: it was not written by ``keras_seq.export``, or by a newer one.
    """
    try:
        metadata = files.read_json(folder / METADATA)
    except (OSError, ValueError):
        raise ExportError(
            f"Version '{folder}' has no readable {METADATA}; write it with 'python -m keras_seq.export'."
        ) from None
    if metadata.get("format", 0) > FORMAT:
        raise ExportError(f"Version '{folder}' has format {metadata['format']}, this keras_seq reads up to {FORMAT}.")
    return dict(metadata)


def seal(folder: Path) -> None:
    """Write the manifest: the sha256 of every file of a version; last of all."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    digests = {name: files.sha256(folder / name) for name in names if name != MANIFEST}
    files.write_json(folder / MANIFEST, {"format": FORMAT, "keras_seq": __version__, "files": digests})


def check_seal(folder: Path) -> None:
    """Refuse a version that was changed.

    Raises:
        ExportError: names the first file that is missing, changed or was added.
    """
    try:
        known = dict(files.read_json(folder / MANIFEST)["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ExportError(
            f"Version '{folder}' has no readable {MANIFEST}; write it with 'python -m keras_seq.export'."
        ) from None
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    for name in sorted(there | set(known)):
        what = "was added" if name not in known else "is missing" if name not in there else ""
        if not what and files.sha256(folder / name) != known[name]:
            what = "was changed (its sha256 differs)"
        if what:
            raise ExportError(f"File '{name}' of version '{folder}' {what} after the export; export the bundle again.")


def write_schema(bundle: Bundle, path: Path) -> Path:
    """The columns as ``tensorflow_metadata`` knows them: name, type, range, presence."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = schema_pb2.Schema()
    columns = {column.name: column for column in bundle.schema.columns}
    for name in bundle.spec.features:
        feature = schema.feature.add(name=name, type=schema_pb2.FLOAT)
        column, steps = columns.get(name), bundle.spec.time
        feature.value_count.min, feature.value_count.max = (1 if bundle.spec.variable_length else steps), steps
        feature.presence.min_fraction = 1.0
        if column is None:
            continue
        bounds = {"min": column.minimum, "max": column.maximum}
        for key, bound in bounds.items():
            if bound is not None:
                setattr(feature.float_domain, key, bound)
        feature.float_domain.disallow_nan = not column.missing
        feature.annotation.tag.append(f"unit: {column.unit or 'none'}")
    return files.write_text(path, text_format.MessageToString(schema))


def note_versions(bundle: Bundle) -> list[str]:
    """Libraries that differ from those the bundle was trained with, for people."""
    here = library_versions()
    return [
        f"the bundle was trained with {name} {version}, this is {name} {here[name]}"
        for name, version in read_versions(bundle.folder).items()
        if name in here and here[name] != version
    ]


def record(bundle: Bundle, folder: Path, verdict: Mapping[str, Any], base: str | None = None) -> str | None:
    """Record an export as a run: verdict, differences of the formats, metadata. The run's id, or None.

    What was pushed becomes the registered model's ``champion``, what was refused its ``challenger``.

    Args:
        bundle: that was exported.
        folder: of the version.
        verdict: of the gate, with ``pushed``: the folder it was copied to, or None.
        base: model base path it was to be pushed to, whose name is that of the registered model; None: none.

    Raises:
        ConfigError: the store cannot be reached.
    """
    from keras_seq import tracking

    with tracking.track(bundle.experiment, run_name=f"export-{folder.name}", kind="export") as tracker:
        reasons = " | ".join(verdict["reasons"])
        tracker.log_params(
            {"event": "export", "version": str(folder), "blessed": verdict["blessed"], "reasons": reasons or "none"}
            | {"bundle": str(bundle.folder), "pushed": verdict.get("pushed"), "forced": verdict.get("forced", False)}
        )
        tracker.log_metrics({"blessed": float(verdict["blessed"])} | dict(verdict.get("numbers", {})))
        tracker.log_folder(folder / FOLDER, "export")
        if base is not None:
            pushed = verdict.get("pushed")
            tags = {"blessed": str(verdict["blessed"]), "reasons": reasons[:1000] or "none"}
            alias = "champion" if pushed else "challenger"
            tracker.register(Path(base).name, Path(pushed or folder), alias=alias, tags=tags)
        return tracker.run_id
