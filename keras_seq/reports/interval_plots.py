"""Pictures of prediction intervals over time, and of their coverage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_seq.config import Experiment
from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.drawing import BLUE, GREEN, GREY, ORANGE, RED, panels, save
from keras_seq.evaluation.postprocessed import Postprocessed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 200  # answers of a line, more would not be told apart
BANDS = 8


def intervals(
    answers: Postprocessed, spec: DataSpec, series: Series, experiment: Experiment, path: Path, *, part: str = "test"
) -> Path:
    """Intervals of a few units or windows over time, and coverage by step ahead or by predicted level.

    Args:
        answers: every answer of the part, with intervals.
        spec: of the model.
        series: tells the names of units.
        experiment: tells the points scored, the cap and the coverage wanted.
        path: PNG.
        part: named in the title.
    """
    one_step = spec.task == "forecast" and spec.horizon == 1
    figure, axes = panels(3 if one_step else 4)
    cap = experiment.data.target_cap
    answers = answers.as_taught(cap)
    scored = answers.scored(experiment, part)
    if one_step:
        _one_step(axes[0], scored, spec)
        _over_time(axes[1], scored, experiment)
        _by_level(axes[2], scored, experiment, spec)
    elif spec.task == "forecast":
        _windows(axes[:3], scored, spec)
        _by_step(axes[3], scored, experiment)
    else:
        _tracks(axes[:3], answers, series, spec)
        _by_level(axes[3], scored, experiment, spec)
    axes[0].legend(fontsize=8)
    low, high, *_ = _parts(scored)
    inside = _inside(scored)
    share = f"{100 * inside.mean():.1f}% of {inside.size} truths inside"
    wanted = f"wanted {100 * experiment.evaluation.coverage:g}%"
    capped = "" if cap is None else f", all capped at {cap:g} as taught"
    shown = _shown(spec)
    of_one = f" of {spec.targets[shown]}" if len(spec.targets) > 1 else ""
    width = f"mean width{of_one} {np.mean((high - low)[..., shown]):.4g}"
    return save(figure, path, f"{part.capitalize()} set: {share} ({wanted}), {width}{capped}")


def _windows(axes: list[Axes], scored: Postprocessed, spec: DataSpec) -> None:
    ahead = np.arange(1, spec.horizon + 1)
    for axis, window in zip(axes, np.linspace(0, len(scored.raw) - 1, 3).astype(int), strict=False):
        low, high, value, truth = (part[window, :, -1] for part in _parts(scored))
        _band(axis, ahead, low, high, value, truth)
        axis.set(xlabel="steps ahead", ylabel=spec.targets[-1], title=f"window {window}")


def _one_step(axis: Axes, scored: Postprocessed, spec: DataSpec) -> None:
    low, high, value, truth = (part[-SHOWN:, 0, -1] for part in _parts(scored))
    _band(axis, np.arange(len(value)), low, high, value, truth)
    axis.set(xlabel="step of the period", ylabel=spec.targets[-1], title=f"One step ahead, last {len(value)}")


def _tracks(axes: list[Axes], answers: Postprocessed, series: Series, spec: DataSpec) -> None:
    units, count = np.unique(answers.points.unit, return_counts=True)
    by_length = units[np.argsort(count, kind="stable")]
    for axis, place in zip(axes, (0.25, 0.6, 1.0), strict=False):
        unit = by_length[int(place * (len(by_length) - 1))]
        own = np.flatnonzero(answers.points.unit == unit)
        own = own[np.argsort(answers.points.row[own])]
        low, high, value, truth = (part[own, 0] for part in _parts(answers))
        _band(axis, answers.points.steps[own], low, high, value, truth)
        axis.set(xlabel="step", ylabel=spec.targets[0], title=str(series.unit_ids[unit]))


def _band(axis: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, value: np.ndarray, truth: np.ndarray) -> None:
    style = "o" if len(x) == 1 else "-"
    if len(x) == 1:
        axis.errorbar(x, value, yerr=[value - low, high - value], color=BLUE, alpha=0.5, capsize=4, label="interval")
    else:
        axis.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0, label="interval")
    axis.plot(x, value, style, color=BLUE, label="prediction")
    axis.plot(x, truth, "x" if len(x) == 1 else "--", color=GREY, label="truth")
    outside = (truth < low) | (truth > high)
    axis.plot(x[outside], truth[outside], ".", color=RED, markersize=4, label="truth outside")


def _by_step(axis: Axes, scored: Postprocessed, experiment: Experiment) -> None:
    inside = _inside(scored)
    axis.plot(
        np.arange(1, inside.shape[1] + 1),
        inside.mean(axis=(0, 2)),
        color=BLUE,
        label="all targets" if inside.shape[2] > 1 else None,
    )
    if inside.shape[2] > 1:
        axis.plot(np.arange(1, inside.shape[1] + 1), inside[..., -1].mean(axis=0), color=GREEN, label="last target")
    _wanted(axis, experiment)
    axis.set(xlabel="steps ahead", ylabel="share inside", title="Coverage by step ahead")


def _over_time(axis: Axes, scored: Postprocessed, experiment: Experiment) -> None:
    inside = _inside(scored)[:, 0].all(axis=-1).astype(float)
    window = max(10, len(inside) // 10)
    sums = np.cumsum(np.concatenate([[0.0], inside]))
    rolling = (sums[window:] - sums[:-window]) / window
    axis.plot(np.arange(window, len(inside) + 1), rolling, color=BLUE, label=f"last {window}")
    _wanted(axis, experiment)
    axis.set(xlabel="step of the period", ylabel="share inside", title="Coverage over time")


def _shown(spec: DataSpec) -> int:
    """Position of the target that is drawn where one has to stand for all: their units differ."""
    return -1 if spec.task == "forecast" else 0


def _by_level(axis: Axes, scored: Postprocessed, experiment: Experiment, spec: DataSpec) -> None:
    low, high, value, _ = (part[..., _shown(spec)].reshape(len(scored.raw), -1) for part in _parts(scored))
    inside = _inside(scored)[..., _shown(spec)].reshape(value.shape)
    order = np.argsort(value, axis=None)
    bands = [band for band in np.array_split(order, min(BANDS, max(1, order.size // 10))) if len(band)]
    x = [float(value.ravel()[band].mean()) for band in bands]
    axis.plot(x, [inside.ravel()[band].mean() for band in bands], "o-", color=BLUE, label="share inside")
    _wanted(axis, experiment)
    axis.set(
        xlabel=f"predicted level of {spec.targets[_shown(spec)]}",
        ylabel="share inside",
        title="Coverage and width by level",
    )
    right = axis.twinx()
    right.plot(x, [(high - low).ravel()[band].mean() for band in bands], "s--", color=ORANGE, markersize=4)
    right.set_ylabel("mean width", color=ORANGE)
    right.set_ylim(0, None)


def _wanted(axis: Axes, experiment: Experiment) -> None:
    axis.axhline(experiment.evaluation.coverage, color=GREY, linestyle=":", label="wanted")
    axis.set_ylim(min(0.5, axis.get_ylim()[0]), 1.02)  # from half on, and all that lies below
    axis.legend(fontsize=8, loc="lower left")


def _parts(answers: Postprocessed) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lower, upper, value and truth, all of the truth's shape."""
    truth = answers.points.truth
    assert answers.lower is not None
    assert answers.upper is not None
    assert answers.value is not None
    return answers.lower, answers.upper, answers.value, truth


def _inside(answers: Postprocessed) -> np.ndarray:
    low, high, _, truth = _parts(answers)
    return (truth >= low) & (truth <= high)
