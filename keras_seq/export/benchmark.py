"""Every format and precision of a bundle on the same real windows: accuracy, size, speed, memory."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import files
from keras_seq.bundle import Bundle
from keras_seq.errors import DataError, KerasSeqError
from keras_seq.evaluation.scores import score
from keras_seq.export.formats import FORMATS, KINDS, check_kinds, need_samples, write_formats
from keras_seq.export.isolated import run_apart
from keras_seq.export.measure import SECONDS
from keras_seq.export.metadata import source_of
from keras_seq.export.parity import scale_of
from keras_seq.export.samples import sample_windows, spread, window_arrays
from keras_seq.export.saved_model import write_saved_model
from keras_seq.figures import Say, figure, silent
from keras_seq.tasks import deciding
from keras_seq.training.metrics import HIGHER_IS_BETTER
from keras_seq.training.predictions import points

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.windows import WindowIndex

BATCHES = (1, 8, 64)


@dataclass(frozen=True)
class Measured:
    """One format on some number of threads.

    Attributes:
        format: of ``KINDS``.
        threads: of one call.
        metrics: of the windows judged, raw units.
        largest, mean: difference to the Keras model, in deviations of the target or as probability.
        size_mb, gzip_mb: of the file or folder, 10^6 bytes.
        load_s: until the first answer, without imports.
        batches: by batch size: p50, p95, p99 (ms), per_second.
        peak_mb, resident_mb: of a process that does nothing else.
    """

    format: str
    threads: int
    metrics: dict[str, float]
    largest: float
    mean: float
    size_mb: float
    gzip_mb: float
    load_s: float
    batches: dict[str, dict[str, float]]
    peak_mb: float
    resident_mb: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)


@dataclass(frozen=True)
class Benchmark:
    """All formats of a bundle, and why some are missing.

    Attributes:
        metric: the one that is compared.
        windows: judged.
        rows: the Keras model first.
        failed: reason by format.
        judged: which answers the metric is of, in words, beside the bundle's own figure where that is of others.
    """

    metric: str
    windows: int
    rows: tuple[Measured, ...]
    failed: dict[str, str]
    judged: str = ""

    def loss(self, row: Measured) -> float:
        """How much worse than the Keras model, as a share of its metric; negative: better."""
        base = next(r for r in self.rows if r.format == "keras").metrics[self.metric]
        change = row.metrics[self.metric] - base
        return (-change if self.metric in HIGHER_IS_BETTER else change) / max(abs(base), 1e-12)


def benchmark(
    bundle: Bundle,
    kinds: Sequence[str] = KINDS,
    *,
    threads: Sequence[int] = (1, 2),
    most_windows: int = 2000,
    seconds: float = SECONDS,
    say: Say = silent,
) -> Benchmark:
    """Write a bundle in every format, run each in a process of its own, and judge its answers.

    Args:
        bundle: with its data at hand.
        kinds: of ``KINDS``; the Keras model is always there.
        threads: numbers of threads to time each format on.
        most_windows: of the test part, spread evenly.
        seconds: that each batch size is timed for, at least.
        say: takes lines for the user.

    Raises:
        ConfigError: an unknown format.
        DataError: the data are missing or differ from those of the training.
    """
    kinds = ("keras", *(kind for kind in check_kinds(kinds) if kind != "keras"))
    prepared = bundle.prepared
    index = spread(prepared.index["test"], most_windows)
    inputs = window_arrays(prepared.series, bundle.spec, index.start, index.length)
    with files.scratch() as name:
        folder = Path(name)
        np.savez(folder / "windows.npz", **inputs)  # type: ignore[arg-type]
        paths, failed = _write(bundle, kinds, folder, say)
        rows: list[Measured] = []
        truth: dict[str, np.ndarray] = {}
        for kind, path in paths.items():
            for number in threads:
                try:
                    cost, answers = _run(kind, path, folder, number, seconds)
                except KerasSeqError as error:
                    failed[kind] = str(error)
                    break
                truth = truth or answers
                row = _row(kind, path, number, cost, answers, truth, bundle, prepared, index)
                rows.append(row)
                say(f"  {kind}, {number} threads: {cost['batches']['1']['p50']:.3f} ms at batch 1")
    if not rows or rows[0].format != "keras":
        raise DataError(f"The Keras model itself cannot be run: {failed.get('keras', 'no answer')}")
    metric = deciding(bundle.spec.task)
    judged = judged_words(bundle, metric, len(index), len(prepared.index["test"]))
    return Benchmark(metric, len(index), tuple(rows), failed, judged)


def judged_words(bundle: Bundle, metric: str, windows: int, every: int) -> str:
    """Which answers the metric is of; a served answer is that of a window's last step."""
    if not bundle.spec.per_step and windows == every:
        return f"{metric} is of the answers that the bundle's own is of"
    which = "the last step" if bundle.spec.per_step else "the answer"
    share = "each window" if windows == every else f"{windows} of {every} windows, evenly spread"
    own = bundle.metrics.get("test", {}).get(metric)
    beside = f"; the bundle's own, of all answers that are judged, is {figure(own)}" if own is not None else ""
    return f"{metric} is of {which} of {share}{beside}"


def _write(bundle: Bundle, kinds: Sequence[str], folder: Path, say: Say) -> tuple[dict[str, Path], dict[str, str]]:
    paths: dict[str, Path] = {"keras": bundle.folder}
    failed: dict[str, str] = {}
    if "saved_model" in kinds:
        try:
            source = source_of(bundle)
            paths["saved_model"] = write_saved_model(
                source.model,
                source.spec,
                folder / "saved_model",
                decision=source.decision,
                quantiles=source.quantiles,
            )
        except KerasSeqError as error:
            failed["saved_model"] = str(error)
    wanted = [kind for kind in kinds if kind in FORMATS]
    if wanted:
        say(f"writing {', '.join(wanted)}")
        samples = sample_windows(bundle) if need_samples(wanted) else None
        written, reasons = write_formats(bundle, folder, wanted, samples=samples)
        paths |= written
        failed |= reasons
    return {kind: paths[kind] for kind in kinds if kind in paths}, failed


def _run(
    kind: str, path: Path, folder: Path, threads: int, seconds: float
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    arguments = {
        "kind": kind,
        "path": str(path),
        "windows": str(folder / "windows.npz"),
        "out": str(folder / "answers.npz"),
        "threads": threads,
        "batches": list(BATCHES),
        "seconds": seconds,
        "engine": FORMATS[kind].engine if kind in FORMATS else "",
    }
    cost = run_apart("keras_seq.export.measure:measure", arguments, what=f"Running {kind}")
    with np.load(folder / "answers.npz") as stored:
        return cost, {name: stored[name] for name in stored.files}


def _row(
    kind: str,
    path: Path,
    threads: int,
    cost: dict[str, Any],
    answers: dict[str, np.ndarray],
    truth: dict[str, np.ndarray],
    bundle: Bundle,
    prepared: Prepared,
    index: WindowIndex,
) -> Measured:
    spec = bundle.spec.model_copy(update={"per_step": False})  # a served answer is that of the last step
    apart = [
        np.abs(answers[name] - value).astype(np.float64) / scale_of(name, spec)
        for name, value in truth.items()
        if name != "class"
    ]
    every = np.concatenate([part.ravel() for part in apart])
    main = next(name for name in ("probability", "probabilities", "prediction", "quantiles") if name in answers)
    answered = points(prepared.series, index, spec, answers[main])
    threshold = float(bundle.decision.get("threshold", 0.5))
    source = path / "model.keras" if kind == "keras" else path
    size, packed = _sizes(source)
    return Measured(
        format=kind,
        threads=threads,
        metrics=score(answered, spec, bundle.experiment, part="test", threshold=threshold),
        largest=float(every.max()),
        mean=float(every.mean()),
        size_mb=size,
        gzip_mb=packed,
        load_s=cost["load_s"],
        batches=cost["batches"],
        peak_mb=cost["peak_mb"],
        resident_mb=cost["resident_mb"],
    )


def _sizes(path: Path) -> tuple[float, float]:
    """Size as it is and packed by gzip, MB."""
    if path.is_file():
        raw = path.read_bytes()
    else:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(path, arcname=path.name)
        raw = packed.getvalue()
    size = len(raw) if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    return size / 1e6, len(gzip.compress(raw, 9)) / 1e6
