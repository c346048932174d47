"""Pictures of time: error by band, answers on growing prefixes, detection delay, backtests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq.drawing import BLUE, GREEN, GREY, ORANGE, RED, panels, save
from keras_seq.evaluation.bands import Band, label
from keras_seq.evaluation.temporal import Detection, PredictionEvolution

CHANCE = {"auc_roc": 0.5}
SIZES = ("rmse", "mae")  # errors are read from zero
PIECES = 20  # shares of a sequence at which answers are drawn


def bands(tables: Mapping[str, Sequence[Band]], metric: str, path: Path) -> Path:
    """A panel of bars for every way of banding, the number of points written on them."""
    figure, axes = panels(len(tables), columns=2, width=5.0)
    for axis, (name, rows) in zip(axes, tables.items(), strict=True):
        heights = [band.values[metric] for band in rows]
        axis.bar(range(len(rows)), heights, color=BLUE)
        for position, (band, height) in enumerate(zip(rows, heights, strict=True)):
            axis.text(position, height, f"{band.points}", ha="center", va="bottom", fontsize=7, color=GREY)
        axis.set_xticks(
            range(len(rows)), [label(band.low, band.high) for band in rows], rotation=25, ha="right", fontsize=8
        )
        axis.set(xlabel=name, ylabel=metric)
        axis.grid(axis="x", visible=False)
    return save(figure, path, f"{metric} by band (numbers: points)")


def evolution(
    evolved: PredictionEvolution,
    path: Path,
    *,
    detected: Detection | None = None,
    name: str = "prediction",
    cap: float | None = None,
) -> Path:
    """Answers against the share seen: by class with the calls, or the error (truth capped) and six units' tracks."""
    if detected is not None:
        return _by_class(evolved, detected, path)
    points = evolved.points
    value = points.prediction.reshape(len(points.unit), -1)[:, 0]
    truth = np.minimum(points.truth.reshape(len(points.unit), -1)[:, 0], np.inf if cap is None else cap)
    figure, (spread, tracks) = panels(2, width=5.4)
    centre, low, middle, high = quantiles_by_share(evolved, value - truth)
    spread.fill_between(centre, low, high, color=BLUE, alpha=0.2, label="10-90 %")
    spread.plot(centre, middle, color=BLUE, label="median")
    spread.axhline(0, color=GREY, linestyle=":")
    spread.set(xlabel="share of the sequence seen", ylabel="prediction - truth", title="Error as steps arrive")
    spread.legend(fontsize=8)
    units, capped = np.unique(points.unit), "" if cap is None else f", capped at {cap:g}"
    for unit in units[np.linspace(0, len(units) - 1, min(6, len(units))).astype(int)]:
        own = points.unit == unit
        (line,) = tracks.plot(points.steps[own], value[own], linewidth=1)
        tracks.plot(points.steps[own], truth[own], linestyle=":", linewidth=1, color=line.get_color())
    tracks.set(xlabel="steps seen", ylabel=name, title=f"Six units (dotted: truth{capped})")
    return save(figure, path, f"{len(units)} units, {len(value)} answers")


def by_origin(runs: Sequence[Mapping[str, Any]], metric: str, path: Path) -> Path:
    """The deciding metric of every origin of a backtest, and its baseline's."""
    figure, (axis,) = panels(1, width=6.0)
    for seed, colour in zip(sorted({run["seed"] for run in runs}), (BLUE, ORANGE, GREEN, RED) * 9, strict=False):
        own = [run for run in runs if run["seed"] == seed]
        axis.plot(
            [run["origin"] for run in own],
            [run["metrics"]["test"][metric] for run in own],
            "o-",
            color=colour,
            label=f"seed {seed}",
        )
    based = [run for run in runs if metric in run["metrics"].get("baseline", {}).get("test", {})]
    if based:
        heights = [run["metrics"]["baseline"]["test"][metric] for run in based]
        axis.plot([run["origin"] for run in based], heights, "s--", color=GREY, label="baseline")
    axis.set(xlabel="origin (later is to the right)", ylabel=metric)
    axis.margins(y=0.1)
    if metric in CHANCE:
        axis.axhline(CHANCE[metric], color=GREY, linewidth=1, linestyle=":", label="chance")
    elif metric in SIZES:
        axis.set_ylim(bottom=0)
    axis.set_xticks(sorted({run["origin"] for run in runs}))
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return save(figure, path, "Backtest: trained anew at every origin")


def _by_class(evolved: PredictionEvolution, detected: Detection, path: Path) -> Path:
    figure, (scores, calls) = panels(2, width=5.4)
    points = evolved.points
    for value, colour, name in ((0, BLUE, "class 0"), (1, ORANGE, "class 1")):
        chosen = points.truth == value
        if chosen.any():
            own = PredictionEvolution(points.select(chosen), evolved.length[chosen])
            centre, low, middle, high = quantiles_by_share(own, own.points.prediction)
            scores.fill_between(centre, low, high, color=colour, alpha=0.2)
            scores.plot(centre, middle, color=colour, label=f"{name}: median, 10-90 %")
    scores.axhline(detected.threshold, color=RED, linestyle="--", label=f"threshold {detected.threshold:.2f}")
    scores.set(xlabel="share of the sequence seen", ylabel="probability", ylim=(0, 1), title="Answers as steps arrive")
    scores.legend(fontsize=8)
    steps = np.sort(detected.step[np.isfinite(detected.step)])
    share = np.arange(1, len(steps) + 1) / max(detected.positives, 1)
    calls.step(np.r_[0, steps], np.r_[0, share], where="post", color=ORANGE)
    calls.axhline(detected.detected, color=GREY, linestyle=":", label=f"called in the end: {detected.detected:.0%}")
    calls.set(xlabel="steps seen", ylabel="share of class 1 called for good", ylim=(0, 1), title="Detection delay")
    calls.legend(fontsize=8)
    return save(figure, path, f"{len(np.unique(points.unit))} units, {detected.positives} of class 1")


def quantiles_by_share(evolved: PredictionEvolution, value: np.ndarray, pieces: int = PIECES) -> tuple[np.ndarray, ...]:
    """Shares seen, and the 10, 50 and 90 % quantiles over units of ``value`` as it stood then, ``(shares,)`` each.

    Every unit counts once at every share from its first answer on, with its last answer up to there. Pieces of the
    share would hold now these units and now those: answers of short units lie farther apart than pieces.
    """
    points = evolved.points
    shares = np.arange(1, pieces + 1) / pieces
    units = np.unique(points.unit)
    stood = np.full((len(units), pieces), np.nan)
    for row, unit in zip(stood, units, strict=True):
        own = np.flatnonzero(points.unit == unit)
        own = own[np.argsort(points.steps[own], kind="stable")]
        reached = np.ceil(shares * evolved.length[own[0]] - 1e-9)
        last = np.searchsorted(points.steps[own], reached, side="right") - 1
        row[:] = np.where(last >= 0, value[own[np.maximum(last, 0)]], np.nan)
    shown = np.isfinite(stood).any(axis=0)
    low, middle, high = np.nanquantile(stood[:, shown], [0.1, 0.5, 0.9], axis=0)
    return shares[shown], low, middle, high
