"""Pictures of one sample: waterfall, signals coloured by attribution, how answer and reasons came to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.explain.attribution import Attribution
from keras_seq.explain.drawing import DIVERGING, DOWN, GREY, LINES, UP, amount, label, panels, save, whole_steps
from keras_seq.explain.evolution import AttributionEvolution
from keras_seq.explain.plots import nice

BARS = 9  # sensors of a waterfall, the others are one bar
SIGNALS = 4


def waterfall(attribution: Attribution, k: int, path: Path) -> Path:
    """From the base to the answer, sensor by sensor."""
    by_feature = attribution.by_feature()[k]
    order = np.argsort(-np.abs(by_feature), kind="stable")
    shown = [f for f in order[:BARS] if by_feature[f] != 0]
    rest = [f for f in order if f not in shown and by_feature[f] != 0]
    names = [label(attribution.features[f], attribution.units[f]) for f in shown]
    parts = [float(by_feature[f]) for f in shown]
    if rest:
        names.append(f"{len(rest)} other sensors")
        parts.append(float(by_feature[rest].sum()))
    figure, (axis,) = panels(1, width=7.4, height=max(2.6, 0.38 * len(parts) + 1.7))
    at = float(attribution.base[k])
    for row, part in enumerate(parts):
        axis.barh(row, part, left=at, color=UP if part > 0 else DOWN)
        if row:
            axis.plot([at, at], [row - 1, row], color=GREY, linewidth=0.8)
        end = at + part
        axis.annotate(
            f"{part:+.3g}",
            (max(at, end), row),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
        at = end
    axis.axvline(attribution.base[k], color=GREY, linestyle=":", label=f"base {attribution.base[k]:.4g}")
    axis.axvline(
        attribution.predictions[k], color="black", linewidth=1, label=f"answer {attribution.predictions[k]:.4g}"
    )
    axis.set_yticks(range(len(parts)), names)
    axis.invert_yaxis()
    reached = attribution.base[k] + np.concatenate([[0.0], np.cumsum(parts)])
    room = 0.14 * max(float(np.ptp(reached)), 1e-12)  # for the numbers beside the bars
    axis.set_xlim(reached.min() - 0.3 * room, reached.max() + room)
    axis.set_xlabel(attribution.output + (f" [{attribution.output_unit}]" if attribution.output_unit else ""))
    figure.legend(*axis.get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=2)
    return save(
        figure,
        path,
        f"Sample {attribution.samples[k]}: why {attribution.predictions[k]:.4g} ({nice(attribution.method)})",
    )


def traces(attribution: Attribution, k: int, values: NDArray[Any], path: Path) -> Path:
    """The signals of the top sensors, coloured by attribution."""
    from matplotlib.collections import LineCollection

    length = int(attribution.lengths[k])
    order = np.argsort(-np.abs(attribution.values[k]).sum(0), kind="stable")[:SIGNALS]
    figure, axes = panels(len(order), columns=1, width=8.4, height=1.8)
    shown = attribution.values[k, :length][:, order]
    most = max(float(np.quantile(np.abs(shown), 0.995)) if shown.size else 0.0, 1e-12)
    collection: Any = None
    for axis, f in zip(axes, order, strict=True):
        signal = values[k, :length, f].astype(float)
        step = np.arange(length)
        points = np.stack([step, signal], 1)
        pieces = np.stack([points[:-1], points[1:]], 1) if length > 1 else np.zeros((0, 2, 2))
        whole = np.isfinite(pieces).all(axis=(1, 2))
        axis.plot(step, signal, color="#CCCCCC", linewidth=3.2, zorder=1)
        collection = LineCollection(pieces[whole].tolist(), cmap=DIVERGING, linewidths=2.2, zorder=2)
        collection.set_array(
            ((attribution.values[k, :-1, f] + attribution.values[k, 1:, f]) / 2)[: max(length - 1, 0)][whole]
        )
        collection.set_clim(-most, most)
        axis.add_collection(collection)
        axis.set_ylabel(label(attribution.features[f], attribution.units[f]).replace(" [", "\n["), fontsize=8)
        axis.ticklabel_format(axis="y", useOffset=False)
        axis.locator_params(axis="y", nbins=4)
        axis.set_xlim(0, max(length - 1, 1))
        whole_steps(axis.xaxis)
    axes[-1].set_xlabel("step")
    figure.colorbar(collection, ax=axes, label=amount(attribution.output, attribution.output_unit), shrink=0.9)
    return save(
        figure,
        path,
        f"Sample {attribution.samples[k]}: red raises, blue lowers (answer {attribution.predictions[k]:.4g})",
    )


def evolution(course: AttributionEvolution, path: Path, top: int = 5) -> Path:
    """The answer and the sensors' parts in it, as the steps arrive."""
    figure, (answer, reasons) = panels(2, columns=1, width=8.4, height=3.0)
    answer.plot(course.steps, course.predictions, color="black", marker=".", label="answer")
    answer.plot(course.steps, course.base, color=GREY, linestyle=":", label="base")
    unit = f" [{course.unit}]" if course.unit else ""
    answer.set_ylabel(label(course.output) + unit, fontsize=9)
    answer.legend(fontsize=8)
    order = np.argsort(-np.abs(course.parts).mean(0), kind="stable")[:top]
    for f, colour in zip(order, LINES, strict=False):
        reasons.plot(course.steps, course.parts[:, f], color=colour, marker=".", label=label(course.features[f]))
    rest = course.parts.sum(1) - course.parts[:, order].sum(1)
    reasons.plot(course.steps, rest, color=GREY, linestyle="--", label="all others")
    reasons.axhline(0, color=GREY, linewidth=0.8)
    whole_steps(answer.xaxis, reasons.xaxis)
    reasons.set(xlabel="steps arrived", ylabel="attribution" + unit)
    reasons.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return save(figure, path, f"Sample {course.sample}: answer and reasons as the steps arrive")
