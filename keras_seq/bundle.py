"""The bundle: all that training leaves, in JSON and ``.keras`` only; later steps need nothing else.

::

    model.keras      weights and architecture; takes raw physical units
    config.yaml      the experiment
    schema.json      meaning of the columns
    spec.json        shapes and fitted numbers (scaler, target scale)
    decision.json    calibration, threshold, prediction intervals: what turns outputs into answers
    metrics.json     validation, test, baseline, performance
    data.json        fingerprints and statistics of the data and the split
    history.csv      metrics by epoch
    versions.json    library versions
    manifest.json    format number and sha256 of every file; written last
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import __version__, config, files, machine
from keras_seq.data.series import Schema
from keras_seq.data.sources.positive import with_positive
from keras_seq.data.spec import DataSpec
from keras_seq.errors import DataError, ModelError

if TYPE_CHECKING:
    import keras

    from keras_seq.data.prepare import Prepared

FORMAT = 1  # of what is written; raised when a reader of the format before could not read it any more
OLDEST = 1  # format that is still read: tests/golden/bundles holds one of every release since
REQUIRED = ("model.keras", "config.yaml", "schema.json", "spec.json")


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle; the Keras model is read when first used."""

    folder: Path
    experiment: config.Experiment
    schema: Schema
    spec: DataSpec
    decision: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def model(self) -> Any:
        """The ``keras.Model``, without optimizer."""
        import keras

        import keras_seq.models.assembly  # noqa: F401  (registers our layers)

        try:
            return keras.models.load_model(self.folder / "model.keras", compile=False, safe_mode=True)
        except (ValueError, TypeError, OSError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            written = read_versions(self.folder).get("keras", "unknown")
            raise ModelError(
                f"The model of bundle '{self.folder}' cannot be loaded: {reason}. It was written with keras "
                f"{written}, this is keras {metadata.version('keras')}; train again or install that version."
            ) from None

    @cached_property
    def prepared(self) -> Prepared:
        """The bundle's own data as its configuration says: read, split and cut into windows once.

        Raises:
            DataError: the data are missing, or differ from those the bundle was trained on.
        """
        from keras_seq.data.prepare import prepare

        prepared = prepare(self.experiment.data)
        self.check_data(prepared)
        return prepared

    def holding(self, prepared: Prepared) -> Bundle:
        """The bundle with its data at hand, which are then not read again.

        Raises:
            DataError: they differ from those the bundle was trained on.
        """
        self.check_data(prepared)
        object.__setattr__(self, "prepared", prepared)  # the cached property of a frozen instance
        return self

    def check_data(self, prepared: Prepared) -> None:
        """Refuse data of other content or another split than those of training.

        Raises:
            DataError: says which of the two.
        """
        self.check_split(prepared.splits.fingerprint)
        series = prepared.series
        now = series.content() if "content" in self.data else series.fingerprint()
        if now != self.data.get("content", self.data.get("fingerprint")):
            raise DataError(
                f"The data have changed since bundle '{self.folder}' was trained: they have the same units and rows, "
                "but other content. Restore them, or train again."
            )

    def check_split(self, fingerprint: str) -> None:
        """Refuse to judge on a split other than the one of training.

        Raises:
            DataError: ``fingerprint`` is of another split.
        """
        if fingerprint != self.data.get("split"):
            raise DataError(
                f"The data or split now differ from those bundle '{self.folder}' was trained on, so what is judged may "
                "hold rows it has seen. Restore the data or the data.* options, or train again."
            )

    @property
    def threshold(self) -> float:
        """Calibrated probability from which a binary model says yes."""
        return float(self.decision.get("threshold", 0.5))


def save_bundle(
    folder: str | Path,
    *,
    model: keras.Model,
    experiment: config.Experiment,
    schema: Schema,
    spec: DataSpec,
    decision: dict[str, Any],
    metrics: dict[str, Any],
    data: dict[str, Any],
    extra: tuple[Path, ...] = (),
) -> Path:
    """Write a bundle; it appears under ``folder`` complete, in place of an older one, or not at all.

    Args:
        folder: where the bundle goes.
        model: the trained ``keras.Model``.
        experiment: the configuration it was trained with.
        schema: of the data.
        spec: fitted numbers.
        decision: calibration, threshold and intervals, as ``training.decision.fit_decision`` gives them.
        metrics: everything measured.
        data: fingerprints and statistics.
        extra: files (history.csv) and folders (plots) copied in.
    """
    folder = Path(folder)
    with files.new_folder(folder, replace=True) as partial:
        model.save(partial / "model.keras")
        files.write_text(partial / "config.yaml", config.to_yaml(with_positive(experiment, spec)))
        for name, value in {
            "schema": schema.model_dump(mode="json"),
            "spec": spec.model_dump(mode="json"),
            "decision": decision,
            "metrics": metrics,
            "data": data,
            "versions": machine.library_versions(),
        }.items():
            files.write_json(partial / f"{name}.json", value)
        for item in extra:
            if item.is_dir():
                shutil.copytree(item, partial / item.name)
            elif item.exists():
                shutil.copy2(item, partial / item.name)
        write_manifest(partial)
    return folder


def load_bundle(path: str | Path) -> Bundle:
    """Open a bundle, or the run folder that holds one; checks every file's sha256.

    Raises:
        ModelError: not a bundle, of a newer format, incomplete, or changed since it was written.
    """
    folder = Path(path)
    if not (folder / "manifest.json").exists() and (folder / "bundle").is_dir():
        folder = folder / "bundle"
    manifest = _read_manifest(folder)
    missing = [name for name in REQUIRED if name not in manifest["files"]]
    if missing:
        raise ModelError(f"Bundle '{folder}' lacks {', '.join(missing)}; train again.")
    for name, digest in manifest["files"].items():
        if not (folder / name).is_file() or files.sha256(folder / name) != digest:
            raise ModelError(
                f"File '{name}' of bundle '{folder}' is missing or was changed after training (sha256 differs). "
                "Restore the bundle from a copy or train again."
            )
    optional = {
        name: files.read_json(folder / f"{name}.json") if f"{name}.json" in manifest["files"] else {}
        for name in ("decision", "metrics", "data")
    }
    try:
        spec = DataSpec.model_validate(files.read_json(folder / "spec.json"))
        return Bundle(
            folder=folder,
            experiment=with_positive(config.load(folder / "config.yaml"), spec),
            schema=Schema.model_validate(files.read_json(folder / "schema.json")),
            spec=spec,
            **optional,
        )
    except ValueError as error:  # its files are whole, so it is the version that differs
        reason = " ".join(str(error).split())
        raise ModelError(
            f"Bundle '{folder}' was written by keras_seq {manifest.get('keras_seq', 'unknown')}; this is {__version__} "
            f"and cannot read it: {reason} Install the version that wrote it, or train again."
        ) from None


def write_manifest(folder: Path) -> None:
    """Seal a folder: the sha256 of every file in it, written last."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    digests = {name: files.sha256(folder / name) for name in names if name != "manifest.json"}
    files.write_json(folder / "manifest.json", {"format": FORMAT, "keras_seq": __version__, "files": digests})


def read_versions(folder: Path) -> dict[str, str]:
    """Library versions a bundle was written with; empty if they were not kept."""
    path = folder / "versions.json"
    return files.read_json(path) if path.exists() else {}


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = files.read_json(folder / "manifest.json")
    except (OSError, ValueError):
        raise ModelError(
            f"'{folder}' is not a bundle: it has no readable manifest.json. "
            "Give the folder that 'python -m keras_seq.train' named at its end, such as runs/caster/seed-0."
        ) from None
    known = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(known, int) or not isinstance(manifest.get("files"), dict):
        raise ModelError(f"'{folder}' is not a bundle: its manifest.json names no format and files. Train again.")
    if not OLDEST <= known <= FORMAT:
        raise ModelError(
            f"Bundle '{folder}' has format {known}, this keras_seq {__version__} reads {OLDEST} to {FORMAT}; "
            f"install the version that wrote it ({manifest.get('keras_seq', 'unknown')})"
            f"{' or a newer one' if known > FORMAT else ', or train again'}."
        )
    return manifest
