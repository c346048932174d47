"""``python -m serving.tf_serving``: the files for Docker Compose, Kubernetes and KServe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from keras_seq import cli

DESCRIPTION = """Deploy exported models with the real TensorFlow Serving.

  python -m serving.tf_serving write deploy --models saved_models      Compose, Prometheus, Grafana, Kubernetes, KServe
  python -m serving --backend=docker --models=saved_models             run it here, in a container
  python -m serving --backend=tensorflow_model_server --insecure ...   run it here, from PATH

Comments in the files say what to change.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m serving.tf_serving", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", metavar="write")
    write = commands.add_parser("write", help="write all files into a folder")
    write.add_argument("folder", help="new folder")
    write.add_argument("--models", default="saved_models", help="folder of models, NAME/VERSION/ [%(default)s]")
    write.add_argument("--replace", action="store_true", help="take the place of an existing folder")
    return parser


@cli.command("serving.tf_serving", actions=("write",))
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    parser = make_parser()
    options = parser.parse_args(argv)
    if options.command is None:
        return cli.Result({"text": parser.format_help()}, parser.print_help)
    from serving.tf_serving.write import write as write_files

    written = write_files(options.folder, options.models, replace=options.replace)
    return cli.Result({"folder": options.folder, "written": written}, "\n".join(map(str, written)))


if __name__ == "__main__":
    sys.exit(cli.run(main))
