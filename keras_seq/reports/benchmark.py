"""Report of a benchmark: Markdown, CSV and one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seq.drawing import BLUE, GREEN, GREY, save
from keras_seq.export.benchmark import BATCHES, Benchmark, Measured
from keras_seq.figures import csv_text, figure, markdown_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDES = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))  # of a bubble, best first


def to_markdown(benchmark: Benchmark, name: str) -> str:
    """The table, its meaning, and what failed."""
    lines = [
        f"# Formats of {name}",
        "",
        f"{benchmark.windows} windows of the test part; a process for each format; latency in ms: p50 / p95 / p99.",
        "",
    ]
    head = ["format", "threads", benchmark.metric, "loss", "largest difference", "MB", "gzip", "load s"]
    head += [*(f"batch {size}" for size in BATCHES), "rows/s at 64", "resident MB"]
    cells = []
    for row in benchmark.rows:
        times = [row.batches[str(size)] for size in BATCHES]
        spans = [f"{t['p50']:.3g} / {t['p95']:.3g} / {t['p99']:.3g}" for t in times]
        own = [row.format, row.threads, figure(row.metrics[benchmark.metric]), f"{benchmark.loss(row):+.2%}"]
        own += [f"{row.largest:.1g}", figure(row.size_mb), figure(row.gzip_mb), f"{row.load_s:.2f}", *spans]
        cells.append([*own, f"{times[-1]['per_second']:.0f}", f"{row.resident_mb:.0f}"])
    lines += markdown_table(head, cells)
    lines += [
        "",
        *([f"{benchmark.judged[:1].upper()}{benchmark.judged[1:]}."] if benchmark.judged else []),
        "Loss is relative to the Keras model; differences: in deviations of the target, or of probability.",
    ]
    lines += [f"\n{kind} is missing: {reason}" for kind, reason in benchmark.failed.items()]
    return "\n".join(lines) + "\n"


def to_csv(benchmark: Benchmark) -> str:
    """One row a format and number of threads."""
    rows = []
    for row in benchmark.rows:
        flat = {key: value for key, value in row.to_dict().items() if key not in ("batches", "metrics")}
        flat |= {"loss": benchmark.loss(row)} | row.metrics
        for size, times in row.batches.items():
            flat |= {f"batch{size}_{key}": value for key, value in times.items()}
        rows.append(flat)
    return csv_text(rows)


def draw(benchmark: Benchmark, path: Path) -> Path:
    """Loss of accuracy against latency at batch 1; the area of a bubble is the file's size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    best: dict[str, Measured] = {}
    for row in benchmark.rows:
        if row.format not in best or row.batches["1"]["p50"] < best[row.format].batches["1"]["p50"]:
            best[row.format] = row
    figure, axis = plt.subplots(figsize=(9, 5.5), layout="constrained")
    largest = max(row.size_mb for row in best.values())
    named = []
    for row in sorted(best.values(), key=lambda r: -r.size_mb):
        colour = GREY if row.format == "keras" else GREEN if row.format.startswith("onnx") else BLUE
        x, y, area = row.batches["1"]["p50"], 100 * benchmark.loss(row), 60 + 900 * row.size_mb / largest
        axis.scatter(x, y, s=area, color=colour, alpha=0.55, edgecolors="black")
        named.append((x, y, area**0.5 / 2, f"{row.format}, {row.size_mb:.2g} MB"))
    axis.set_xscale("log")
    axis.margins(0.15, 0.25)
    axis.axhline(0, color="black", linewidth=0.7)
    axis.set_xlabel("latency of one window, median [ms], better of the numbers of threads")
    axis.set_ylabel(f"loss of {benchmark.metric} against Keras [%]")
    axis.grid(alpha=0.3)
    figure.suptitle("formats", fontsize=11)  # its place counts for the labels'
    _label(figure, axis, named)
    return save(figure, path, f"Formats on {benchmark.windows} test windows; area: size of the file")


def _label(figure: Figure, axis: Axes, named: Sequence[tuple[float, float, float, str]]) -> None:
    """Name bubbles where no other bubble or name is: above, below or beside, further away if need be.

    Args:
        figure: all else is drawn.
        axis: of the bubbles.
        named: x, y, radius in points and text of each.
    """
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # names must not move what they were placed beside
    points, renderer = figure.dpi / 72, figure.canvas.get_renderer()  # type: ignore[attr-defined]
    frame, taken = axis.get_window_extent(), []
    for x, y, radius, _ in named:
        left, low = axis.transData.transform((x, y)) - radius * points
        taken.append(Bbox.from_bounds(left, low, 2 * radius * points, 2 * radius * points))
    for x, y, radius, text in named:
        places = [(across, up, away) for away in range(4, 100, 8) for across, up in SIDES]
        for across, up, away in places:
            reach = radius + away
            note = axis.annotate(
                text, (x, y), xytext=(across * reach, up * reach), textcoords="offset points", fontsize=8,
                ha={-1: "right", 0: "center", 1: "left"}[across], va={-1: "top", 0: "center", 1: "bottom"}[up],
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6} if away > 4 else None,
            )  # fmt: skip
            note.update_positions(renderer)
            box = Text.get_window_extent(note, renderer)  # without its line
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                break
            if (across, up, away) != places[-1]:
                note.remove()
        taken.append(box)
