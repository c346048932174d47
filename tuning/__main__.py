"""``python -m tuning``: search for better configurations, watch a study, use its winner."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from keras_seq import cli, machine
from keras_seq.config.main_job import MAIN_JOB
from keras_seq.errors import ConfigError
from tuning.settings import TUNERS, StudyPlan, TuningConfig, load_plan

DESCRIPTION = """Search for better hyperparameters with KerasTuner; resumable, parallel, every trial on record.

  python -m tuning --config configs/cmapss_fd001.yaml --trials 60 --tuner bayesian --workers 2
  python -m tuning status studies/cmapss_fd001             progress, from any terminal (also: --status)
  python -m tuning best studies/cmapss_fd001 --retrain 3   train the winner and the default, compare them
  python -m tuning pareto studies/cmapss_fd001 --against latency_ms
  python -m tuning report studies/cmapss_fd001             plots and one HTML page

Killed or stopped, the same command goes on where it was. The space and the settings are the 'tuning' section of
the configuration file; without a space the family's default is searched.
"""


ACTIONS = ("status", "best", "pareto", "report")


@cli.command("tuning", actions=ACTIONS)
def main(argv: Sequence[str]) -> cli.Result | int:
    """Command line."""
    words = list(argv)
    if words and words[0] in ACTIONS:
        from tuning import commands

        return commands.run(words[0], words[1:])
    options, rest = make_parser().parse_known_args(words)
    overrides = cli.read_overrides(rest)
    overrides |= {
        f"tuning.{name}": getattr(options, name) for name in ("trials", "tuner") if getattr(options, name) is not None
    }
    start: dict[str, Any] = {} if "data.source" in overrides else MAIN_JOB
    plan = load_plan(options.config, overrides, start)
    folder = Path(options.studies) / plan.experiment.name
    if options.status:
        from tuning import commands

        return commands.run("status", [str(folder)])
    if options.role == "worker":
        return _work(folder)
    return _search(plan, folder, options)


def _search(plan: StudyPlan, folder: Path, options: argparse.Namespace) -> cli.Result:
    if options.workers < (0 if options.role == "chief" else 1):
        raise ConfigError(f"--workers must be at least 1 (0 with --role chief), got {options.workers}.")
    machine.load_tensorflow()
    from tuning import commands
    from tuning.search import StudyLocation, say, search

    where = StudyLocation(folder, options.workers, options.address, options.port, options.overwrite)
    tracking = None if options.tracking == "auto" else options.tracking
    return commands.finish(search(plan, where, tracking=tracking, say=say))


def _work(folder: Path) -> cli.Result | int:
    from tuning import worker

    return worker.main([str(folder)]) or cli.Result({"study": folder})


def make_parser(action: str = "") -> cli.Parser:
    """The options of a search, or of one of ``ACTIONS``."""
    if action:
        from tuning import commands

        return commands.make_parser(action)
    parser = cli.Parser(
        prog="python -m tuning",
        usage="python -m tuning [--config FILE] [--trials N] [--tuner NAME] [--section.field VALUE ...]",
        description=DESCRIPTION,
        epilog=_describe_settings(),
        keys=("", *(f"tuning.{name}" for name in TuningConfig.model_fields)),
        values={
            f"--tuning.{name}": get_args(info.annotation)
            for name, info in TuningConfig.model_fields.items()
            if get_origin(info.annotation) is Literal
        },
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="YAML file of an experiment, with or without a 'tuning' section")
    add("--trials", type=int, help="trials in all")
    add("--tuner", choices=TUNERS, help="which of KerasTuner's oracles")
    add("--workers", type=int, default=1, help="trials at a time, each with its share of the cores")
    add("--studies", default="studies", help="folder of studies; this one is <studies>/<name of the configuration>")
    add("--overwrite", action="store_true", help="throw away the study that is there")
    add("--status", action="store_true", help="only say how far the study is")
    add("--tracking", default="auto", choices=("auto", "mlflow", "wandb", "none"), help="auto: as configured")
    add("--role", default="all", choices=("all", "chief", "worker"), help="on several machines (docs/tuning.md)")
    add("--address", default="127.0.0.1", help="that the chief listens on; other machines need one they can reach")
    add("--port", type=int, default=0, help="of the chief (0: a free one)")
    return parser


def _describe_settings() -> str:
    lines = ["settings of a study (--tuning.<name> VALUE, or in the file's section 'tuning'):"]
    for name, info in TuningConfig.model_fields.items():
        default = info.get_default(call_default_factory=True)
        lines.append(f"  {name} = {'none' if default is None else default}  {info.description or ''}")
    lines.append("\nand every field of an experiment; see python -m keras_seq.train --help")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(cli.run(main))
