"""From a raw file to a trained, saved sequence model: ``python -m keras_seq.train``."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence

from keras_seq import cli, config, processes
from keras_seq.cli import output
from keras_seq.errors import TrainingError
from keras_seq.pipeline.context import run_folder
from keras_seq.pipeline.train import train

DESCRIPTION = """Train a sequence model and leave a bundle, a record and a served version.

Without options: the continuous-casting study on generated data, no download.
  python -m keras_seq.train
  python -m keras_seq.train --config configs/cmapss_fd001.yaml --seed 1
  python -m keras_seq.train --data.source table --data.path my.csv --data.unit machine --data.targets '[wear]'
  python -m keras_seq.train --config configs/cmapss_fd001.yaml --workers 2     two processes share every batch

Killed or stopped, the same command goes on where it was.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.experiment_parser("keras_seq.train", DESCRIPTION)
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes of this machine that share it")
    parser.add_argument("--restarts", type=int, default=3, metavar="N", help="of all workers when one dies (3)")
    return parser


@cli.command("keras_seq.train")
def main(argv: Sequence[str]) -> cli.Result | int:
    """Command line."""
    options, experiment = cli.parse_experiment(make_parser(), argv)
    from keras_seq.training import distribute, launch
    from keras_seq.training.cluster import WorkerLost

    launch.check_numbers(options.workers, options.restarts)
    if options.workers > 1:
        return _launch(argv, experiment, options.workers, options.restarts)
    try:
        with distribute.connect(experiment.training):
            return cli.Result(train(experiment).to_dict())
    except WorkerLost as error:
        if output.wanted():
            output.write({}, error=error)
        print(f"error: {error}", file=sys.stderr)
        return processes.RESTART


def _launch(words: Sequence[str], experiment: config.Experiment, workers: int, restarts: int) -> cli.Result | int:
    """Let several processes train; the chief's result."""
    from keras_seq.training import launch

    words_of_workers = [*launch.words_without(words), *([output.FLAG] if output.wanted() else [])]
    command = [sys.executable, "-m", "keras_seq.train", *words_of_workers]
    with tempfile.TemporaryFile() as file:
        out = file if output.wanted() else None
        code = launch.WorkerJob(command, workers, run_folder(experiment) / "workers", restarts, out=out).run()
        if out is None or code == processes.INTERRUPTED:
            return code
        file.seek(0)
        documents = [json.loads(line) for line in file.read().splitlines()]
    document = documents[-1] if documents else {}
    fields = {name: value for name, value in document.items() if name not in output.ENVELOPE}
    if not code:
        return cli.Result(fields)
    reason = document.get("error") or {"message": f"A worker ended with exit code {code}; see standard error."}
    return cli.Result(fields, error=TrainingError(reason["message"]))


if __name__ == "__main__":
    sys.exit(cli.run(main))
