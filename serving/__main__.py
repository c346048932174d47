"""``python -m serving``: answer for exported models as TensorFlow Serving does, or start the real server."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from keras_seq import __version__, cli
from keras_seq.cli import output
from keras_seq.errors import ServingError
from serving.settings import BACKENDS, Settings, describe, flags, parse

USAGE = """\
usage: python -m serving [--models=FOLDER | --model_base_path=FOLDER | --model_config_file=FILE] [--flag=value ...]

Serves SavedModel versions over REST and gRPC with TensorFlow Serving's contract. Without a binary of
tensorflow_model_server on PATH an embedded server answers; its own flags are taken either way.

examples:
  python -m serving                                             # every model in saved_models/
  python -m serving --model_name=fd001 --model_base_path=saved_models/cmapss_fd001
  python -m serving --model_config_file=models.config --workers=2 --extras_prefix=/keras_seq
"""


@cli.command("serving")
def main(argv: Sequence[str]) -> cli.Result | int:
    """Command line.

    Returns:
        Exit code of the server.

    Raises:
        ConfigError: a flag is unknown or its value cannot be used.
        ServingError: a port is taken, or no model can be served.
    """
    words = list(argv)
    if {"-h", "--help", "--helpfull"} & set(words):
        text = f"{USAGE}\n{describe()}"
        return cli.Result({"text": text}, text)
    if {"--version", "--version=true"} & set(words):
        return cli.Result({"version": __version__}, f"keras_seq {__version__}")
    settings = parse(words)
    if output.wanted():
        from serving.ready import announce_when_ready

        announce_when_ready(settings)
    code = _serve(settings)
    if code and output.wanted():
        raise ServingError(f"The server ended with code {code}; the reason is on standard error.")
    return code


def _serve(settings: Settings) -> int:
    if settings.backend == "embedded" or (settings.backend == "auto" and not shutil.which("tensorflow_model_server")):
        return embedded(settings)
    from serving.tf_serving.launch import launch

    return int(launch(settings))


def make_parser() -> cli.Parser:
    """The flags as a parser, for completion; ``parse`` reads them."""
    parser = cli.Parser(prog="python -m serving")
    for name, default in flags().items():
        what = {"choices": BACKENDS} if name == "backend" else {"type": type(default)}
        switch = {"nargs": "?", "choices": ("true", "false")} if isinstance(default, bool) else what
        parser.add_argument(f"--{name}", **switch)
    return parser


def embedded(settings: Settings) -> int:
    """Run the server of this package until it is told to stop."""
    from serving.server.supervisor import Supervisor

    return Supervisor(settings).run()


if __name__ == "__main__":
    sys.exit(cli.run(main))
