"""Write a bundle as a version for servers: ``python -m keras_seq.export BUNDLE``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_seq import cli, config, machine
from keras_seq.errors import ConfigError, ExportError, KerasSeqError
from keras_seq.export.formats import KINDS
from keras_seq.pipeline.export import export

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.export.version import Exported

DESCRIPTION = f"""Write a bundle in every format, compare with the Keras model, judge by the gate: one version folder.

  python -m keras_seq.export runs/caster/seed-0
  python -m keras_seq.export runs/caster/seed-0 --formats saved_model,onnx,tflite-int8 --require 'auc_roc>=0.8'
  python -m keras_seq.export runs/caster/seed-0 --push saved_models/caster --margin 0.01
Formats: {", ".join(KINDS)}.
Options --data.home, --tracking.uri and the like stand in for those of the bundle.
Exit code 2: a format could not be written (the others are), or --push was refused.
"""


@cli.command("keras_seq.export")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, rest = make_parser().parse_known_args(argv)
    if options.force and not options.push:
        raise ConfigError("Option '--force' is for --push; give --push BASE, or leave it out.")
    if options.explain < 0:
        raise ConfigError(f"Option '--explain' is a number of training windows, got {options.explain}.")
    if not 0 <= options.margin < 1:
        raise ConfigError(f"Option '--margin' is a share of a metric from 0 to below 1, got {options.margin:g}.")
    formats = [name.strip() for name in options.formats.split(",") if name.strip()]
    if not formats:
        raise ConfigError("Option '--formats' names no format.")
    if options.push and "saved_model" not in formats:
        raise ConfigError("Option '--push' needs saved_model among --formats: it is what a server loads.")
    bundle = _load(options.bundle, cli.read_overrides(rest))
    from keras_seq.export.record import note_versions

    notes = note_versions(bundle)
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    machine.load_tensorflow()
    exported = export(
        bundle,
        formats,
        output=options.output,
        version=options.version,
        require=options.require,
        margin=options.margin,
        base=options.push,
        explain=options.explain,
        say=_say,
    )
    outcome = exported.to_dict() | {"warnings": notes, "pushed": None, "forced": False}
    refused = _push(exported, options, outcome) if options.push else ""
    _record(bundle, exported, outcome, options.push)
    named = [f"Format {name} was not written: {reason}" for name, reason in exported.failed.items()]
    failure = ExportError(" ".join([*named, refused]).strip()) if named or refused else None
    return cli.Result(outcome, lambda: _print(outcome), failure)


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(
        prog="python -m keras_seq.export",
        description=DESCRIPTION,
        keys=("data.", "tracking."),
        values={"--formats": KINDS},
    )
    parser.add_argument("bundle", help="bundle or run folder")
    parser.add_argument("--formats", default="saved_model,onnx,tflite,keras", help="comma-separated")
    parser.add_argument("--output", help="folder that takes the version; default: export/ beside the bundle")
    parser.add_argument("--version", type=int, help="number of the version; default: the next one")
    parser.add_argument("--push", metavar="BASE", help="copy the version to this model base path if it is blessed")
    parser.add_argument("--force", action="store_true", help="push it even if it is not; the copy says so")
    parser.add_argument("--require", action="append", default=[], metavar="METRIC<=N", help="bound on a test metric")
    parser.add_argument(
        "--margin", type=float, default=0.0, help="by which champion or baseline must be beaten, a share of its metric"
    )
    parser.add_argument(
        "--explain", type=int, nargs="?", const=4, default=0, metavar="N",
        help="add a signature 'explain': integrated gradients from N training windows (default 4)",
    )  # fmt: skip
    return parser


def _load(path: str, overrides: dict[str, Any]) -> Bundle:
    from keras_seq.bundle import load_bundle

    cli.refuse_other_sections(overrides, "data", "tracking")
    bundle = load_bundle(path)
    tree = config.override(config.to_dict(bundle.experiment), overrides)
    return dataclasses.replace(bundle, experiment=config.from_dict(tree))


def _push(exported: Exported, options: Any, outcome: dict[str, Any]) -> str:
    """Push and note it; why it was refused, or nothing."""
    from keras_seq.export.push import push

    try:
        target = push(exported.folder, options.push, force=options.force)
    except ExportError as error:
        return str(error)
    outcome |= {"pushed": str(target), "forced": not exported.verdict.blessed}
    return ""


def _record(bundle: Bundle, exported: Exported, outcome: dict[str, Any], base: str | None) -> None:
    """On record; a store that is away does not undo an export."""
    from keras_seq.export.record import record

    try:
        outcome["record"] = record(bundle, exported.folder, outcome, base)
    except KerasSeqError as error:
        outcome["record"] = None
        outcome["warnings"].append(str(error))
        print(f"warning: {error}", file=sys.stderr)


def _print(outcome: dict[str, Any]) -> None:
    for check in outcome["checks"]:
        print(f"  {'pass' if check['passed'] else 'FAIL'}  {check['name']}: {check['found']}")
        for reason in check["reasons"]:
            print(f"        {reason}")
    step = outcome["step"]
    print(f"  step form: {'step signature, ' + step['note'] if 'state' in step else 'none: ' + step['reason']}")
    print(f"{'BLESSED' if outcome['blessed'] else 'NOT BLESSED'}  {outcome['version']}")
    if outcome["pushed"]:
        print(f"pushed to {outcome['pushed']}{' (forced)' if outcome['forced'] else ''}")


def _say(text: str) -> None:
    print(f"  {text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(cli.run(main))
