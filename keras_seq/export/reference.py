"""What a version was trained on and how it answers, in a few hundred kilobytes: what drift is measured against.

::

    <version>/keras_seq/
      reference.npz     rows, row_unit, sample: training windows; answers, answer_unit, errors: held-out windows
      reference.json    names and statistics of the columns, where the rows come from

A **row** is a window as the model sees it, in one number a column. Where windows roll through a unit (sliding windows,
models that answer at every step) it is the window's newest step, column ``T24``: the steps before were the newest of
requests before. Where a window is a whole unit (a cast, an utterance), it is mean and deviation over the window's
steps, columns ``T24 mean`` and ``T24 spread``.

Rows are kept in **runs**: whole units in their order in time. Rows of a unit are alike and follow each other, so that
no test for independent rows holds; thresholds are found by drawing runs (``serving.monitor.calibrate``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq import files
from keras_seq.errors import ExportError
from keras_seq.tasks import TASKS
from keras_seq.training.metrics import deviations

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.spec import DataSpec
    from keras_seq.data.windows import WindowIndex, WindowRuns

Float = NDArray[np.float32]
Int = NDArray[np.int64]
FORMAT = 1
ARRAYS, FACTS = "reference.npz", "reference.json"
ROWS = 20_000  # most rows kept in runs, of inputs and of answers
SAMPLE = 2_000  # of them, spread evenly: what windows of traffic are compared with
WIDTH = 16  # most columns of answers; of longer ones so many, spread evenly
BATCH = 64
DECILES = tuple(np.round(np.arange(0.1, 0.95, 0.1), 1).tolist())
ROLLING, WHOLE = ("last",), ("mean", "spread")


@dataclass(frozen=True)
class TrainingReference:
    """Rows and answers a version is held against.

    Attributes:
        features: names of the inputs, in the order of the feature axis.
        views: what a row holds of each feature: ``("last",)`` or ``("mean", "spread")``.
        rows: training windows, ``(rows, len(views) * features)`` float32, raw units, NaN where missing.
        row_unit: unit number of each row, ``(rows,)``; rows of a unit follow each other in time.
        answer: name of the output that is followed.
        picked: positions of the flattened output that are followed, ``(width,)``.
        answers: of held-out windows, ``(answers, width)`` float32.
        answer_unit: ``(answers,)``.
        errors: of each held-out answer, ``(answers,)`` float32: mean absolute error in the target's unit, or
            1 - probability of the true class; NaN where the truth is unknown.
        facts: content of ``reference.json``.
    """

    features: tuple[str, ...]
    views: tuple[str, ...]
    rows: Float
    row_unit: Int
    answer: str
    picked: tuple[int, ...]
    answers: Float
    answer_unit: Int
    errors: Float
    facts: Mapping[str, Any]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of ``rows``."""
        return name_columns(self.features, self.views)

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """Names of the columns of ``answers``."""
        if len(self.picked) == 1:
            return (self.answer,)
        return tuple(f"{self.answer} {position}" for position in self.picked)


def name_columns(features: Sequence[str], views: Sequence[str]) -> tuple[str, ...]:
    """``T24`` for the newest step, ``T24 mean`` and ``T24 spread`` for whole windows; views in turn."""
    return tuple(name if view == "last" else f"{name} {view}" for view in views for name in features)


def rows_of(values: NDArray[Any], lengths: NDArray[Any] | None, views: Sequence[str]) -> Float:
    """Windows as rows.

    Args:
        values: ``(windows, time, features)``, or single steps ``(windows, features)``; NaN where missing.
        lengths: real steps of each window, the rest is padding; None: all.
        views: of a reference.

    Returns:
        ``(windows, len(views) * features)`` float32; NaN where a window has no finite value, as all columns of
        windows without steps.
    """
    values = np.asarray(values, np.float32)
    if values.ndim == 2:
        values = values[:, None]
    count, time, features = values.shape
    ends = np.full(count, time) if lengths is None else np.clip(np.asarray(lengths).reshape(-1)[:count], 0, time)
    if tuple(views) == ROLLING:
        if not time:
            return np.full((count, features), np.nan, np.float32)
        newest = values[np.arange(count), np.maximum(ends, 1) - 1]
        return np.where(ends[:, None] > 0, newest, np.nan).astype(np.float32)
    real = (np.arange(time) < ends[:, None])[:, :, None] & np.isfinite(values)
    counted = real.sum(axis=1)
    seen = np.where(real, values, 0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = seen.sum(axis=1) / counted
        spread = np.sqrt(np.where(real, (seen - mean[:, None]) ** 2, 0).sum(axis=1) / counted)
    columns = {"mean": mean, "spread": spread}
    return np.concatenate([columns[view] for view in views], axis=1).astype(np.float32)


def make_reference(bundle: Bundle) -> TrainingReference:
    """The reference of a bundle from its own data: training rows, answers and errors on validation.

    Raises:
        DataError: the data are missing, or differ from those the bundle was trained on.
    """
    prepared = bundle.prepared
    rolling = bundle.spec.per_step or bundle.experiment.data.windows.mode == "sliding"
    views = ROLLING if rolling else WHOLE
    rows, row_unit = part_rows(prepared, "train", views)
    picked, answers, answer_unit, errors = part_answers(bundle, prepared, "validation")
    features, answer = tuple(bundle.spec.features), TASKS[bundle.spec.task].output
    facts = {
        "format": FORMAT,
        "task": bundle.spec.task,
        "classes": list(bundle.spec.classes),
        "target_cap": bundle.experiment.data.target_cap,
        "features": list(features),
        "views": list(views),
        "answer": answer,
        "picked": list(picked),
        "words": {str(column.feature): list(column.vocabulary) for column in bundle.spec.words},
        "width": _width(bundle),
        "scale": _scale(bundle.spec),
        "rows_from": "train",
        "answers_from": "validation",
        "split": bundle.data.get("split"),
        "units": {"rows": len(np.unique(row_unit)), "answers": len(np.unique(answer_unit))},
        "columns": describe_columns(rows, name_columns(features, views)),
        "answers": describe_columns(answers, [f"{answer} {position}" for position in picked]),
        "errors": describe_columns(errors[:, None], ["error"])[0],
    }
    return TrainingReference(features, views, rows, row_unit, answer, picked, answers, answer_unit, errors, facts)


def part_rows(
    prepared: Prepared, part: str, views: Sequence[str], *, longest: int | None = None, most: int = ROWS
) -> tuple[Float, Int]:
    """Rows of a part in runs and the unit of each, units in an order drawn once, at most about ``most`` rows.

    ``longest``: steps of a window that a model answering at every step takes; None: as many as the data have.
    """
    series, spec = prepared.series, prepared.spec
    index = _whole_units(prepared.index[part], most, steps=spec.per_step)
    if spec.per_step:  # every step of a window is the newest of one request
        row, unit = _steps(index, longest or spec.time)
        return np.asarray(series.values[row[:most]], np.float32), unit[:most]
    if tuple(views) == ROLLING:
        row = index.start + index.length - 1
        return np.asarray(series.values[row], np.float32), np.asarray(index.unit, np.int64)
    spans = zip(index.start, index.length, strict=True)
    rows = [rows_of(series.values[start : start + steps][None], None, views) for start, steps in spans]
    groups = np.unique(series.groups, return_inverse=True)[1].reshape(-1)
    return np.concatenate(rows), groups[index.unit].astype(np.int64)  # whole units of one group are alike


def _steps(index: WindowIndex, longest: int) -> tuple[Int, Int]:
    """Row and unit of every step of windows that a model answers at, without those of an earlier part."""
    counts = np.minimum(index.length, longest)
    position = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    row = np.repeat(index.start, counts) + position
    own = row >= np.repeat(index.first, counts)
    return row[own], np.repeat(index.unit, counts)[own].astype(np.int64)


def _whole_units(index: WindowIndex | WindowRuns, most: int, *, steps: bool) -> WindowIndex:
    """The windows of whole units, drawn until there are about ``most`` answers; of a longer unit its first ones."""
    from keras_seq.data.windows import WindowRuns

    if isinstance(index, WindowRuns):  # of a store on disk: a few numbers a unit, whatever its windows
        counts, longest = np.asarray(index.run_count), np.full(len(index.run_count), index.longest if steps else 1)
    else:
        starts = np.flatnonzero(np.diff(index.unit, prepend=-1))
        counts = np.diff(np.append(starts, len(index)))
        longest = np.maximum.reduceat(index.length, starts) if steps else np.ones(len(starts), np.int64)
    before = np.cumsum(counts) - counts
    numbers, kept = [], 0
    for unit in np.random.default_rng(0).permutation(len(counts)):
        take = int(min(counts[unit], max(1, (most - kept) // longest[unit])))
        numbers.append(before[unit] + np.arange(take))
        kept += take * int(longest[unit])
        if kept >= most:
            break
    return index.take(np.concatenate(numbers))


def part_answers(
    bundle: Bundle, prepared: Prepared, part: str, most: int = ROWS
) -> tuple[tuple[int, ...], Float, Int, Float]:
    """Answers to the windows of ``part_rows``, in their order, as a server gives them.

    Returns:
        Positions of the flattened answer that are followed, answers, unit and error of each.
    """
    from keras_seq.models.decision import decide_array
    from keras_seq.training.predictions import locate, middle, predict_windows

    spec, series = bundle.spec, prepared.series
    index = _whole_units(prepared.index[part], most, steps=spec.per_step)
    raw = predict_windows(bundle.model, series, index, spec, bundle.experiment.data, batch_size=BATCH)
    levels = tuple(bundle.experiment.model.quantiles)
    answer = np.asarray(decide_array(raw, spec, bundle.decision, levels)[TASKS[spec.task].output])
    truth, unit, row = locate(series, index, spec)
    if spec.per_step:  # steps of an earlier part, in a split by time, are not this part's
        counts = np.minimum(index.length, spec.time)
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        row = np.repeat(index.start, counts) + steps
        answer = answer[row >= np.repeat(index.first, counts)]
        row, unit = _steps(index, spec.time)
        truth = series.targets[row]
    if not spec.classifies and answer.size != truth.size and levels:
        answer = np.asarray(middle(answer, levels))
    errors = errors_of(answer, truth, spec.task, cap=bundle.experiment.data.target_cap, scale=_scale(spec))
    flat = answer.reshape(len(answer), -1).astype(np.float32)
    picked = tuple(np.unique(np.linspace(0, flat.shape[1] - 1, WIDTH).astype(int)).tolist())
    return picked, flat[:most, list(picked)], np.asarray(unit[:most], np.int64), errors[:most]


def _width(bundle: Bundle) -> int:
    """Numbers of the answer that is followed."""
    spec = bundle.spec
    if spec.classifies:
        return len(spec.classes) if spec.task == "multiclass" else 1
    return len(spec.targets) * max(spec.horizon, 1)


def _scale(spec: DataSpec) -> list[float] | None:
    """Deviation of each number of an answer of several targets; None: one target, whose errors stay in its unit."""
    if len(spec.target_std) < 2:
        return None
    return np.tile(deviations(spec.target_std), max(spec.horizon, 1)).tolist()


def errors_of(
    answers: NDArray[Any],
    truth: NDArray[Any],
    task: str,
    *,
    cap: float | None = None,
    scale: Sequence[float] | None = None,
) -> Float:
    """One error an answer.

    Args:
        answers: of a server: ``(n, ...)`` values, probabilities of the positive class or of every class.
        truth: the same shape or ``(n,)``; class numbers for classes.
        task: of the model's spec.
        cap: ``data.target_cap`` of the training.
        scale: deviation of each number of an answer, where it holds several targets.

    Returns:
        ``(n,)`` float32: mean absolute error, or for classes 1 - probability of the true class; NaN if unknown.
    """
    flat = np.asarray(answers, np.float64).reshape(len(answers), -1)
    known = np.asarray(truth, np.float64).reshape(len(answers), -1)
    if task == "binary":
        return np.abs(flat[:, 0] - known[:, 0]).astype(np.float32)
    if task == "multiclass":
        label = known[:, 0]
        given = np.isfinite(label) & (label >= 0) & (label < flat.shape[1])
        chosen = flat[np.arange(len(flat)), np.where(given, label, 0).astype(int)]
        return np.where(given, 1 - chosen, np.nan).astype(np.float32)
    if cap is not None:
        known = np.minimum(known, cap)
    unit = 1.0 if scale is None else np.asarray(scale, np.float64)
    return np.abs((flat - known) / unit).mean(axis=1).astype(np.float32)


def describe_columns(rows: NDArray[Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """Per column: count, missing share, moments, range, deciles and counts between them; None where all is missing."""
    from keras_seq.data.running_stats import Moments

    moments, columns = Moments(len(names)), []
    moments.add(rows)
    for position, name in enumerate(names):
        column = rows[:, position]
        clean = column[np.isfinite(column)]
        facts: dict[str, Any] = {"name": name, "count": len(column), "missing": 1 - len(clean) / max(1, len(column))}
        if len(clean):
            edges = np.quantile(clean, DECILES, method="inverted_cdf")
            facts |= {"mean": float(moments.mean[position]), "std": float(moments.std[position])}
            facts |= {"minimum": float(clean.min()), "maximum": float(clean.max()), "deciles": edges.tolist()}
            bins = np.searchsorted(edges, clean, side="left")
            facts["histogram"] = np.bincount(bins, minlength=len(edges) + 1).tolist()
        columns.append(facts)
    return columns


def write_reference(reference: TrainingReference, folder: str | Path) -> list[Path]:
    """Write ``reference.npz`` and ``reference.json`` into ``folder``, a version's ``keras_seq``."""
    folder = Path(folder)
    with files.new_file(folder / ARRAYS) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            rows=reference.rows,
            row_unit=reference.row_unit.astype(np.int32),
            sample=spread_evenly(len(reference.rows)).astype(np.int32),
            answers=reference.answers,
            answer_unit=reference.answer_unit.astype(np.int32),
            errors=reference.errors,
        )
    return [folder / ARRAYS, files.write_json(folder / FACTS, dict(reference.facts))]


def spread_evenly(rows: int, count: int = SAMPLE) -> Int:
    """Numbers of at most ``count`` of ``rows``, evenly over them."""
    return np.unique(np.linspace(0, max(rows - 1, 0), count).astype(np.int64)) if rows else np.zeros(0, np.int64)


def read_reference(version: str | Path) -> TrainingReference | None:
    """The reference of a version folder; None where it has none.

    Raises:
        ExportError: it has one that cannot be read.
    """
    folder = Path(version) / "keras_seq"
    if not (folder / ARRAYS).is_file() or not (folder / FACTS).is_file():
        return None
    try:
        facts = files.read_json(folder / FACTS)
        with np.load(folder / ARRAYS, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("rows", "row_unit", "answers", "answer_unit", "errors")}
        reference = TrainingReference(
            features=tuple(map(str, facts["features"])),
            views=tuple(map(str, facts["views"])),
            rows=arrays["rows"].astype(np.float32),
            row_unit=arrays["row_unit"].astype(np.int64),
            answer=str(facts["answer"]),
            picked=tuple(map(int, facts["picked"])),
            answers=arrays["answers"].astype(np.float32),
            answer_unit=arrays["answer_unit"].astype(np.int64),
            errors=arrays["errors"].astype(np.float32),
            facts=facts,
        )
        _check(reference)
    except (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError) as error:
        raise ExportError(
            f"The reference of version '{version}' cannot be read ({type(error).__name__}: {error}); "
            "export the bundle again with 'python -m keras_seq.export'."
        ) from None
    return reference


def _check(reference: TrainingReference) -> None:
    if reference.facts.get("format", 0) > FORMAT:
        raise ValueError(f"format {reference.facts['format']}, this keras_seq reads up to {FORMAT}")
    if reference.views not in (ROLLING, WHOLE):
        raise ValueError(f"views {reference.views}")
    shapes = {
        "rows": (reference.rows.shape, (len(reference.row_unit), len(reference.columns))),
        "answers": (reference.answers.shape, (len(reference.answer_unit), len(reference.picked))),
        "errors": (reference.errors.shape, (len(reference.answer_unit),)),
    }
    for name, (shape, wanted) in shapes.items():
        if shape != wanted:
            raise ValueError(f"array '{name}' has shape {shape}, expected {wanted}")
