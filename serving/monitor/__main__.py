"""``python -m serving.monitor``: join labels, see the state, measure false alarms."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keras_seq import cli, machine
from keras_seq.errors import ConfigError, DataError

DESCRIPTION = """What a server's monitor has seen, and truth that came later.

  python -m serving.monitor status --folder monitor
  python -m serving.monitor events --folder monitor --last 20
  python -m serving.monitor label labels.csv --folder monitor --models saved_models
  python -m serving.monitor rates saved_models/fd001/3 --bundle runs/cmapss_fd001/seed-0 --part test
  python -m serving.monitor rates saved_models/fd001/3 --bundle runs/cmapss_fd001/seed-0 --data.subset FD002

label: a CSV file with the columns request_id, label (or label_0, label_1, ...) and, where requests have several
rows, row. rates: streams of requests from a part of the bundle's data; how often they raise an alarm, how soon.
"""
FOLDER_HELP = "folder of the monitor (default: monitor)"


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m serving.monitor", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="status|events|label|rates")
    for name, about in (("status", "state of the watched versions"), ("events", "what happened")):
        added = commands.add_parser(name, help=about)
        added.add_argument("--folder", default="monitor", help=FOLDER_HELP)
        if name == "events":
            added.add_argument("--last", type=int, default=20, help="newest ones to print")
    label = commands.add_parser("label", help="join labels with logged answers")
    label.add_argument("file", help="CSV file")
    label.add_argument("--folder", default="monitor", help=FOLDER_HELP)
    label.add_argument("--models", default="saved_models", help="folder of the models, whose versions hold references")
    rates = commands.add_parser("rates", help="measure false alarms, or how soon other data are seen", keys=("data.",))
    rates.add_argument("version", help="version folder with a reference")
    rates.add_argument("--bundle", required=True, help="bundle that the version was exported from")
    rates.add_argument("--part", default="test", choices=("train", "validation", "test"), help="of the data")
    rates.add_argument("--requests", type=int, default=2000, help="of a stream")
    rates.add_argument("--streams", type=int, default=100, help="streams put together")
    rates.add_argument("--settings", metavar="FILE", help="of the monitor")
    return parser


@cli.command("serving.monitor", actions=("status", "events", "label", "rates"))
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, rest = make_parser().parse_known_args(argv)
    if rest and options.command != "rates":
        raise ConfigError(f"Unexpected argument '{rest[0]}'. See 'python -m serving.monitor {options.command} --help'.")
    run: dict[str, Callable[..., cli.Result]] = {"status": _status, "events": _events, "label": _label}
    return _rates(options, cli.read_overrides(rest)) if options.command == "rates" else run[options.command](options)


def _folder(options: argparse.Namespace) -> Path:
    folder = Path(options.folder)
    if not folder.is_dir():
        raise ConfigError(f"Option '--folder': there is no monitor's folder at '{folder}'.")
    return folder


def _status(options: argparse.Namespace) -> cli.Result:
    from keras_seq import files

    processes = []
    for path in sorted((_folder(options) / "status").glob("*.json")):
        try:
            processes.append(files.read_json(path))
        except (OSError, ValueError):
            continue
    return cli.Result({"processes": processes}, lambda: _print_status(processes))


def _print_status(processes: list[dict[str, Any]]) -> None:
    for process in processes:
        print(f"as of {_time(process['time'])}: {process['dropped']} calls dropped, {process['failures']} failures")
        for version in process["versions"]:
            reference = "" if version["reference"] else ", no reference: nothing is compared"
            print(f"  {version['model']} version {version['version']}: {version['calls']} calls{reference}")
            for alarm in version["alarms"]:
                state = "DRIFT" if alarm["drift"] else "no drift" if alarm["checked"] else "not yet full"
                print(f"    {alarm['of']}, last {alarm['window']}: {state} (score {alarm['score']:.2f})")
    if not processes:
        print("no monitor has written its status here yet")


def _events(options: argparse.Namespace) -> cli.Result:
    from serving.monitor.events import read_events

    events = list(read_events(_folder(options)))[-max(options.last, 0) :]
    lines = []
    for event in events:
        top = ", ".join(f"{column['column']} ({column['share']:.1f})" for column in event.get("top", []))
        where = " ".join(str(event[name]) for name in ("model", "version", "of", "window") if name in event)
        lines.append(f"{_time(event['time'])}  {event['event']}  {where}  {top or event.get('reason', '')}".rstrip())
    return cli.Result({"events": events}, "\n".join(lines))


def _label(options: argparse.Namespace) -> cli.Result:
    from serving.monitor.labels import add_labels, read_labels

    base = Path(options.models)

    def where(model: str, version: int) -> Path | None:
        folder = base / model / str(version)
        return folder if folder.is_dir() else None

    outcome = add_labels(_folder(options), read_labels(options.file), where)
    return cli.Result(outcome, lambda: _print_labels(outcome))


def _print_labels(outcome: dict[str, Any]) -> None:
    print(f"{outcome['joined']} of {outcome['labels']} labels joined with logged answers")
    for name, facts in outcome["versions"].items():
        against = f", {facts['reference_error']:.4g} when exported" if facts.get("reference_error") is not None else ""
        print(f"  {name}: mean error {facts['error']:.4g} over {facts['labels']} answers{against}")
    for event in outcome["events"]:
        print(f"  errors of {event['model']}/{event['version']} rose at {_time(event['at'])}: {event['error']:.4g}")


def _rates(options: argparse.Namespace, overrides: dict[str, Any]) -> cli.Result:
    from keras_seq import config
    from keras_seq.bundle import load_bundle
    from keras_seq.export.reference import read_reference
    from serving.monitor.settings import MonitorSettings, load_settings

    if options.requests < 1 or options.streams < 1:
        raise ConfigError("Options '--requests' and '--streams' must be at least 1.")
    foreign = [name for name in overrides if not name.startswith("data.")]
    if foreign:
        raise ConfigError(f"Option '--{foreign[0]}' is not known here; --data.* names other data.")
    reference = read_reference(options.version)
    if reference is None:
        raise DataError(f"Version '{options.version}' holds no reference; export its bundle again.")
    bundle = load_bundle(options.bundle)
    tree = config.override(config.to_dict(bundle.experiment), overrides)
    bundle = dataclasses.replace(bundle, experiment=config.from_dict(tree))
    settings = load_settings(options.settings) if options.settings else MonitorSettings()
    machine.load_tensorflow()
    from serving.monitor.rates import measure_part

    rates = measure_part(
        reference, settings, bundle, options.part, requests=options.requests, streams=options.streams
    ).to_dict()
    return cli.Result(rates, lambda: _print_rates(rates, options.part))


def _print_rates(rates: dict[str, Any], part: str) -> None:
    print(f"{rates['streams']} streams of {rates['requests']} requests from the {part} part")
    for key, checks in rates["checks"].items():
        alarms = rates["alarms"].get(key, 0)
        print(f"  {key:>14}: {rates['exceeded'][key]:.3%} of {checks} checks above the threshold, {alarms} alarms")
    print(f"  streams with an alarm: {rates['streams_with_alarm']:.1%}")
    if rates["requests_until_alarm"]:
        until = rates["requests_until_alarm"]
        print(f"  requests until the first alarm: median {until['median']:g}, at most {until['largest']}")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(cli.run(main))
