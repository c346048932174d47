"""Pictures of all samples together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.words import OTHER
from keras_seq.explain import views
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.drawing import (
    BLUE,
    DIVERGING,
    GREY,
    LINES,
    ORANGE,
    SEQUENTIAL,
    amount,
    label,
    panels,
    save,
    whole_steps,
)
from keras_seq.explain.faithfulness import Curves

MOST = 15  # sensors in a picture
DOTS = 3000  # of a dependence plot
WORDS = 10  # named on its axis


def sensors(attribution: Attribution, path: Path) -> Path:
    """Sensors ranked by mean |attribution| of a sample."""
    rows = [row for row in views.sensors(attribution)[:MOST] if row["importance"] > 0] or views.sensors(attribution)[:1]
    figure, (axis,) = panels(1, width=7.0, height=max(2.4, 0.32 * len(rows) + 1.3))
    names = [label(row["feature"], row["unit"]) for row in rows]
    bars = axis.barh(range(len(rows)), [row["importance"] for row in rows], color=BLUE)
    axis.bar_label(bars, [f"{row['share']:.0%}" for row in rows], padding=3, fontsize=8)
    axis.set_yticks(range(len(rows)), names)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlabel(
        "mean |"
        + amount(attribution.output)
        + "|"
        + (f" [{attribution.output_unit}]" if attribution.output_unit else "")
    )
    return save(
        figure, path, f"What moves {attribution.output} ({len(attribution)} samples, {nice(attribution.method)})"
    )


def sensors_by_sample(attribution: Attribution, values: NDArray[Any], path: Path) -> Path:
    """Every sample's attribution by sensor, coloured by how high the sensor stands among the samples."""
    order = np.argsort(-attribution.importance(), kind="stable")[:MOST]
    order = order[attribution.importance()[order] > 0]
    figure, (axis,) = panels(1, width=7.4, height=max(2.6, 0.34 * len(order) + 1.3))
    by_sample, level = attribution.by_feature(), views.mean_values(attribution, values)
    rng, drawn = np.random.default_rng(0), None
    for row, f in enumerate(order):
        rank = np.argsort(np.argsort(level[:, f])) / max(len(attribution) - 1, 1)
        height = row + rng.uniform(-0.25, 0.25, len(attribution))
        drawn = axis.scatter(by_sample[:, f], height, c=rank, cmap=SEQUENTIAL, vmin=0, vmax=1, s=16)
    axis.axvline(0, color=GREY, linewidth=1)
    axis.set_yticks(range(len(order)), [label(attribution.features[f], attribution.units[f]) for f in order])
    axis.invert_yaxis()
    axis.set_xlabel(amount(attribution.output, attribution.output_unit))
    if drawn is not None:
        bar = figure.colorbar(drawn, ax=axis, label="sensor's recent level among the samples", ticks=[0, 1])
        bar.ax.set_yticklabels(["low", "high"])
    return save(figure, path, f"Direction of the effects ({nice(attribution.method)})")


def steps(attribution: Attribution, path: Path) -> Path:
    """Attribution by lag: its size, and its cumulated share from the last step backwards."""
    importance = views.lag_importance(attribution).sum(1)
    figure, (size, total) = panels(2, width=5.2)
    what = "attribution" if attribution.by_sensor else nice(attribution.method)
    size_of = "mean |attribution| of all sensors" if attribution.by_sensor else f"mean share of {what}"
    size.fill_between(range(len(importance)), importance, color=BLUE, alpha=0.8, step="mid")
    size.set(xlabel="lag [steps before the last one]", ylabel=size_of, ylim=(0, None))
    share = np.cumsum(importance) / max(importance.sum(), 1e-12)
    total.plot(share, color=BLUE)
    for level in (0.5, 0.8):
        lag = int(np.searchsorted(share, level))
        total.plot([0, lag, lag], [level, level, 0], color=GREY, linestyle=":")
        text = f"{level:.0%} within {lag + 1} steps "
        total.text(lag, level - 0.01, text, fontsize=8, ha="right", va="top")
    total.set(xlabel="lag [steps before the last one]", ylabel=f"share of all {what}", ylim=(0, 1.02))
    for axis in (size, total):
        axis.set_xlim(len(importance) - 1 or 1, 0)
        whole_steps(axis.xaxis)
    return save(
        figure,
        path,
        f"Which steps move {attribution.output}" if attribution.by_sensor else f"Where the model reads: {what}",
    )


def heatmap(attribution: Attribution, path: Path) -> Path:
    """Sensor x lag: signed mean attribution, and its mean size."""
    order = np.argsort(-attribution.importance(), kind="stable")[:MOST]
    order = order[attribution.importance()[order] > 0] if attribution.importance().any() else order[:1]
    rows = views.heatmap(attribution)
    lags = sorted({(row["lag_from"], row["lag_to"]) for row in rows})
    table = {(row["feature"], row["lag_from"]): row for row in rows}

    def grid(key: str) -> NDArray[np.float64]:
        return np.array([[table[attribution.features[f], low][key] for low, _ in reversed(lags)] for f in order])

    figure, axes = panels(2, width=6.4, height=max(2.8, 0.3 * len(order) + 1.5))
    for axis, key, colours in zip(axes, ("importance", "mean"), (SEQUENTIAL, DIVERGING), strict=True):
        shown = grid(key)
        most = max(float(np.abs(shown).max()), 1e-12)
        image = axis.imshow(shown, aspect="auto", cmap=colours, vmin=0 if key == "importance" else -most, vmax=most)
        axis.grid(False)
        axis.set_yticks(range(len(order)), [label(attribution.features[f]) for f in order])
        ticks = np.unique(np.linspace(0, len(lags) - 1, min(6, len(lags))).round().astype(int))
        axis.set_xticks(ticks, [str(lags[len(lags) - 1 - t][0]) for t in ticks])
        axis.set(xlabel="lag [steps before the last one]", title="mean size" if key == "importance" else "mean")
        figure.colorbar(image, ax=axis, label=attribution.output_unit or "attribution")
    return save(figure, path, f"Sensor x lag: {attribution.output}")


def dependence(
    attribution: Attribution,
    values: NDArray[Any],
    path: Path,
    top: int = 4,
    words: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Attribution of single steps against the sensor's value there, coloured by lag; words by name; the top sensors."""
    order = np.argsort(-attribution.importance(), kind="stable")[:top]
    figure, axes = panels(len(order), width=5.0)
    lag = attribution.lengths[:, None] - 1 - np.arange(attribution.values.shape[1])
    rng = np.random.default_rng(0)
    for axis, f in zip(axes, order, strict=True):
        shown = np.argwhere(attribution.real() & np.isfinite(values[:, :, f]))
        shown = shown[np.sort(rng.permutation(len(shown))[:DOTS])]
        k, t = shown.T
        drawn = axis.scatter(
            values[k, t, f], attribution.values[k, t, f], c=lag[k, t], cmap=SEQUENTIAL + "_r", s=6, alpha=0.7
        )
        axis.axhline(0, color=GREY, linewidth=1)
        axis.set(xlabel=label(attribution.features[f], attribution.units[f]), ylabel="attribution of a step")
        axis.ticklabel_format(axis="x", useOffset=False)
        axis.locator_params(axis="x", nbins=5)
        if names := (words or {}).get(attribution.features[f]):
            codes = np.unique(values[k, t, f]).astype(int)[:WORDS]
            axis.set_xticks(codes, [names[code - 1] if 0 < code <= len(names) else OTHER for code in codes])
        figure.colorbar(drawn, ax=axis, label="lag [steps]")
    return save(figure, path, f"Value and effect: {attribution.output}")


def interactions(rows: Sequence[Mapping[str, Any]], path: Path, unit: str = "") -> Path:
    """Joint effects of the top sensors as a matrix."""
    names = list(dict.fromkeys([row["feature"] for row in rows] + [row["other"] for row in rows]))
    table = np.full((len(names), len(names)), np.nan)
    for row in rows:
        a, b = names.index(row["feature"]), names.index(row["other"])
        table[a, b] = table[b, a] = row["strength"]
    return _matrix(
        table, names, path, "Joint effect beyond the sum of both", unit or "|joint effect|", SEQUENTIAL, "{:.2g}"
    )


def agreement(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Rank correlations of the methods as a matrix."""
    names = list(dict.fromkeys([row["method"] for row in rows] + [row["other"] for row in rows]))
    table = np.eye(len(names))
    for row in rows:
        a, b = names.index(row["method"]), names.index(row["other"])
        table[a, b] = table[b, a] = row["spearman"]
    shown = [nice(name) for name in names]
    return _matrix(table, shown, path, "Agreement of the methods (sensor x time)", "Spearman", DIVERGING, "{:.2f}", 1.0)


def faithfulness(by_method: Mapping[str, Curves], path: Path) -> Path:
    """Deletion and insertion curves."""
    figure, (deletion, insertion) = panels(2, width=5.4, height=4.2)
    for (name, curves), colour in zip(by_method.items(), LINES * 3, strict=False):
        chance = name == "random"
        for axis, curve, area in zip(
            (deletion, insertion), (curves.deletion, curves.insertion), curves.areas, strict=True
        ):
            axis.plot(
                curves.share,
                curve,
                label=f"{nice(name)} ({area:.2f})",
                color=GREY if chance else colour,
                linestyle="--" if chance else "-",
            )
    deletion.set(title="Deletion: lower is better", ylabel="share of the answer's change left")
    insertion.set(title="Insertion: higher is better", ylabel="share of the answer's change reached")
    for axis in (deletion, insertion):
        axis.set_xlabel("share of the groups (sensor, time block)")
        axis.legend(fontsize=8)
    return save(figure, path, "Faithfulness (area)")


def importance(rows: Sequence[Mapping[str, Any]], path: Path, loss: str) -> Path:
    """Permutation importance with its deviation over repeats."""
    rows = rows[:MOST]
    figure, (axis,) = panels(1, width=7.0, height=max(2.4, 0.32 * len(rows) + 1.3))
    axis.barh(
        range(len(rows)),
        [row["increase"] for row in rows],
        xerr=[row["deviation"] for row in rows],
        color=ORANGE,
        ecolor=GREY,
        capsize=2,
    )
    axis.set_yticks(range(len(rows)), [label(row["group"]) for row in rows])
    axis.invert_yaxis()
    axis.set_xlabel(f"increase of {loss} (as it is: {rows[0]['loss']:.4g})")
    return save(figure, path, "Permutation importance")


def attention(heads: Mapping[str, NDArray[Any]], attribution: Attribution, path: Path, sample: int = 0) -> Path:
    """Weights of every head for one sample, and the rollout of all samples by lag."""
    shown = [(name, h) for name, layer in heads.items() for h in range(layer.shape[1])][:7]
    figure, axes = panels(len(shown) + 1, columns=4, width=3.6, height=3.3)
    length = int(attribution.lengths[sample])
    for axis, (name, h) in zip(axes, shown, strict=False):
        weights = heads[name][sample, h, :length, :length]
        most = max(float(np.quantile(weights, 0.995)), 1e-6)
        axis.imshow(weights, aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=most)
        axis.grid(False)
        axis.set(title=f"{name}, head {h + 1} (0 to {most:.2g})", xlabel="step read", ylabel="step that reads")
        whole_steps(axis.xaxis, axis.yaxis)
    by_lag = attribution.by_lag()[:, :, 0]  # NaN where a sample is shorter
    axes[-1].plot(by_lag.T, color=GREY, alpha=0.25, linewidth=0.7)
    axes[-1].plot(np.nanmean(by_lag, 0), color=BLUE, label="mean of the samples that long")
    axes[-1].set(xlabel="lag [steps before the last one]", ylabel="share", title="rollout")
    axes[-1].set_xlim(by_lag.shape[1] - 1 or 1, 0)
    whole_steps(axes[-1].xaxis)
    axes[-1].legend(fontsize=8)
    return save(figure, path, f"Attention, sample {attribution.samples[sample]}")


def nice(method: str) -> str:
    """A method's name for people."""
    return method.replace("_", " ")


def _matrix(
    table: NDArray[Any],
    names: Sequence[str],
    path: Path,
    title: str,
    what: str,
    colours: str,
    form: str,
    most: float | None = None,
) -> Path:
    size = max(3.4, 0.7 * len(names) + 2.0)
    figure, (axis,) = panels(1, width=size + 1.2, height=size)
    high = most or max(float(np.nanmax(table, initial=0.0)), 1e-12)
    image = axis.imshow(table, cmap=colours, vmin=-high if most else 0, vmax=high)
    axis.grid(False)
    for row, column in np.ndindex(table.shape):
        if np.isfinite(table[row, column]):
            red, green, blue, _ = image.cmap(image.norm(table[row, column]))
            dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
            text = form.format(table[row, column])
            axis.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axis.set_xticks(range(len(names)), [label(name) for name in names], rotation=35, ha="right")
    axis.set_yticks(range(len(names)), [label(name) for name in names])
    figure.colorbar(image, ax=axis, label=what, shrink=0.8)
    return save(figure, path, title)
