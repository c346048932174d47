"""Sections about proof: comparison with other models, errors by band and over time, explanations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from keras_seq.evaluation.bands import label
from keras_seq.evaluation.temporal import in_words
from keras_seq.reports import charts
from keras_seq.reports.comparison import COSTS
from keras_seq.reports.html import NOTHING, PageSection, details, facts, heading, number, paragraph, picture, table
from keras_seq.reports.html_charts import chart
from keras_seq.reports.sources import Sources, read

if TYPE_CHECKING:
    from keras_seq.explain.layout import Explanations

Row = Mapping[str, Any]


def comparison(sources: Sources) -> PageSection:
    """Estimates with intervals, pairs with p-values, costs, and the verdict's words."""
    command = f"python -m keras_seq.compare {sources.run} OTHER_RUN --output {sources.run}/comparison"
    title = "Comparison with other models"
    if sources.comparison is None:
        return PageSection("comparison", title, NOTHING, command)
    outcome = read(sources.comparison / "comparison.json")
    rows: list[Row] = outcome["contenders"]
    metrics = [name for name in rows[0] if f"{name}_low" in rows[0]]
    body = paragraph(outcome["verdict"]["words"]) + _intervals(rows, metrics[:2]) + _estimates(rows, metrics)
    if len(rows) > 2:
        body += _p_values(rows, outcome["pairs"])
    body += _pairs(outcome["pairs"], outcome["facts"].get("deciding metric", "")) + _costs(rows)
    notes = [*outcome["notes"], *(f"Left out: {f['folder']}: {f['reason']}" for f in outcome["failures"])]
    body += NOTHING.join(paragraph(note, "small") for note in notes)
    return PageSection("comparison", title, body + facts(outcome["facts"]), command)


def bands(sources: Sources) -> PageSection:
    """Errors by band of the truth, by length, by steps and share seen; how early class 1 is called."""
    command = f"python -m keras_seq.temporal {sources.run}"
    title = "Where and when it errs"
    if sources.temporal is None:
        return PageSection("temporal", title, NOTHING, command)
    outcome = read(sources.temporal / "temporal.json")
    blocks = []
    for place, (name, rows) in enumerate(outcome["bands"].items()):
        if not rows:
            continue
        metrics = list(rows[0]["values"])
        labels = [label(row["low"], row["high"]) for row in rows]
        series = {metric: [row["values"][metric] for row in rows] for metric in metrics[:2]}
        drawn = charts.bars(labels, series, x_title=name, y_title=", ".join(metrics[:2]))
        cells = [
            [text, row["points"], row["units"], *(row["values"][metric] for metric in metrics)]
            for text, row in zip(labels, rows, strict=True)
        ]
        grid = table([name, "answers", "units", *metrics], cells)
        blocks.append(heading(f"By {name}"))
        blocks.append(chart(drawn, f"temporal-{place}", alt=f"{', '.join(metrics[:2])} by {name}", numbers=grid))
    blocks.append(_detection(outcome.get("detection") or {}))
    alt = "Answers as the steps of a sequence arrive"
    blocks.append(picture(sources.temporal / "evolution.png", alt))
    return PageSection("temporal", title, NOTHING.join(blocks), command)


def explanations(sources: Sources) -> PageSection:
    """Findings in words, sensors and steps by importance, agreement of the methods, pictures."""
    command = f"python -m keras_seq.explain {sources.run}"
    title = "Explanations"
    if sources.explanations is None:
        return PageSection("explanations", title, NOTHING, command)
    from keras_seq.explain import layout

    own = layout.read(sources.explanations)
    body = facts({key: value for key, value in own.summary.items() if isinstance(value, str | int | float)})
    body += NOTHING.join(heading(_capital(finding["title"])) + paragraph(finding["text"]) for finding in own.findings)
    body += _sensors(own) + _steps(own) + _heat_map(own) + _tables(own)
    single = NOTHING
    for name, path in own.plots.items():
        kind, _, sample = name.partition("_")
        if name in layout.PLOTS and name not in ("sensors", "steps", "heatmap"):  # these are charts
            body += picture(path, f"{name.replace('_', ' ').capitalize()}: {layout.PLOTS[name]}")
        elif f"{kind}_<sample>" in layout.PLOTS:
            single += picture(path, f"Sample {sample}, {kind}: {layout.PLOTS[f'{kind}_<sample>']}")
    return PageSection("explanations", title, body + details("Pictures of single samples", single), command)


def _pairs(pairs: Sequence[Row], metric: str) -> Markup:
    rows = [
        [
            f"{pair['first']} - {pair['second']}",
            pair["difference"],
            f"{number(pair['low'], 3)} to {number(pair['high'], 3)}",
            *(pair[name] for name in ("p_value", "adjusted", "test")),
        ]
        for pair in pairs
    ]
    head = ["pair", f"difference in {metric}", "95 % interval", "p", "p after Holm", "test"]
    return table(head, rows, caption="Pairs", digits=3)


def _intervals(rows: Sequence[Row], metrics: Sequence[str]) -> Markup:
    blocks = []
    for metric in metrics:
        shown = [(row["contender"], row[metric], row[f"{metric}_low"], row[f"{metric}_high"]) for row in rows]
        drawn = charts.intervals(shown, x_title=metric)
        alt = f"{metric} of every contender with its 95 % interval, best first by the deciding metric"
        grid = table(["contender", metric, "low", "high"], shown)
        blocks.append(chart(drawn, f"comparison-{metric}".replace("_", "-"), alt=alt, numbers=grid))
    return NOTHING.join(blocks)


def _estimates(rows: Sequence[Row], metrics: Sequence[str]) -> Markup:
    cells = []
    for row in rows:
        texts = []
        for metric in metrics:
            deviation = f" ± {number(row[f'{metric}_deviation'], 2)}" if row.get(f"{metric}_deviation") else ""
            texts.append(
                f"{number(row[metric])}{deviation} [{number(row[f'{metric}_low'])}, {number(row[f'{metric}_high'])}]"
            )
        cells.append([row["contender"], *texts, row["replicates"]])
    head = ["model", *(f"{metric} [95 %]" for metric in metrics), "runs"]
    return table(head, cells, caption="Estimates, best first; ± is over runs", kinds=["best"])


def _p_values(rows: Sequence[Row], pairs: Sequence[Row]) -> Markup:
    names = [row["contender"] for row in rows]
    adjusted = {frozenset((pair["first"], pair["second"])): pair["adjusted"] for pair in pairs}
    grid: list[list[float | None]] = []
    words = []
    for name in names:
        values = [adjusted.get(frozenset((name, other))) if name != other else None for other in names]
        grid.append([None if value is None else math.log10(min(max(value, 1e-3), 1)) for value in values])
        words.append(["" if value is None else "<0.001" if value < 1e-3 else f"{value:.3f}" for value in values])
    scale = [[0, "#0b3c5d"], [1, "#f4f8fb"]]  # dark where a difference is sure
    drawn = charts.heat(names, names, grid, words, zmin=-3, zmax=0, colorscale=scale)
    return chart(drawn, "comparison-p", alt="Adjusted p-value of every pair; dark where the difference is sure")


def _costs(rows: Sequence[Row]) -> Markup:
    shown = [key for key in COSTS if any(_finite(row.get(key)) for row in rows)]
    if not shown:
        return NOTHING
    cells = [[row["contender"], *(row.get(key) for key in shown)] for row in rows]
    return heading("Cost") + table(["model", *(COSTS[key] for key in shown)], cells, digits=3)


def _detection(detection: Row) -> Markup:
    if not detection:
        return NOTHING
    return heading("How early class 1 is called") + paragraph(in_words(detection))


def _sensors(own: Explanations) -> Markup:
    rows = _rows(own, "sensors")[:15]
    if not rows:
        return NOTHING
    names = [row["feature"] for row in rows]
    drawn = charts.bars([], {"importance": [float(row["importance"]) for row in rows]}, y_title="")
    drawn["data"][0] |= {
        "orientation": "h",
        "y": [charts.text(name) for name in names],
        "x": [float(row["importance"]) for row in rows],
    }
    drawn["layout"] |= {
        "xaxis": charts.axis("mean |attribution| of a sample"),
        "height": 120 + 24 * len(rows),
        "yaxis": charts.axis("", autorange="reversed", type="category"),
    }
    grid = table(list(rows[0]), [[_number(value) for value in row.values()] for row in rows])
    return chart(drawn, "explanations-sensors", alt="Sensors by mean absolute attribution, largest first", numbers=grid)


def _steps(own: Explanations) -> Markup:
    rows = _rows(own, "steps")
    if not rows:
        return NOTHING
    rows = sorted(rows, key=lambda row: float(row["lag"]))
    x, y = [float(row["lag"]) for row in rows], [float(row["importance"]) for row in rows]
    drawn = charts.lines(
        x, {"importance": y}, x_title="steps before the last one", y_title="importance", marks=len(x) < 40
    )
    drawn["layout"]["xaxis"]["autorange"] = "reversed"
    return chart(drawn, "explanations-steps", alt="Importance by steps before the last one", x="lag")


def _heat_map(own: Explanations) -> Markup:
    rows = _rows(own, "heatmap")
    if not rows:
        return NOTHING
    lags = sorted({(float(row["lag_from"]), float(row["lag_to"])) for row in rows}, reverse=True)
    totals: dict[str, float] = {}
    for row in rows:
        totals[row["feature"]] = totals.get(row["feature"], 0.0) + float(row["importance"])
    names = sorted(totals, key=lambda name: -totals[name])[:15]
    at = {(row["feature"], float(row["lag_from"]), float(row["lag_to"])): float(row["importance"]) for row in rows}
    values: list[list[float | None]] = [[at.get((name, *lag)) for lag in lags] for name in names]
    words = [["" if value is None else f"{value:.3g}" for value in line] for line in values]
    labels = [f"{low:g}" if low == high else f"{low:g}-{high:g}" for low, high in lags]
    drawn = charts.heat(
        labels, names, values, words, x_title="steps before the last one", height=130 + 26 * len(names), texttemplate=""
    )
    return chart(drawn, "explanations-heat", alt="Importance by sensor and steps before the last one; dark is more")


def _tables(own: Explanations) -> Markup:
    blocks = []
    for name in ("agreement", "faithfulness", "importance", "interactions"):
        rows = own.table(name) if name in own.tables else []
        if rows:
            cells = [[_number(value) for value in row.values()] for row in rows[:40]]
            blocks.append(table(list(rows[0]), cells, caption=name.capitalize()))
    return NOTHING.join(blocks)


def _rows(own: Explanations, name: str) -> list[dict[str, str]]:
    """Rows of the main method's table."""
    if name not in own.tables:
        return []
    rows = own.table(name)
    main = own.methods[0] if own.methods else None
    return [row for row in rows if row.get("method", main) == main]


def _number(word: str) -> Any:
    try:
        return float(word)
    except (TypeError, ValueError):
        return word


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
