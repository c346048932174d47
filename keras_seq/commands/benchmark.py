"""Every format of a bundle measured on the same windows: ``python -m keras_seq.benchmark BUNDLE``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seq import cli, files, machine
from keras_seq.errors import ConfigError, ExportError

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.export.benchmark import Benchmark

VALUES = {"--formats": "keras_seq.export.formats:KINDS"}
DESCRIPTION = """Write a bundle in every format and precision and measure each on the same real windows.

  python -m keras_seq.benchmark runs/cmapss_fd001/seed-0
  python -m keras_seq.benchmark runs/caster/seed-0 --formats keras,onnx,onnx-int8 --threads 1

Accuracy and its loss, deviation from the Keras model, size, load time, latency at batch 1, 8 and 64, throughput and
memory; each format in a process of its own. Writes <run>/benchmark/benchmark.md, .csv, .json and .png.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m keras_seq.benchmark", description=DESCRIPTION, values=VALUES)
    parser.add_argument("bundle", type=Path, help="bundle or run folder")
    parser.add_argument("--formats", help="comma-separated; default: all")
    parser.add_argument("--threads", default="1,2", help="numbers of threads of one call, comma-separated")
    parser.add_argument("--windows", type=int, default=2000, help="at most so many windows of the test part")
    parser.add_argument("--seconds", type=float, default=1.5, help="timed for each batch size, at least (1.5)")
    parser.add_argument("--output", type=Path, help="folder of the report; default: benchmark/ beside the bundle")
    return parser


@cli.command("keras_seq.benchmark")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options = make_parser().parse_args(argv)
    threads = _numbers(options.threads)
    if options.windows < 1:
        raise ConfigError(f"--windows must be at least 1, got {options.windows}.")
    if not options.seconds > 0:
        raise ConfigError(f"--seconds must be above 0, got {options.seconds:g}.")
    machine.load_tensorflow()
    from keras_seq.bundle import load_bundle
    from keras_seq.export.benchmark import benchmark
    from keras_seq.export.formats import KINDS
    from keras_seq.reports import benchmark as report
    from keras_seq.reports.summary import say

    bundle = load_bundle(options.bundle)
    kinds = tuple(options.formats.split(",")) if options.formats else KINDS
    measured = benchmark(bundle, kinds, threads=threads, most_windows=options.windows, seconds=options.seconds, say=say)
    folder = files.ensure_writable(options.output or bundle.folder.parent / "benchmark")
    text = report.to_markdown(measured, bundle.experiment.name)
    files.write_text(folder / "benchmark.md", text)
    files.write_text(folder / "benchmark.csv", report.to_csv(measured))
    rows = [row.to_dict() | {"loss": measured.loss(row)} for row in measured.rows]
    document = {"metric": measured.metric, "judged": measured.judged, "rows": rows, "failed": measured.failed}
    files.write_json(folder / "benchmark.json", document)
    report.draw(measured, folder / "benchmark.png")
    _record(bundle, measured, folder)
    named = [f"Format {name} was not measured: {reason}" for name, reason in measured.failed.items()]
    failed = ExportError(" ".join(named)) if named else None
    return cli.Result({**document, "folder": folder}, f"{text}\nwritten to {folder}", failed)


def _record(bundle: Bundle, measured: Benchmark, folder: Path) -> None:
    """The folder and the main numbers as a run in the tracking store."""
    from keras_seq import tracking

    with tracking.track(bundle.experiment, run_name="benchmark", kind="benchmark") as tracker:
        for row in measured.rows:
            name = f"{row.format.replace('-', '_')}_{row.threads}_threads"
            tracker.log_metrics({f"{name}_ms": row.batches["1"]["p50"], f"{name}_loss": measured.loss(row)})
        tracker.log_folder(folder, "benchmark")


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ConfigError(f"--threads must be numbers from 1 on like 1,2, got '{text}'.")
    return numbers


if __name__ == "__main__":
    sys.exit(cli.run(main))
