"""What one does with a study: watch it, report it, use its winner."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from keras_seq import cli, files
from keras_seq.errors import ConfigError
from tuning.records import Record, Status, Study, open_study


def run(name: str, words: Sequence[str]) -> cli.Result:
    """One of ``status``, ``best``, ``pareto`` and ``report``."""
    commands: dict[str, Callable[[Sequence[str]], cli.Result]] = {
        "status": _status,
        "best": _best,
        "pareto": _pareto,
        "report": _report,
    }
    return commands[name](words)


def finish(study: Study) -> cli.Result:
    """What a search says at its end."""
    from tuning.status import status_table

    told = status_table(study)
    if study.best() is None:
        failure = ConfigError(f"No trial of '{study.folder}' has completed; see the reasons above.")
        return cli.Result(facts(study), told, failure)
    paths = {"best_config": study.folder / "best.yaml", "report": study.folder / "report" / "report.html"}
    text = f"{told}\n\nbest configuration: {paths['best_config']}\nreport: {paths['report']}"
    return cli.Result(facts(study) | paths, text)


def facts(study: Study) -> dict[str, Any]:
    """A study and its trials as plain values."""
    best, records = study.best(), study.records()
    return {
        "study": study.folder,
        "objective": study.objective,
        "direction": study.about["direction"],
        "tuner": study.about.get("tuner"),
        "wanted": study.wanted,
        "exhausted": bool(study.about.get("exhausted")),
        "counts": {name: sum(record.status == name for record in records) for name in get_args(Status)},
        "best": None if best is None else _trial(best),
        "trials": [_trial(record) for record in records],
    }


def _trial(record: Record) -> dict[str, Any]:
    facts = dataclasses.asdict(record)
    return {
        "number": record.number,
        **{name: value for name, value in facts.items() if name not in ("trial", "epochs")},
    }


def _status(words: Sequence[str]) -> cli.Result:
    from tuning.status import status_table

    study = open_study(make_parser("status").parse_args(words).study)
    return cli.Result(facts(study), status_table(study))


def _report(words: Sequence[str]) -> cli.Result:
    from tuning.report import write_report

    study = open_study(make_parser("report").parse_args(words).study)
    written = write_report(study)
    return cli.Result({"study": study.folder, "report": written}, str(written))


def _pareto(words: Sequence[str]) -> cli.Result:
    from tuning.pareto import write_pareto

    options = make_parser("pareto").parse_args(words)
    study = open_study(options.study)
    text, folder = write_pareto(study, options.against), study.folder / "report"
    return cli.Result({"study": study.folder, "folder": folder, **files.read_json(folder / "pareto.json")}, text)


def _best(words: Sequence[str]) -> cli.Result:
    from tuning.best import best, winner_of

    options = make_parser("best").parse_args(words)
    if options.retrain < 0 or options.folds < 0 or options.workers < 1:
        raise ConfigError("--retrain and --folds must not be negative, --workers at least 1.")
    study = open_study(options.study)
    text = best(study, retrain=options.retrain, folds=options.folds, workers=options.workers)
    winner, compared = winner_of(study), study.folder / "report" / "comparison.json"
    fields = {
        "study": study.folder,
        "best_config": study.folder / "best.yaml",
        "best": _trial(winner),
        "comparison": files.read_json(compared) if options.retrain and not winner.default else None,
    }
    return cli.Result(fields, text)


def make_parser(name: str) -> cli.Parser:
    """The options of one of the commands."""
    parser = cli.Parser(prog=f"python -m tuning {name}", description=f"{name} of a study")
    parser.add_argument("study", type=Path, help="folder of the study, such as studies/cmapss_fd001")
    if name == "pareto":
        parser.add_argument("--against", metavar="COST", help="parameters, model_bytes, latency_ms or seconds; all")
    if name == "best":
        parser.add_argument("--retrain", type=int, default=0, help="train winner and default on so many seeds")
        parser.add_argument("--folds", type=int, default=0, help="with --retrain: over so many folds (0: single split)")
        parser.add_argument("--workers", type=int, default=1, help="runs at a time")
    return parser
