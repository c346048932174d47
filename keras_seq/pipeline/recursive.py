"""Forecasts longer than trained: the model goes on from its own forecasts, and its intervals from how that went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ConfigError, DataError
from keras_seq.evaluation.answer_columns import columns_for
from keras_seq.evaluation.answered import AnswerTable, answers_table, cut
from keras_seq.training import conformal
from keras_seq.training.decision import clusters

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.data.rows import Rows
    from keras_seq.data.series import Series
    from keras_seq.data.splits import Part

Float = NDArray[np.float32]
Int = NDArray[np.int64]
BATCH = 256
ORIGINS = 500  # most origins of a part that the recursion is tried from


@dataclass(frozen=True)
class Backtest:
    """How a recursion did on a part.

    Attributes:
        residual: truth less forecast ``(origins, steps, targets)``.
        unit: number of each origin's unit, ``(origins,)``.
        row: absolute row of its last step seen, ``(origins,)``.
    """

    residual: NDArray[np.float64]
    unit: Int
    row: Int


def answer_further(bundle: Bundle, rows: Rows, *, steps: int, every: int = 0) -> AnswerTable:
    """Forecasts ``steps`` ahead, beyond the horizon from the model's own forecasts.

    Args:
        bundle: of a forecast whose inputs are its targets.
        rows: of all units.
        steps: more than the horizon of the model.
        every: as ``answer_rows``.

    Returns:
        The table of ``answer_rows``, with a column ``recursive`` that is true beyond the horizon. Intervals there are
        of the same recursion on the validation part, which is said with the coverage they had on the test part.

    Raises:
        ConfigError: no forecast, too few steps, quantiles, or an input that nobody knows at later steps.
    """
    check_recursion(bundle, steps)
    series, windows = rows.series, cut(rows, bundle.spec, every=every)
    extend = _extender(bundle, steps)
    answers = extend(series.values, windows.start, windows.length)
    widths, notes = _widths(bundle, extend, steps)
    if widths is not None:
        value, horizon = answers["prediction"], bundle.spec.horizon
        for side, sign in (("lower", -1.0), ("upper", 1.0)):
            own = value + np.float32(sign) * widths
            if side in answers:  # within the horizon the model's own interval
                own[:, :horizon] = answers[side][:, :horizon]
            answers[side] = own
    last, unit = windows.start + windows.length - 1, series.unit_ids[windows.unit]
    spec = bundle.spec.model_copy(update={"horizon": steps})
    further = SimpleNamespace(spec=spec, schema=bundle.schema, experiment=bundle.experiment)
    table = answers_table(further, answers, unit=unit, last=rows.stamps[last], time=series.time[last], clock=rows.clock)
    names = columns_for(spec, bundle.schema, clock=rows.clock, levels=())
    table[names.word("recursive")] = np.tile(np.arange(1, steps + 1) > bundle.spec.horizon, len(last))
    return AnswerTable(table, windows.refused, (*rows.notes(bundle.schema), *notes), bundle.schema.reading)


def check_recursion(bundle: Bundle, steps: int) -> None:
    """Refuse a recursion that has no inputs to go on with.

    Raises:
        ConfigError: names the option, the columns and what to do.
    """
    spec = bundle.spec
    if spec.task != "forecast":
        raise ConfigError(f"--steps is for forecasts, but the model's task is '{spec.task}'; leave it out.")
    if steps <= spec.horizon:
        raise ConfigError(
            f"--steps {steps} is no more than the model's horizon of {spec.horizon} steps, which it answers by itself; "
            "leave --steps out, or ask for more."
        )
    if bundle.experiment.model.quantiles:
        raise ConfigError(
            "--steps goes on from one forecast a step, but the model answers with quantiles (model.quantiles); train "
            f"one with data.windows.horizon={steps}, or one without quantiles."
        )
    unknown = [name for name in spec.features if name not in spec.targets]
    if unknown:
        raise ConfigError(
            f"--steps {steps} needs inputs that the model forecasts itself, and nobody knows "
            f"{', '.join(repr(name) for name in unknown)} at the steps behind its horizon of {spec.horizon}. Train a "
            f"model with data.windows.horizon={steps}, or one whose inputs are its targets (data.features)."
        )


def _extender(bundle: Bundle, steps: int) -> Callable[[Float, Int, Int], dict[str, Float]]:
    """Function from rows, window starts and lengths to answers ``(windows, steps, targets)``."""
    import tensorflow as tf

    from keras_seq.export.serving_graph import served

    spec = bundle.spec
    graph = served(bundle.model, spec, decision=bundle.decision)
    run = tf.function(graph.function, input_signature=graph.signature)
    order = [spec.targets.index(name) for name in spec.features]

    def ask(history: Float) -> dict[str, Float]:
        window = history[:, -spec.time :]
        lengths = [np.full(len(window), window.shape[1], np.int32)] if graph.takes_lengths else []
        return {name: np.asarray(value, np.float32) for name, value in run(window, *lengths).items()}

    def extend(values: Float, start: Int, length: Int) -> dict[str, Float]:
        found: dict[str, Float] = {}
        for count in np.unique(length):
            same = np.flatnonzero(length == count)
            for low in range(0, len(same), BATCH):
                chosen = same[low : low + BATCH]
                history = values[start[chosen][:, None] + np.arange(count)]
                first = ask(history)
                pieces = [first["prediction"]]
                while sum(piece.shape[1] for piece in pieces) < steps:
                    history = np.concatenate([history, pieces[-1][:, :, order]], axis=1)
                    pieces.append(ask(history)["prediction"])
                ends = [name for name in ("lower", "upper") if name in first]
                parts: dict[str, Float] = {name: _padded(first[name], steps) for name in ends}
                parts["prediction"] = np.concatenate(pieces, axis=1)[:, :steps]
                for name, part in parts.items():
                    found.setdefault(name, np.empty((len(start), *part.shape[1:]), np.float32))[chosen] = part
        return found

    return extend


def _padded(values: Float, steps: int) -> Float:
    """Values ``(n, horizon, targets)`` up to ``steps``, NaN where there is none."""
    rest = np.full((len(values), steps - values.shape[1], values.shape[2]), np.nan, np.float32)
    return np.concatenate([values, rest], axis=1)


def backtest(
    bundle: Bundle, series: Series, part: Part, extend: Callable[[Float, Int, Int], dict[str, Float]], steps: int
) -> Backtest:
    """The recursion from every origin of a part (at most ``ORIGINS``, evenly) whose truths are all in it and known."""
    time, begins = bundle.spec.time, series.offsets[part.units]
    rows, units = [], []
    for unit, begin, first, last in zip(part.units, begins, part.first, part.last, strict=True):
        own = np.arange(max(first - 1, begin + time - 1), last - steps)
        rows.append(own)
        units.append(np.full(len(own), unit))
    row, unit = np.concatenate(rows), np.concatenate(units)
    truth = series.targets[row[:, None] + np.arange(1, steps + 1)] if len(row) else np.empty((0, steps, 1))
    known = np.flatnonzero(np.isfinite(truth).reshape(len(truth), -1).all(axis=1))
    if len(known) > ORIGINS:
        known = known[np.unique(np.linspace(0, len(known) - 1, ORIGINS).astype(int))]
    row, unit, truth = row[known], unit[known], truth[known].astype(np.float64)
    if not len(row):
        return Backtest(truth, unit, row)
    value = extend(series.values, row - time + 1, np.full(len(row), time))["prediction"]
    return Backtest(truth - value, unit, row)


def _widths(
    bundle: Bundle, extend: Callable[[Float, Int, Int], dict[str, Float]], steps: int
) -> tuple[Float | None, tuple[str, ...]]:
    """Half widths ``(steps, targets)`` of the recursion's intervals, and what is to be said of them."""
    said = f"steps {bundle.spec.horizon + 1} to {steps} go on from the model's own forecasts (recursive)"
    evaluation, data = bundle.experiment.evaluation, bundle.experiment.data
    if evaluation.conformal == "none":
        return None, (said,)
    try:
        prepared = bundle.prepared
    except DataError as error:
        return None, (f"{said}; no intervals there, as the data of training are not at hand: {error}",)
    series, coverage = prepared.series, evaluation.coverage
    held = backtest(bundle, series, prepared.splits.validation, extend, steps)
    by_time = data.split.by == "time" or series.n_units == 1
    cluster = clusters(held.unit, held.row, series.groups, block=steps if by_time else 0) if len(held.row) else held.row
    count, needed = len(np.unique(cluster)), conformal.needed(coverage)
    if count < needed:
        blocks = f"blocks of {steps} rows" if by_time else "units"
        return None, (
            f"{said}; no intervals there: evaluation.coverage={coverage:g} needs {needed} {blocks} of the validation "
            f"part from which so far can be forecast, there are {count}",
        )
    widths = np.asarray(conformal.fit_split(held.residual, cluster, coverage)["width"], np.float32)
    tried = backtest(bundle, series, prepared.splits.test, extend, steps)
    said += f", their intervals from {len(held.row)} origins of the validation part in {count} independent pieces"
    if len(tried.row):
        beyond = slice(bundle.spec.horizon, None)
        inside = np.abs(tried.residual[:, beyond]) <= widths[beyond]
        said += f"; on {len(tried.row)} origins of the test part they held {inside.mean():.1%} (wanted {coverage:.0%})"
    return widths, (said,)
