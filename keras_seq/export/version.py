"""A bundle as one version folder: every format, proof, verdict and manifest, in place complete or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import files
from keras_seq.bundle import Bundle
from keras_seq.errors import KerasSeqError
from keras_seq.export import gate
from keras_seq.export.canary import Canary, canaries
from keras_seq.export.formats import FORMATS, WHOLE, check_kinds, write_formats
from keras_seq.export.metadata import Source, source_of
from keras_seq.export.parity import ParityReport, check_parity
from keras_seq.export.record import FOLDER, METADATA, PARITY, make_metadata, seal, write_schema
from keras_seq.export.reference import make_reference, write_reference
from keras_seq.export.saved_model import next_version
from keras_seq.figures import Say, silent

if TYPE_CHECKING:
    from keras_seq.explain.served import ServedExplanation

STEP = "step.onnx"
DEFAULT = ("saved_model", "onnx", "tflite", "keras")


@dataclass(frozen=True)
class Exported:
    """A version that was written.

    Attributes:
        folder: of the version.
        formats: file of each format, relative to it.
        failed: why a format was not written.
        verdict: of the gate.
        step: state of the step form, or the reason why there is none.
    """

    folder: Path
    formats: dict[str, str]
    failed: dict[str, str]
    verdict: gate.GateVerdict
    step: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {
            "version": str(self.folder),
            "formats": self.formats,
            "failed": self.failed,
            "step": self.step,
            **self.verdict.to_dict(),
        }


@dataclass(frozen=True)
class Wanted:
    """What the gate asks for.

    Attributes:
        requirements: bounds on metrics.
        margin: by which the champion or the baseline must be beaten, a share of its metric.
        champion: version folder that is served now, or None.
        canaries: that must answer, by name; None: all that this machine can run.
    """

    requirements: Sequence[gate.Requirement] = ()
    margin: float = 0.0
    champion: Path | None = None
    canaries: Mapping[str, Canary] | None = None


def export_version(
    bundle: Bundle,
    base: str | Path,
    formats: Sequence[str] = DEFAULT,
    *,
    windows: Mapping[str, np.ndarray],
    samples: Mapping[str, np.ndarray] | None = None,
    wanted: Wanted | None = None,
    version: int | None = None,
    explain: ServedExplanation | None = None,
    say: Say = silent,
) -> Exported:
    """Write ``base/<version>/`` and judge it; a format that fails leaves the others.

    Args:
        bundle: what is exported.
        base: takes the version folder.
        formats: of ``keras_seq.export.formats.KINDS``.
        windows: real windows of the test part: for parity, canary and warm-up.
        samples: real training windows, where a format needs them.
        wanted: what the gate asks for beside parity and a canary.
        version: number of the version; None: the next one.
        explain: of ``keras_seq.explain.served.make_explain``; None: no signature ``explain``.
        say: where progress is told.

    Raises:
        ConfigError: an unknown format.
        OutputError: the version exists, or the folder cannot be written.
    """
    formats, base = check_kinds(formats), Path(base)
    files.ensure_writable(base)
    target = base / str(version or next_version(base))
    source, wanted = replace(source_of(bundle), explain=explain), wanted or Wanted()
    with files.new_folder(target) as partial:
        (partial / FOLDER).mkdir()
        say(f"writing {', '.join(formats)}")
        written, failed, step = _write(bundle, source, partial, formats, windows, samples)
        say("comparing with the Keras model")
        report = _parity(source, partial, windows, written)
        about = {name: path.relative_to(partial).as_posix() for name, path in written.items()}
        signatures = _signatures(partial, source, written)
        described = make_metadata(bundle, written=about, failed=failed, signatures=signatures, step=step)
        files.write_json(partial / METADATA, described)
        files.write_json(partial / PARITY, report.to_dict())
        write_schema(bundle, partial / FOLDER / "schema.pbtxt")
        say("keeping what drift is measured against")
        _refer(bundle, partial / FOLDER, say)
        say("asking the canary")
        verdict = _judge(bundle, source, partial, windows, report, failed, wanted, served="saved_model" in written)
        verdict.write(partial)
        seal(partial)
    return Exported(target, about, failed, verdict, step)


def _refer(bundle: Bundle, folder: Path, say: Say) -> None:
    """Write the reference for drift; one that cannot be made is said and stops no export."""
    try:
        write_reference(make_reference(bundle), folder)
    except KerasSeqError as error:
        say(f"  none: {error}")


def _write(
    bundle: Bundle,
    source: Source,
    folder: Path,
    formats: Sequence[str],
    windows: Mapping[str, np.ndarray],
    samples: Mapping[str, np.ndarray] | None,
) -> tuple[dict[str, Path], dict[str, str], dict[str, Any]]:
    written, failed = dict[str, Path](), dict[str, str]()
    own = folder / FOLDER
    if "saved_model" in formats:
        _attempt("saved_model", folder, lambda: _saved_model(source, folder, windows), written, failed)
    if "keras" in formats:
        path = own / "model.keras"
        _attempt("keras", path, lambda: shutil.copy2(bundle.folder / "model.keras", path), written, failed)
    others = [name for name in formats if name not in WHOLE]
    more, not_written = write_formats(source, own, others, samples=samples)
    written, failed = written | more, failed | not_written
    return written, failed, _step(source, own, written, failed, wanted="onnx" in formats)


def _attempt(name: str, path: Path, write: Callable[[], Any], written: dict[str, Path], failed: dict[str, str]) -> None:
    try:
        write()
        written[name] = path
    except OSError:
        raise  # the disk, not the format
    except KerasSeqError as error:
        failed[name] = str(error)
    except Exception as error:  # Keras and TensorFlow raise whatever they meet; the format is named
        line = next(iter(str(error).strip().splitlines()), "")
        failed[name] = f"{type(error).__name__}: {line[:300].rstrip('.')}."


def _saved_model(source: Source, folder: Path, windows: Mapping[str, np.ndarray]) -> None:
    from keras_seq.export.signatures import write_signatures
    from keras_seq.export.warmup import write_warmup

    write_signatures(source, folder)
    write_warmup(source, folder, windows, name=source.schema.name if source.schema else "model")


def _step(
    source: Source, own: Path, written: dict[str, Path], failed: dict[str, str], *, wanted: bool
) -> dict[str, Any]:
    """Write ``step.onnx`` where the model can stream; what metadata says of it."""
    from keras_seq.export.step import make_step, why_no_step, write_step
    from keras_seq.export.window_step import steps_by_window

    reason = why_no_step(source)
    if reason:
        return {"reason": reason}
    if wanted:
        _attempt("step", own / STEP, lambda: write_step(source, own / STEP), written, failed)
    windowed = not (source.spec.per_step or source.spec.variable_length)
    until = source.spec.time
    note = (
        f"trained on windows of {until} steps: the answer at step {until} is the window's, later ones go on from the "
        "unit's whole past"
        if windowed
        else f"the answer at each step is that of the unit's whole past, seen up to {until} steps in training"
    )
    if steps_by_window(source.model, source.spec):
        note = f"the answer at each step is that of the window of the last {until} steps"
    return {"state": {name: list(shape) for name, shape in make_step(source).state.items()}, "note": note}


def _parity(
    source: Source, folder: Path, windows: Mapping[str, np.ndarray], written: Mapping[str, Path]
) -> ParityReport:
    """Parity of the files; the SavedModel is compared through the canary, step.onnx beside it."""
    return check_parity(source, windows, {name: path for name, path in written.items() if name in FORMATS})


def _signatures(folder: Path, source: Source, written: Mapping[str, Path]) -> dict[str, Any]:
    if "saved_model" not in written:
        return {}
    from keras_seq.export.signatures import describe_signatures

    return describe_signatures(folder, source)


def _judge(
    bundle: Bundle,
    source: Source,
    folder: Path,
    windows: Mapping[str, np.ndarray],
    report: ParityReport,
    failed: Mapping[str, str],
    wanted: Wanted,
    *,
    served: bool,
) -> gate.GateVerdict:
    from keras_seq.export.champion import check_champion

    checks, numbers = gate.check_formats(report, failed), {}
    for parity in report.formats:
        numbers[f"parity_{parity.format}"] = parity.largest
    step = folder / FOLDER / STEP
    if step.exists():
        checks.append(gate.check_step(source, step, windows))
    chosen = canaries() if wanted.canaries is None else wanted.canaries
    for name, canary in chosen.items() if served else ():
        check, apart = gate.check_canary(source, folder, windows, canary, name)
        checks.append(check)
        numbers |= {f"canary_{signature}": value for signature, value in apart.items()}
    if not served:
        checks.append(gate.Check("canary", "not asked", ("there is no saved_model that a server could load",)))
    checks += gate.check_requirements(bundle, wanted.requirements)
    if wanted.champion is not None and served:
        checks.append(check_champion(bundle, folder, wanted.champion, wanted.margin))
    else:
        checks.append(gate.check_baseline(bundle, wanted.margin))
    checks += gate.check_members(bundle)
    return gate.GateVerdict(tuple(checks), numbers)
