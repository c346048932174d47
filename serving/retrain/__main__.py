"""``python -m serving.retrain``: train on new data and serve the result if it is better."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_seq import cli
from keras_seq.cli import output
from keras_seq.errors import ConfigError

DESCRIPTION = """Train a served model again on new data; push it if the gate finds it better than the champion.

  python -m serving.retrain --model fd001 --data.home /data/of/today
  python -m serving.retrain --model fd001 --warm-start --training.epochs 10 --server http://127.0.0.1:8501
  python -m serving.retrain --model fd001 --on-drift monitor --cooldown 6h
  python -m serving.retrain --model fd001 --every 24h

Configuration and weights are those in the champion, the highest version of the base path; --section.field VALUE
changes them. Killed at any moment, the same command goes on where it was, and a server never sees a half. Exit code
2: the champion stays, the reason is printed, in the state file and on record.
"""
NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")


@cli.command("serving.retrain")
def main(argv: Sequence[str]) -> cli.Result | int:
    """Command line."""
    words = list(argv)
    options, rest = make_parser().parse_known_args(words)
    overrides = cli.read_overrides(rest)
    if not NAME.match(options.model):
        raise ConfigError(f"Option '--model' must be letters, digits, '_', '-' and '.', got '{options.model}'.")
    if not 0 <= options.margin < 1:
        raise ConfigError(f"Option '--margin' is a share of a metric from 0 to below 1, got {options.margin:g}.")
    formats = tuple(name.strip() for name in options.formats.split(",") if name.strip())
    if "saved_model" not in formats:
        raise ConfigError("Option '--formats' needs saved_model: it is what a server loads.")
    if options.on_drift is not None or options.every is not None:
        return _watch(options, words)
    from serving.retrain.job import RetrainRequest, run

    request = RetrainRequest(
        model=options.model,
        base=Path(options.base or Path("saved_models") / options.model),
        work=Path(options.work),
        overrides=overrides,
        bundle=Path(options.bundle) if options.bundle else None,
        warm_start=options.warm_start,
        formats=formats,
        margin=options.margin,
        require=tuple(options.require),
        server=options.server,
        timeout=options.timeout,
        token=os.environ.get("KERAS_SEQ_TOKEN", ""),
        event=options.event,
    )
    state = run(request, _say)
    return cli.Result(state.to_dict(), f"version {state.pushed} is pushed")


def _watch(options: argparse.Namespace, words: list[str]) -> int:
    from serving.retrain.state import JobStore
    from serving.retrain.watch import JobTrigger, command_of, seconds_of, watch

    if options.on_drift is not None and not Path(options.on_drift).is_dir():
        raise ConfigError(f"Option '--on-drift': there is no monitor's folder at '{options.on_drift}'.")
    when = JobTrigger(
        options.model,
        Path(options.on_drift) if options.on_drift is not None else None,
        seconds_of(options.every, "--every") if options.every is not None else 0.0,
        seconds_of(options.cooldown, "--cooldown"),
        options.jobs,
    )
    rest = _without(words, ("--on-drift", "--every", "--cooldown", "--jobs"))
    keeper = JobStore(Path(options.work) / options.model)

    def ended(code: int) -> None:
        job = keeper.read()
        if output.wanted():
            output.write_line({"event": "job", "code": code, "job": job.to_dict() if job else None})

    return watch(when, keeper, command_of(rest), _say, ended=ended)


def _without(words: list[str], names: tuple[str, ...]) -> list[str]:
    """The words without options that take a value."""
    words_left, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in names:
            skip = True
        elif not word.startswith(tuple(f"{name}=" for name in names)):
            words_left.append(word)
    return words_left


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m serving.retrain", description=DESCRIPTION, keys=("",))
    add = parser.add_argument
    add("--model", required=True, help="name")
    add("--base", help="model base path (default: saved_models/MODEL)")
    add("--bundle", help="run to start from while nothing is served yet")
    add("--work", default="retrain", help="folder of the jobs (default: retrain)")
    add("--warm-start", action="store_true", help="start from the champion's weights")
    add("--formats", default="saved_model,onnx,keras", help="comma-separated; see keras_seq.export")
    add("--margin", type=float, default=0.0, help="by which the champion must be beaten, a share of its metric")
    add("--require", action="append", default=[], metavar="METRIC<=N", help="bound on a test metric")
    add("--server", default="", help="address of a running server that must take the version; token: KERAS_SEQ_TOKEN")
    add("--timeout", type=float, default=300.0, help="seconds it may take (default: 300)")
    add("--on-drift", metavar="FOLDER", help="wait for alarms in this monitor's folder")
    add("--every", metavar="TIME", help="start by the clock: 24h, 30m")
    add("--cooldown", default="1h", metavar="TIME", help="after a job, alarms start none for so long (default: 1h)")
    add("--jobs", type=int, default=0, help="end the watch after so many jobs (default: never)")
    add("--event", default="", help="id of the alarm that is answered, for the record")
    return parser


def _say(text: str) -> None:
    print(f"  {text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(cli.run(main))
