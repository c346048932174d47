"""The section about the data of a run: origin, parts, quality, columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from keras_seq.reports import charts
from keras_seq.reports.html import NOTHING, PageSection, details, facts, paragraph, table
from keras_seq.reports.html_charts import chart
from keras_seq.reports.sources import Sources

PARTS = ("train", "validation", "test")


def data(sources: Sources) -> PageSection:
    """Origin, sizes of the parts, ranges, and what is known of every column."""
    bundle = sources.bundle
    known = bundle.data.get("statistics", {})
    parts = [part for part in PARTS if part in known]
    info = {k: v for k, v in bundle.data.get("info", {}).items() if isinstance(v, str | int | float)}
    rows: dict[str, Any] = {"data set": bundle.schema.name, "task": bundle.spec.task} | info
    if bundle.spec.task == "binary":
        rows["positive class"] = (bundle.spec.classes or ("0", "1"))[1]
    rows |= {"fingerprint": bundle.data.get("fingerprint", "")[:16], "split": bundle.data.get("split", "")[:16]}
    body = facts(rows)
    if parts:
        body += _parts_table(known, parts) + _range_or_classes(known, parts, bundle.schema.target_unit)
    body += _quality(sources) + details("Columns, as fitted on the train part", _columns(sources))
    return PageSection("data", "Data and their quality", body)


def _parts_table(known: Mapping[str, Any], parts: Sequence[str]) -> Markup:
    head = ["part", "units", "groups", "rows", "windows", "shortest", "median", "longest", "missing"]
    censored = any("censored" in known[part] for part in parts)
    head += ["had not failed"] if censored else []
    rows = []
    for part in parts:
        sizes, length = known[part], known[part].get("length", {})
        share = f"{100 * sizes.get('missing_share', 0.0):.3g} %"
        counts = [sizes.get(name) for name in ("units", "groups", "rows", "windows")]
        row = [part, *counts, length.get("min"), length.get("median"), length.get("max"), share]
        rows.append(row + [sizes.get("censored", 0)] * censored)
    return table(head, rows, caption="Parts of the split: sizes, lengths of a unit in steps, share of missing values")


def _range_or_classes(known: Mapping[str, Any], parts: Sequence[str], unit: str) -> Markup:
    """Share of every class, or range and mean of the target, by part."""
    if all("classes" in known[part] for part in parts):
        classes = {part: known[part]["classes"] for part in parts}
        names = list(dict.fromkeys(name for counts in classes.values() for name in counts))
        shares = {
            f"class {name}": [counts.get(name, 0) / sum(counts.values()) for counts in classes.values()]
            for name in names
        }
        rows = [[part, *(counts.get(name, 0) for name in names)] for part, counts in classes.items()]
        numbers = table(["part", *names], rows, caption="Sequences or rows by class")
        drawn = charts.bars(list(parts), shares, y_title="share")
        return chart(drawn, "data-classes", alt="Share of each class by part of the split", numbers=numbers)
    ranges = [
        (part, *(known[part]["target"][name] for name in ("mean", "min", "max")))
        for part in parts
        if "target" in known[part]
    ]
    if not ranges:
        return NOTHING
    drawn = charts.intervals(ranges, x_title=f"target{f' [{unit}]' if unit else ''}: lowest, mean, highest", best=-1)
    numbers = table(["part", "mean", "lowest", "highest"], ranges)
    return chart(drawn, "data-target", alt="Range and mean of the target by part of the split", numbers=numbers)


def _quality(sources: Sources) -> Markup:
    """Findings, if the data were read again; the check at training left none that forbid it."""
    quality = (sources.answers or {}).get("quality")
    if quality is None:
        text = "Training refuses data with errors; 'python -m keras_seq.data check' lists the warnings too."
        return paragraph(text, "small")
    rows = [
        [f["severity"], f["rule"], f["message"], f["column"] or "", f["unit"] or "", f["row"] or "", f["count"]]
        for f in quality["findings"]
    ]
    counts = paragraph(f"The quality check: {quality['errors']} errors, {quality['warnings']} warnings.")
    return counts + (table(["severity", "rule", "what", "column", "unit", "row", "count"], rows) if rows else NOTHING)


def _columns(sources: Sources) -> Markup:
    bundle, scaling = sources.bundle, sources.bundle.spec.scaling
    one_scale = len(scaling.center) == 1  # several: an operating condition each
    known = {column.name: column for column in bundle.schema.columns}
    rows = []
    for place, name in enumerate(bundle.spec.features):
        column = known.get(name)
        about = [column.kind, column.unit, "yes" if column.missing else "no"] if column else ["", "", ""]
        fitted = [scaling.center[0][place], scaling.scale[0][place]] if one_scale else []
        rows.append([name, *about, *fitted])
    head = ["column", "kind", "unit", "may be missing", *(["centre", "scale"] if one_scale else [])]
    return table(head, rows)
