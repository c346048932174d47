"""Pictures of a study as PNG. Every one of them says something with one trial, and where all failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.drawing import BLUE, GREEN, GREY, ORANGE, RED, panels, save
from tuning.history import (
    absent,
    best_so_far,
    default_of,
    fields,
    ranked,
    reference_of,
    sane_limit,
    scored,
    text_of,
    text_of_reference,
)
from tuning.importance import FieldImportance, importance
from tuning.records import Record, Study
from tuning.scales import Scale, scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADES = "viridis_r"  # dark is better; even in grey and with colour-vision deficiency
CURVES = 5
_UNUSED = -0.1  # height of a field that a trial did not have


def draw_all(study: Study, folder: Path) -> dict[str, Path]:
    """Draw every picture that the study has something for: name -> file."""
    records = study.records()
    shares = importance(study, records)
    drawings: dict[str, Callable[[Path], Path] | None] = {
        "history": lambda path: history(study, records, path),
        "importance": (lambda path: importances(shares, path)) if shares else None,
        "parallel": (lambda path: parallel(study, records, path)) if _drawable(records) else None,
        "slices": (lambda path: slices(study, records, path)) if _drawable(records) else None,
        "curves": (lambda path: curves(study, records, path)) if any(r.epochs for r in records) else None,
        "costs": (lambda path: costs(records, path)) if any(r.costs for r in records) else None,
    }
    return {name: draw(folder / f"{name}.png") for name, draw in drawings.items() if draw}


def history(study: Study, records: Sequence[Record], path: Path) -> Path:
    """Score by trial, the best so far, the configuration's own score; pruned and failed trials marked."""
    figure, (axis,) = panels(1, width=8.0)
    with_score = scored(records)
    sign = _Sign(study, with_score)
    for status, colour, marker in (("completed", BLUE, "o"), ("pruned", ORANGE, "v")):
        own = [record for record in with_score if record.status == status]
        if own:
            sizes = [18 + 24 * record.budget for record in own]
            numbers, heights = [record.number for record in own], [sign.clip(record.score) for record in own]
            axis.scatter(numbers, heights, s=sizes, c=colour, marker=marker, alpha=0.75, label=f"{status} ({len(own)})")
    best = best_so_far(records, higher=study.higher, by_number=True)
    if best:
        steps = [(int(trial), score) for trial, score in best.items()]
        axis.step(*zip(*steps, strict=True), where="post", color=GREEN, label=f"best so far: {steps[-1][1]:.4g}")
    default = reference_of(records)
    if default is not None and default.score is not None:
        label = f"configuration itself: {text_of_reference(default)}"
        axis.axhline(sign.clip(default.score), color=GREY, linestyle="--", label=label)
    _failed(axis, records)
    beyond = sign.beyond()
    axis.set(xlabel="trial", ylabel=_objective(study) + (f"\n{beyond} worse, drawn at the edge" if beyond else ""))
    _whole_numbers(axis)
    if not with_score:
        axis.set_yticks([])
        axis.text(0.5, 0.5, "no trial has a score", transform=axis.transAxes, ha="center", color=GREY)
    axis.set_xlim(-0.5, max([record.number for record in records], default=0) + 0.5)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8)
    small = ", small marks: part of the budget" if any(record.budget < 1 for record in with_score) else ""
    return save(figure, path, f"{study.name}: {len(records)} trials{small}")


def importances(shares: FieldImportance, path: Path) -> Path:
    """Share of the score's variance by field, alone and with interactions."""
    figure, (axis,) = panels(1, width=8.0)
    figure.set_figheight(1.6 + 0.42 * len(shares.fields))
    rows = np.arange(len(shares.fields))
    axis.barh(rows, shares.total, color=BLUE, alpha=0.35, label="with interactions")
    axis.barh(rows, shares.main, height=0.45, color=BLUE, label="alone")
    axis.set_yticks(rows, shares.fields, fontsize=8)
    axis.invert_yaxis()
    axis.set(xlabel="share of the variance of the score", xlim=(0, max(1.0, *shares.total)))
    axis.legend(fontsize=8, loc="lower right")
    weak = "; too little to rank by" if shares.weak else ""
    part = f" of {shares.budgets} budgets, ranked within each" if shares.budgets > 1 else ""
    title = f"Importance: forest of {shares.trials} trials{part}, out-of-bag $R^2$ {shares.explained:.2f}{weak}"
    return save(figure, path, title)


def parallel(study: Study, records: Sequence[Record], path: Path) -> Path:
    """A line a trial through all its values to its score; darker is better, the best three are orange."""
    chosen = scored(records)
    scales = [scale_of(study, name, chosen) for name in _shown(study, chosen)]
    sign = _Sign(study, chosen)
    figure, (axis,) = panels(1, width=max(6.0, 1.35 * (len(scales) + 1)))
    axis.grid(False)
    shades = _shades()
    top = {record.trial for record in ranked(chosen, higher=study.higher)[:3]}
    for record in sorted(chosen, key=lambda record: (record.trial in top, sign.goodness(record.score))):
        heights = [_place(scale, record) if scale.field in record.values else _UNUSED for scale in scales]
        heights.append(sign.height(record.score))
        of_top = record.trial in top
        colour = ORANGE if of_top else shades(sign.goodness(record.score))
        style: dict[str, Any] = {"linewidth": 2.2, "alpha": 1.0} if of_top else {"linewidth": 1.0, "alpha": 0.55}
        axis.plot(
            range(len(heights)), heights, color=colour, linestyle=":" if record.status == "pruned" else "-", **style
        )
    for place, scale in enumerate(scales):
        ticks = [(_UNUSED if label == text_of(absent) else height, _brief(label)) for height, label in scale.ticks()]
        _upright(axis, place, ticks)
    _upright(axis, len(scales), sign.ticks())
    names = [_short(scale.field) for scale in scales] + [study.objective]
    axis.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize=8)
    axis.set_yticks([])
    axis.set(xlim=(-0.15, len(scales) + 0.4), ylim=(-0.16, 1.06))
    axis.spines[:].set_visible(False)
    return save(figure, path, "Values of all trials (orange: the best three; dotted: pruned; dark: better)")


def slices(study: Study, records: Sequence[Record], path: Path) -> Path:
    """Score against every field, one panel each; dark trials are later ones."""
    chosen = scored(records)
    scales = [scale_of(study, name, chosen) for name in _shown(study, chosen)]
    sign = _Sign(study, chosen)
    figure, axes = panels(len(scales), columns=min(3, len(scales)), width=3.8)
    figure.set_figheight(3.1 * -(-len(scales) // 3))
    last = max(record.number for record in chosen) or 1
    best = ranked(chosen, higher=study.higher)[:1]
    for axis, scale in zip(axes, scales, strict=True):
        complete = [record for record in chosen if record.status != "pruned"]
        pruned = [record for record in chosen if record.status == "pruned"]
        for group, marker, size in ((pruned, "v", 14), (complete, "o", 24)):
            places = _jittered(scale, group)
            heights = [sign.clip(record.score) for record in group]
            ages = [record.number / last for record in group]
            axis.scatter(places, heights, s=size, c=ages, cmap=SHADES, vmin=0, vmax=1, marker=marker, alpha=0.8)
        for group, colour, label in ((_listed(default_of(chosen)), GREY, "configuration"), (best, ORANGE, "best")):
            for record in group:
                axis.plot(
                    _place(scale, record),
                    sign.clip(record.score),
                    "*",
                    color=colour,
                    markersize=13,
                    markeredgecolor="white",
                )
                axis.plot([], [], "*", color=colour, label=label)
        axis.set_xticks(*zip(*_thinned(scale.ticks()), strict=True), fontsize=7)
        axis.set_xlabel(_short(scale.field) + (" (log)" if scale.log else ""), fontsize=8)
        axis.set_xlim(-0.06, 1.06)
        axis.tick_params(axis="y", labelsize=7)
    for axis in axes[:: min(3, len(scales))]:
        axis.set_ylabel(_objective(study), fontsize=8)
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(fontsize=7)
    return save(figure, path, "Score by value (dark: later trials; triangles: pruned)")


def curves(study: Study, records: Sequence[Record], path: Path) -> Path:
    """Training histories of the best trials and of the configuration itself; mean over folds."""
    best = [record for record in ranked(records, higher=study.higher) if record.epochs][:CURVES]
    default = default_of(records)
    if default is not None and default.epochs and default not in best:
        best.append(default)
    best = best or [record for record in records if record.epochs][-CURVES:]
    known = {name for record in best for row in record.epochs for name in row}
    watched = [name for name in (f"val_{study.objective}", "val_loss", "loss") if name in known][:2]
    figure, axes = panels(max(len(watched), 1), columns=2, width=5.2)
    for axis, name in zip(axes, watched, strict=False):
        for record, colour in zip(best, (ORANGE, BLUE, GREEN, RED, "#CC79A7", GREY), strict=False):
            epochs, values = _curve(record, name)
            if epochs:
                style = "--" if record.default else "-"
                label = f"trial {record.number}" + (" (configuration)" if record.default else "")
                axis.plot(epochs, values, style, color=colour, marker="." if len(epochs) < 3 else None, label=label)
        axis.set(xlabel="epoch", ylabel=name)
        _whole_numbers(axis)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    return save(figure, path, "Training histories of the best trials")


def costs(records: Sequence[Record], path: Path) -> Path:
    """Seconds besides fitting and resident memory of the worker, by trial: neither should grow."""
    shown = [("overhead", "overhead [s]"), ("resident_mb", "resident memory [MB]"), ("total", "duration [s]")]
    figure, axes = panels(len(shown), columns=3, width=3.8)
    workers = sorted({record.worker for record in records})
    for axis, (name, label) in zip(axes, shown, strict=True):
        for worker, colour in zip(workers, (BLUE, ORANGE, GREEN, RED, GREY) * len(workers), strict=False):
            own = [record for record in records if record.worker == worker and name in record.costs]
            numbers, values = [record.number for record in own], [record.costs[name] for record in own]
            axis.plot(numbers, values, "o-", markersize=3, linewidth=0.8, color=colour, label=worker or None)
        axis.set(xlabel="trial", ylabel=label)
        axis.set_ylim(0, 1.08 * max((record.costs.get(name, 0.0) for record in records), default=0.0) or 1.0)
        _whole_numbers(axis)
    if 1 < len(workers) <= 5:
        axes[0].legend(fontsize=7, title="worker", title_fontsize=7)
    return save(figure, path, "Costs by trial")


class _Sign:
    """Scores as heights: diverged ones at the edge, and goodness from 0 (worst shown) to 1 (best)."""

    def __init__(self, study: Study, records: Sequence[Record]) -> None:
        self.higher = study.higher
        self.scores = [float(record.score or 0.0) for record in records]
        if self.scores:
            self.worst = sane_limit(self.scores, higher=self.higher)
            self.best = max(self.scores) if self.higher else min(self.scores)

    def clip(self, score: float | None) -> float:
        value = float(score or 0.0)
        return max(value, self.worst) if self.higher else min(value, self.worst)

    def beyond(self) -> int:
        return sum(score != self.clip(score) for score in self.scores)

    def goodness(self, score: float | None) -> float:
        spread = self.best - self.worst
        return (self.clip(score) - self.worst) / spread if spread else 1.0

    def height(self, score: float | None) -> float:
        """Upwards is a larger score."""
        return self.goodness(score) if self.higher else 1.0 - self.goodness(score)

    def ticks(self) -> list[tuple[float, str]]:
        scores = np.linspace(self.worst, self.best, 4 if self.best != self.worst else 1)
        return [(self.height(score), f"{score:.4g}") for score in scores]


def _drawable(records: Sequence[Record]) -> bool:
    return bool(scored(records)) and any(record.values for record in scored(records))


def _shown(study: Study, records: Sequence[Record]) -> list[str]:
    """Fields that varied; in a study of one trial all of them."""
    return fields(records) or list(dict.fromkeys(name for record in records for name in record.values))


def _failed(axis: Axes, records: Sequence[Record]) -> None:
    failed = [record.number for record in records if record.status == "failed"]
    if failed:
        height: Any = axis.get_xaxis_transform()  # along the lower edge, whatever the scores are
        axis.plot(failed, [0.03] * len(failed), "x", color=RED, transform=height, label=f"failed ({len(failed)})")


def _objective(study: Study) -> str:
    return f"{study.objective} ({'higher' if study.higher else 'lower'} is better)"


def _curve(record: Record, name: str) -> tuple[list[int], list[float]]:
    by_epoch: dict[int, list[float]] = {}
    for row in record.epochs:
        if name in row:
            by_epoch.setdefault(int(row.get("epoch", 0)), []).append(row[name])
    epochs = sorted(by_epoch)
    return epochs, [float(np.mean(by_epoch[epoch])) for epoch in epochs]


def _upright(axis: Axes, place: int, ticks: Sequence[tuple[float, str]]) -> None:
    axis.plot([place, place], [0, 1], color="black", linewidth=0.8, zorder=5)
    for height, label in ticks:
        box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
        axis.text(place + 0.03, height, label, fontsize=7, va="center", zorder=6, bbox=box)


def _place(scale: Scale, record: Record) -> float:
    return scale.place(record.values.get(scale.field, absent))


def _jittered(scale: Scale, records: Sequence[Record]) -> np.ndarray:
    """Places, moved a little where many trials share one."""
    places = np.array([_place(scale, record) for record in records])
    if scale.numbers is None or scale.levels:
        places = places + np.random.default_rng(0).uniform(-0.02, 0.02, len(places))
    return places


def _thinned(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Without ticks that would lie on each other; the first and the last stay."""
    thinned: list[tuple[float, str]] = []
    for place, label in sorted(ticks):
        if not thinned or place - thinned[-1][0] > 0.07:
            thinned.append((place, _brief(label)))
    return thinned


def _whole_numbers(axis: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _brief(label: str) -> str:
    if label == text_of(absent):
        return "not used"
    return label if len(label) <= 14 else label[:13] + "…"


def _short(name: str) -> str:
    return name.split(".", 1)[-1]


def _listed(record: Record | None) -> list[Record]:
    return [] if record is None else [record]


def _shades() -> Any:
    from matplotlib import colormaps

    return colormaps[SHADES]
