"""A bundle as a TensorFlow Serving version: raw units in, final answers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import files
from keras_seq.data.spec import DataSpec
from keras_seq.errors import OutputError

if TYPE_CHECKING:
    import keras


def next_version(base: Path) -> int:
    """The number after the highest version folder below ``base``."""
    versions = [int(path.name) for path in base.glob("*") if path.is_dir() and path.name.isdigit()]
    return max(versions, default=0) + 1


def check_version(base: Path, version: int | None, *, option: str = "--export.version") -> None:
    """Refuse, before long work starts, a version number that is taken; ``option`` is what would change it.

    Raises:
        OutputError: names the folder and the next free number.
    """
    if version is not None and (base / str(version)).exists():
        raise OutputError(
            f"Version folder '{base / str(version)}' exists already; versions are never overwritten. "
            f"Use {option} {next_version(base)} or leave the option out."
        )


def write_saved_model(
    model: keras.Model,
    spec: DataSpec,
    base: Path,
    *,
    version: int | None = None,
    decision: Mapping[str, Any] | None = None,
    quantiles: Sequence[float] = (),
) -> Path:
    """Write ``base/<version>/`` aside and rename it in, so that a server never sees a half.

    Its signatures are those of ``keras_seq.export.signatures``. See ``served`` for model, spec, decision and quantiles.

    Raises:
        OutputError: the version exists or the folder cannot be written.
    """
    from keras_seq.export.metadata import Source
    from keras_seq.export.signatures import write_signatures

    check_version(base, version)
    target = base / str(version or next_version(base))
    with files.new_folder(target) as partial:
        write_signatures(Source(model, spec, decision or {}, quantiles), partial)
    return target
