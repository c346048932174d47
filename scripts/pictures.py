"""Pictures of README and architecture, from the tables of docs/results.md and docs/architecture.md.

scripts/pictures      writes path.png, cmapss.png, floors.png and data_way.png into docs/pictures
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from keras_seq.drawing import BLUE, GREEN, GREY, ORANGE, panels, save  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
SETS = ("FD001", "FD002", "FD003", "FD004")
PATH = [
    ("raw file", "CSV, Parquet,\nshards", "init, data"),
    ("series", "checked, split by\nunit and time", "data"),
    ("model", "windows, scaler, mask\nin one Keras graph", "train"),
    ("proof", "trees, SARIMAX,\nintervals, tests", "compare, ensemble"),
    ("tuning", "60 trials,\nresumable", "tuning"),
    ("reasons", "gradients, SHAP,\none HTML report", "explain, report"),
    ("version", "quantised, equal in\nevery format, gated", "export, compress"),
    ("server", "REST, gRPC, drift,\nretraining", "serving"),
]
# rows of docs/results.md: (row as it begins there, name in the picture, colour)
CROSSVAL = [
    ("reference trees", "reference trees", GREY),
    ("boosted trees on the same", "trees, same channels", ORANGE),
    ("one LSTM", "one LSTM", BLUE),
    ("**ensemble", "LSTMs and trees", GREEN),
]
TEST = [
    ("reference trees", "reference trees", GREY),
    ("boosted trees, mean", "trees, same channels", ORANGE),
    ("LSTM, mean of folds", "LSTMs", BLUE),
    ("**ensemble", "LSTMs and trees", GREEN),
]

# what the data become: what it is, how it looks, where that is written
WAY = [
    ("file", "CSV, Parquet, shards,\na known set", "data.reading"),
    ("Series", "units (time, columns)\nand their Schema", "data.sources"),
    ("parts", "train, validation, test;\nby unit or by time", "data.splits"),
    ("Prepared", "windows (batch, time,\nfeatures), lengths,\nweights", "data.prepare"),
    ("keras.Model", "scaler, body, pooling,\nhead in one graph", "models, training"),
    ("decision", "calibration, threshold,\nintervals: validation", "training.decision"),
    ("bundle", "model, schema, metrics,\nsha256 of each", "bundle"),
    ("version", "raw units in, answers\nout; gated, pushed", "export"),
    ("answers", "batched calls by\nREST and gRPC", "serving.server"),
    ("drift", "traffic against the\nreference; labels", "serving.monitor"),
]


def path_picture() -> Path:
    """Boxes from left to right: what there is, what happens to it, and by which commands."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    figure, (axis,) = panels(1, width=13.5, height=2.4)
    axis.grid(False)
    axis.axis("off")
    for k, (name, what, commands) in enumerate(PATH):
        colour = BLUE if k < 3 else GREEN if k < 6 else ORANGE
        box = FancyBboxPatch((k, 0), 0.82, 1, boxstyle="round,pad=0.02", facecolor=colour, alpha=0.16, edgecolor=colour)
        axis.add_patch(box)
        axis.text(k + 0.41, 0.84, name, ha="center", va="center", fontsize=12, weight="bold")
        axis.text(k + 0.41, 0.5, what, ha="center", va="center", fontsize=8.5)
        axis.text(k + 0.41, 0.13, commands, ha="center", va="center", fontsize=8.5, family="monospace", color="#333333")
        if k:
            axis.add_patch(FancyArrowPatch((k - 0.17, 0.5), (k + 0.0, 0.5), arrowstyle="-|>", mutation_scale=12))
    axis.set(xlim=(-0.08, len(PATH) - 0.08), ylim=(-0.08, 1.08))
    return save(figure, PICTURES / "path.png", "One path, one graph: raw units in, final answers out")


def table(text: str, heading: str) -> dict[str, list[float]]:
    """The rows of the table whose header begins with ``heading``: name to its numbers."""
    lines = text[text.index(f"| {heading}") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: [float(re.search(r"\d+(\.\d+)?", cell)[0]) for cell in row[1:]] for row in rows}  # type: ignore[index]


def results_picture() -> Path:
    """RMSE on the four C-MAPSS sets, in cross-validation and on test."""
    text = (ROOT / "docs" / "results.md").read_text()
    figure, axes = panels(2, columns=2, width=5.6, height=3.6)
    parts = (("CV, RMSE", CROSSVAL, "5-fold, by engine"), ("test, RMSE at the last", TEST, "official test engines"))
    for axis, (heading, rows, title) in zip(axes, parts, strict=True):
        found = table(text, heading)
        for k, (begin, name, colour) in enumerate(rows):
            numbers = next(numbers for row, numbers in found.items() if row.startswith(begin))
            at = [s + 0.19 * (k - 1.5) for s in range(len(SETS))]
            axis.scatter(at, numbers, s=46, color=colour, marker="osD^"[k], label=name, zorder=3)
            for x, number in zip(at, numbers, strict=True):
                axis.annotate(f"{number:.1f}", (x, number), (0, 6), textcoords="offset points", ha="center", fontsize=7)
        axis.set_xticks(range(len(SETS)), SETS)
        axis.set(title=title, ylabel="RMSE [cycles]", ylim=(8, 13.4))
        axis.legend(fontsize=8, ncols=2, loc="upper left")
    return save(figure, PICTURES / "cmapss.png", "Remaining useful life, C-MAPSS: lower is better")


def floors() -> list[list[str]]:
    """Packages by level, lowest first, from the table of docs/architecture.md; command lines left out."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("```levels\n")[2].partition("```")[0]
    names = [line.partition("#")[0].split() for line in table.splitlines()]
    return [kept for level in names if (kept := [name for name in level if not name.endswith("__main__")])]


def floors_picture() -> Path:
    """One row a level, the lowest at the bottom; keras_seq on the left, tuning and serving on the right."""
    from matplotlib.patches import FancyBboxPatch

    levels = floors()
    figure, (axis,) = panels(1, width=11, height=0.42 * len(levels) + 0.5)
    axis.grid(False)
    axis.axis("off")
    for level, names in enumerate(levels):
        axis.axhspan(level - 0.47, level + 0.47, color="#eeeeee" if level % 2 else "#f7f7f7", zorder=0)
        axis.text(-0.3, level, str(level), ha="center", va="center", fontsize=9, color=GREY)
        inner = [name for name in names if not name.startswith(("serving", "tuning"))]
        outer = [name for name in names if name not in inner]
        places = list(enumerate(inner)) + [(7.2 - len(outer) + k, name) for k, name in enumerate(outer)]
        for x, name in places:
            colour = ORANGE if name.startswith("serving") else GREEN if name == "tuning" else BLUE
            axis.add_patch(
                FancyBboxPatch(
                    (x + 0.04, level - 0.3),
                    0.92,
                    0.6,
                    boxstyle="round,pad=0.01",
                    facecolor=colour,
                    alpha=0.2,
                    edgecolor=colour,
                    mutation_aspect=0.4,
                )
            )
            axis.text(x + 0.5, level, name, ha="center", va="center", fontsize=8.5)
    axis.set(xlim=(-0.5, 7.3), ylim=(-0.55, len(levels) - 0.45))
    return save(figure, PICTURES / "floors.png", "A file imports its own package and what lies below")


def way_picture() -> Path:
    """The data's way: there on the upper row, back on the lower one, and round again."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    figure, (axis,) = panels(1, width=11.5, height=4.2)
    axis.grid(False)
    axis.axis("off")
    half = len(WAY) // 2
    corners = [(k, 1.35) for k in range(half)] + [(half - 1 - k, 0.0) for k in range(half)]
    for k, ((x, y), (name, what, where)) in enumerate(zip(corners, WAY, strict=True)):
        colour = BLUE if k < 4 else GREEN if k < 7 else ORANGE
        box = FancyBboxPatch((x, y), 0.8, 1, boxstyle="round,pad=0.02", facecolor=colour, alpha=0.16, edgecolor=colour)
        axis.add_patch(box)
        axis.text(x + 0.4, y + 0.85, name, ha="center", va="center", fontsize=12, weight="bold")
        axis.text(x + 0.4, y + 0.5, what, ha="center", va="center", fontsize=8.5)
        axis.text(x + 0.4, y + 0.12, where, ha="center", va="center", fontsize=8.5, family="monospace", color="#333333")
    arrows = [((k + 0.82, 1.85), (k + 0.98, 1.85)) for k in range(half - 1)]
    arrows += [((half - 0.6, 1.33), (half - 0.6, 1.03))]
    arrows += [((k - 0.02, 0.5), (k - 0.18, 0.5)) for k in range(half - 1, 0, -1)]
    arrows += [((0.4, 1.03), (0.4, 1.33))]
    for start, end in arrows:
        axis.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12))
    axis.text(0.46, 1.18, "serving.retrain", ha="left", va="center", fontsize=8.5, family="monospace", color="#333333")
    axis.set(xlim=(-0.08, half - 0.1), ylim=(-0.08, 2.43))
    return save(figure, PICTURES / "data_way.png", "The way of the data, and where each step is written")


if __name__ == "__main__":
    for path in (path_picture(), results_picture(), floors_picture(), way_picture()):
        print(path)
