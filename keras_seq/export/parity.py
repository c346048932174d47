"""Does an exported file answer as the Keras model does? Measured on real windows, in every format the same way.

Each file is run by ``keras_seq.runtime`` in a process of its own, on the windows in one batch and one by one and,
where lengths vary, on length 1, length 0, shorter prefixes, and padding of any content.

Trees answer in steps: where a feature lies within float32 rounding of a split, a sum in another order takes the other
branch of one tree. Of models with trees a few answers may therefore differ by a little more (``BRANCHES``, ``BRANCH``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import files
from keras_seq.bundle import Bundle
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ExportError
from keras_seq.export.formats import get_format
from keras_seq.export.isolated import run_apart
from keras_seq.export.metadata import Source, source_of

if TYPE_CHECKING:
    import keras

Arrays = dict[str, np.ndarray]
BRANCHES = 0.005  # share of a tree model's answers that may take another branch; one answer in any case
BRANCH = 0.25  # deviations of the target, or of probability, that another branch may change
CONTENT = np.array([np.nan, np.inf, -999.0, 1e20, 0.0], np.float32)  # what padding may hold


@dataclass(frozen=True)
class FormatParity:
    """One format against the Keras model; differences in deviations of the target, or of probability.

    Attributes:
        format: of ``keras_seq.export.formats``.
        limit: what the largest difference (the mean one where weights are rounded) may be.
        largest: difference over all probes and answers.
        mean: difference over all probes and answers.
        answers: largest difference by name of the answer.
        padding: largest difference that other padding makes within the format; None: fixed windows.
        classes: windows called otherwise although their probability is further from the threshold than the limit.
        branches: answers of trees that took another branch; not counted in ``largest``.
        windows: compared.
        reasons: why it does not pass.
    """

    format: str
    limit: float
    largest: float = float("nan")
    mean: float = float("nan")
    answers: dict[str, float] = field(default_factory=dict)
    padding: float | None = None
    classes: int = 0
    branches: int = 0
    windows: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """No reason against it."""
        return not self.reasons


@dataclass(frozen=True)
class ParityReport:
    """All formats of a bundle."""

    formats: tuple[FormatParity, ...]

    @property
    def passed(self) -> bool:
        """Every format passed."""
        return all(parity.passed for parity in self.formats)

    @property
    def reasons(self) -> tuple[str, ...]:
        """All reasons, each with its format."""
        return tuple(f"{parity.format}: {reason}" for parity in self.formats for reason in parity.reasons)

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        formats = [asdict(parity) | {"passed": parity.passed} for parity in self.formats]
        return {"passed": self.passed, "reasons": list(self.reasons), "formats": formats}


def check_parity(bundle: Bundle | Source, windows: Mapping[str, np.ndarray], files: Mapping[str, Path]) -> ParityReport:
    """Compare exported files with the Keras model.

    Args:
        bundle: the bundle they were written from, or its model with its spec.
        windows: real ones: ``values (n, time, features)`` raw, and where lengths vary ``lengths (n,)``.
        files: by format, as ``write_formats`` gives them.

    Returns:
        One entry a format; a file that cannot be run is an entry that did not pass.
    """
    if not files:
        return ParityReport(())
    source = source_of(bundle)
    probes = make_probes(windows, source.spec)
    expected = {name: source.answers(inputs) for name, inputs in probes.items()}
    return ParityReport(tuple(_one(name, path, source, probes, expected) for name, path in files.items()))


def make_probes(windows: Mapping[str, np.ndarray], spec: DataSpec) -> dict[str, Arrays]:
    """Probe inputs by name: real windows, single ones, and where lengths vary short, empty and padded ones."""
    values = np.asarray(windows["values"], np.float32)
    if not spec.variable_length:
        singles = {f"single_{row}": {"values": values[row : row + 1]} for row in range(min(3, len(values)))}
        return {"windows": {"values": values}, **singles}
    lengths = np.asarray(windows["lengths"], np.int32)

    def probe(rows: np.ndarray, real: np.ndarray) -> Arrays:
        return {"values": rows, "lengths": np.asarray(real, np.int32)}

    few = slice(0, min(8, len(values)))
    shorter = (lengths[few] * np.linspace(0.1, 0.9, len(lengths[few]))).astype(np.int32)
    real = np.arange(values.shape[1]) < shorter[:, None]
    junk = np.resize(CONTENT, values[few].shape)
    probes = {
        "windows": probe(values, lengths),
        "length_one": probe(values[few], np.minimum(lengths[few], 1)),
        "empty": probe(values[few], np.zeros_like(lengths[few])),
        "prefixes": probe(np.where(real[:, :, None], values[few], 0.0).astype(np.float32), shorter),
        "padding": probe(np.where(real[:, :, None], values[few], junk).astype(np.float32), shorter),
    }
    for row in range(min(3, len(values))):
        steps = max(int(lengths[row]), 1)  # no padding at all
        probes[f"single_{row}"] = probe(values[row : row + 1, :steps], lengths[row : row + 1])
    return probes


def _one(name: str, path: Path, source: Source, probes: dict[str, Arrays], expected: dict[str, Arrays]) -> FormatParity:
    form = get_format(name)
    try:
        answers_of_file = run_file(path, probes, what=f"Running {name}", engine=form.engine)
    except ExportError as error:
        return FormatParity(name, form.limit, reasons=(str(error),))
    spec, answers, parts = source.spec, dict[str, float](), []
    for probe, truth in expected.items():
        for key, value in truth.items():
            if key == "class":
                continue
            apart = np.abs(answers_of_file[probe][key] - value) / scale_of(key, spec)
            apart = np.where(np.isfinite(apart), apart, np.inf)
            parts.append(apart.ravel())
            answers[key] = max(answers.get(key, 0.0), float(apart.max()))
    every = np.concatenate(parts)
    padding = _largest(answers_of_file["prefixes"], answers_of_file["padding"], spec) if spec.variable_length else None
    trees = has_trees(source.model)
    largest, branches = largest_difference(every, form.limit, trees=trees)
    margin = max(form.limit, BRANCH) if trees else form.limit
    classes = called_otherwise(
        expected["windows"], answers_of_file["windows"], margin, source.decision.get("threshold", 0.5)
    )
    result = FormatParity(
        format=name,
        limit=form.limit,
        largest=largest,
        mean=float(every.mean()),
        answers=answers,
        padding=padding,
        classes=classes,
        branches=branches,
        windows=len(probes["windows"]["values"]),
    )
    return FormatParity(**{**asdict(result), "reasons": _reasons(result, form.lossy)})


def _reasons(parity: FormatParity, lossy: bool) -> tuple[str, ...]:
    off, kind = (parity.mean, "mean") if lossy else (parity.largest, "largest")
    reasons = []
    if not off <= parity.limit:
        worst = max(parity.answers, key=lambda key: parity.answers[key])
        reasons.append(
            f"its {kind} difference to the Keras model is {off:.2g}, more than {parity.limit:.2g} (worst: {worst})"
        )
    if parity.padding is not None and not parity.padding <= 1e-5:
        reasons.append(f"its answers change by {parity.padding:.2g} with the content of padding")
    if parity.classes:
        reasons.append(f"it calls {parity.classes} of {parity.windows} windows otherwise")
    return tuple(reasons)


def run_file(path: Path, probes: Mapping[str, Arrays], *, what: str, engine: str = "") -> dict[str, Arrays]:
    """A file's answers to every probe, from a process of its own.

    Raises:
        ExportError: it cannot be loaded or run; names the signal if the engine crashed.
    """
    with files.scratch() as folder:
        inputs, out = Path(folder) / "inputs.npz", Path(folder) / "out.npz"
        arrays = {f"{name}/{key}": value for name, probe in probes.items() for key, value in probe.items()}
        np.savez(inputs, **arrays)  # type: ignore[arg-type]
        arguments = {"model": str(path), "inputs": str(inputs), "out": str(out), "engine": engine}
        keys = run_apart("keras_seq.runtime.job:predict", arguments, what=what)
        with np.load(out) as stored:
            return {name: {key: stored[f"{name}/{key}"] for key in names} for name, names in keys.items()}


def scale_of(answer: str, spec: DataSpec) -> Any:
    """What a difference of an answer is divided by: deviations of the targets; 1 for probabilities."""
    if not spec.target_std:
        return 1.0
    deviation = np.asarray(spec.target_std, np.float64)
    return deviation[:, None] if answer == "quantiles" and spec.horizon else deviation


def has_trees(model: keras.Model) -> bool:
    """Whether a model holds a tree ensemble, which answers in steps."""
    from keras_seq.models.tree_ensemble import TreeEnsemble

    return any(isinstance(layer, TreeEnsemble) for layer in model._flatten_layers())


def largest_difference(apart: np.ndarray, limit: float, *, trees: bool) -> tuple[float, int]:
    """The largest of all differences, and how many answers of trees were left out of it as other branches."""
    ordered = np.sort(apart, axis=None)
    above = int((ordered > limit).sum())
    if not trees or not above or above > max(1, BRANCHES * ordered.size) or ordered[-1] > BRANCH:
        return float(ordered[-1]), 0
    return float(ordered[-1 - above]) if above < ordered.size else 0.0, above


def _largest(one: Arrays, other: Arrays, spec: DataSpec) -> float:
    apart = [np.abs(one[key] - other[key]) / scale_of(key, spec) for key in one if key != "class"]
    return max(float(np.where(np.isfinite(part), part, np.inf).max()) for part in apart)


def called_otherwise(truth: Arrays, answers: Arrays, limit: float, threshold: float | None) -> int:
    """Count of windows of another class that are no near ties."""
    if "class" not in truth:
        return 0
    differs = (truth["class"] != answers["class"]).reshape(len(truth["class"]))
    if "probability" in truth:
        margin = np.abs(truth["probability"][:, 0] - (0.5 if threshold is None else threshold))
    else:
        ordered = np.sort(truth["probabilities"], axis=-1)
        margin = (ordered[:, -1] - ordered[:, -2]) / 2
    return int((differs & (margin > limit)).sum())
