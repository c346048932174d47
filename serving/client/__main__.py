"""``python -m serving.client``: ask a server from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import cli
from keras_seq.errors import ConfigError

if TYPE_CHECKING:
    from serving.client.base import BaseClient
    from serving.client.calls import Description
    from serving.client.served import Columns

DESCRIPTION = """Ask a model server: the embedded one, or tensorflow_model_server.

  python -m serving.client predict fd001 engines.csv
  python -m serving.client predict fd001 engines.csv --unit engine --every 10 --out answers.csv
  python -m serving.client predict fd001 engines.csv --grpc 127.0.0.1:8500
  python -m serving.client status fd001
  python -m serving.client metadata fd001 --version 3

Features, window and columns are those that the served version tells (a server with --extras_prefix /keras_seq, or its
metadata.json given by --metadata); where it tells nothing, --features, --window, --unit and --time say them.
"""


COMMANDS = ("predict", "status", "metadata")


@cli.command("serving.client", actions=COMMANDS)
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    parser = make_parser()
    options = parser.parse_args(argv)
    if options.command is None:
        return cli.Result({"text": parser.format_help()}, parser.print_help)
    with _client(options) as client:
        command = {"predict": _predict, "status": _status, "metadata": _metadata}[options.command]
        return command(client, options)


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m serving.client", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", metavar="predict | status | metadata")
    shared = cli.Parser(add_help=False)
    shared.add_argument("model", help="name of the served model")
    shared.add_argument("--url", default="http://127.0.0.1:8501", help="REST address [%(default)s]")
    shared.add_argument("--grpc", metavar="HOST:PORT", help="gRPC address, instead of REST")
    shared.add_argument("--version", type=int, help="number of the version; default: the server's choice")
    shared.add_argument("--label", help="label of the version, such as stable")
    shared.add_argument("--token_file", help="file with the token the server wants (or KERAS_SEQ_TOKEN)")
    shared.add_argument("--ca", help="certificates that a TLS server is checked against")
    shared.add_argument("--timeout", type=float, default=60.0, help="seconds a call may take [60]")
    shared.add_argument("--extras_prefix", default="/keras_seq", help="where the server's extras are [/keras_seq]")
    predict = commands.add_parser("predict", parents=[shared], help="answers for a table")
    predict.add_argument("file", help="table of any format that training reads, one row a time step, units together")
    predict.add_argument("--signature", help="default: serving_default")
    predict.add_argument("--unit", help="column that tells units apart")
    predict.add_argument("--time", help="column that rises within a unit")
    predict.add_argument("--features", help="columns in the model's order, by commas")
    predict.add_argument("--window", type=int, help="steps of a window")
    predict.add_argument("--every", type=int, default=0, help="also answer every n rows (0: only at each unit's end)")
    predict.add_argument("--plan", metavar="FILE", help="known-ahead columns of later steps (units, time, columns)")
    predict.add_argument("--whole", action="store_true", help="the file holds every unit from its first row on")
    predict.add_argument("--metadata", help="metadata.json of the served version, where the server does not give it")
    predict.add_argument("--rows_per_request", type=int, default=256, help="windows of one request [256]")
    predict.add_argument("--connections", type=int, default=1, help="requests under way at once [1]")
    predict.add_argument("--out", help="CSV, Parquet or JSON file to write; default: CSV on the terminal")
    for name, about in (("status", "state of every version"), ("metadata", "signatures of a version")):
        commands.add_parser(name, parents=[shared], help=about)
    return parser


def _client(options: argparse.Namespace) -> BaseClient:
    shared: dict[str, Any] = {"timeout": options.timeout, "ca": options.ca, "token": _token(options.token_file)}
    if options.command == "predict":
        shared |= {"rows_per_request": options.rows_per_request, "connections": options.connections}
    if options.grpc:
        from serving.client.rpc import GrpcClient

        return GrpcClient(options.grpc, **shared)
    from serving.client.rest import Client

    return Client(options.url, extras_prefix=options.extras_prefix, **shared)


def _token(path: str | None) -> str | None:
    if path is None:
        return os.environ.get("KERAS_SEQ_TOKEN")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"The file '{path}' of --token_file cannot be read: {error.strerror}.") from None


def _predict(client: BaseClient, options: argparse.Namespace) -> cli.Result:
    from keras_seq.commands.predict import tell
    from serving.client.calls import VersionTarget
    from serving.client.tables import answer_table
    from serving.contract.signatures import DEFAULT

    answers = answer_table(
        client,
        VersionTarget(options.model, options.version, options.label),
        Path(options.file),
        _columns(options),
        signature=options.signature or DEFAULT,
        description=_description(options.metadata),
    )
    return tell(answers, options.out, {"model": options.model})


def _columns(options: argparse.Namespace) -> Columns:
    from serving.client.served import Columns

    return Columns(
        features=tuple(name.strip() for name in options.features.split(",")) if options.features else None,
        window=options.window,
        unit=options.unit,
        time=options.time,
        every=max(options.every, 0),
        whole=options.whole,
        plan=options.plan,
    )


def _description(path: str | None) -> Description | None:
    from keras_seq import files

    if path is None:
        return None
    try:
        return dict(files.read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"The file '{path}' of --metadata cannot be read: {error}.") from None


def _status(client: BaseClient, options: argparse.Namespace) -> cli.Result:
    rows = client.status(options.model, version=options.version, label=options.label)
    lines = []
    for row in rows:
        error = f"  {row.error_code}: {row.error_message}" if row.error_message else ""
        lines.append(f"{row.version:>10}  {row.state}{error}")
    return cli.Result({"model": options.model, "versions": rows}, "\n".join(lines))


def _metadata(client: BaseClient, options: argparse.Namespace) -> cli.Result:
    signatures = client.metadata(options.model, version=options.version, label=options.label)
    shown = {name: {"method": s.method, "inputs": s.inputs, "outputs": s.outputs} for name, s in signatures.items()}
    lines = []
    for name, signature in signatures.items():
        lines.append(f"{name}  ({signature.method})")
        for side, tensors in (("in", signature.inputs), ("out", signature.outputs)):
            for alias, info in tensors.items():
                shape = "?" if info.shape is None else f"({', '.join('any' if n < 0 else str(n) for n in info.shape)})"
                lines.append(f"  {side:<4}{alias:<24}{info.dtype:<12}{shape}")
    return cli.Result({"model": options.model, "signatures": shown}, "\n".join(lines))


if __name__ == "__main__":
    sys.exit(cli.run(main))
