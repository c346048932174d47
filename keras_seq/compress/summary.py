"""``compression.json`` as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_seq.compress.holds import in_words
from keras_seq.figures import figure


def to_markdown(report: Mapping[str, Any]) -> str:
    """What was gained and lost, in three tables: the model, its layers, its files."""
    metric = report["metric"]
    before, after = report["metrics"]["before"], report["metrics"]["after"]
    sizes = report["weights"]
    model = [["", "before", "after", "change"]]
    for part in ("validation", "test"):
        row = [before[part][metric], after[part][metric]]
        model.append([f"{part} {metric}", *(figure(value, 5) for value in row), f"loss {report['loss'][part]:+.2%}"])
    for name in ("raw", "gzip"):
        old, new = sizes["before"][name], sizes["after"][name]
        model.append([f"weights, {name} [KB]", f"{old / 1e3:.1f}", f"{new / 1e3:.1f}", f"{new / old:.3f} x"])
    layers = [["layer", "zeros", "distinct values"]]
    for name, share in report["sparsity"].items():
        layers.append([name, f"{share:.1%}", str(report["distinct"][name])])
    return "\n".join([table(model), table(layers), table(_forms(report, metric))])


def _forms(report: Mapping[str, Any], metric: str) -> list[list[str]]:
    rows = [["file", "of", "KB", "x float ONNX", "gzip KB", "x gzip", "holds", f"validation {metric}", "loss", "kept"]]
    for whose in ("before", "after"):
        for name, form in report["forms"][whose].items():
            if "failed" in form:
                rows.append([name, whose, *[""] * 6, f"not written: {form['failed'][:80]}", ""])
                continue
            ratio = form.get("ratio", {"raw": float("nan"), "gzip": float("nan")})
            loss = form.get("loss", {}).get("validation", float("nan"))
            is_kept = "" if whose == "before" else "yes" if form.get("kept") else "no"
            sizes = [f"{form['raw'] / 1e3:.1f}", f"{ratio['raw']:.2f}"]
            sizes += [f"{form['gzip'] / 1e3:.1f}", f"{ratio['gzip']:.2f}"]
            types = in_words(form["holds"]) if form.get("holds") else ""
            rows.append([name, whose, *sizes, types, figure(form["validation"], 5), f"{loss:+.2%}", is_kept])
    return rows


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table; the first one is the head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
