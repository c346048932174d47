"""The winner of a study: its configuration, and whether it really beats the one that the study began with."""

from __future__ import annotations

from pathlib import Path

from keras_seq import config, files
from keras_seq.errors import ConfigError
from tuning.records import Record, Study


def best(study: Study, retrain: int = 3, workers: int = 1, folds: int = 0) -> str:
    """Write ``best.yaml``; train the winner and the configuration itself anew and compare them.

    The winner's score is the best of many and so looks better than it is. New seeds, judged on the test part (or over
    folds), say by how much. Nothing else of a study touches the test data.

    Args:
        study: with a completed trial.
        retrain: seeds 0, 1, ... of both; 0: write ``best.yaml`` only.
        workers: runs at a time.
        folds: of the non-test units, as ``keras_seq.crossval``; both are then judged on what the folds held out.

    Returns:
        What ``report/comparison.md`` says (``.json``, ``.csv`` and ``.png`` lie beside it); without ``retrain``, and
        where nothing beat the configuration itself, a line that says so.

    Raises:
        ConfigError: no trial has completed, or a number that cannot be.
        KerasSeqError: a run failed; the same call goes on with those that are finished.
    """
    if retrain < 0 or workers < 1 or folds < 0:
        raise ConfigError(
            f"retrain must be at least 0, workers at least 1 and folds at least 0, got {retrain}, {workers}, {folds}."
        )
    winner = winner_of(study)
    path = write_best(study, winner)
    line = f"best configuration: {path} (trial {winner.number}, {study.objective} {winner.score:.5g})"
    if winner.default:
        return f"{line}; it is the configuration itself, so there is nothing to compare"
    return _compared(study, winner, retrain, workers, folds) if retrain else line


def _compared(study: Study, winner: Record, seeds: int, workers: int, folds: int) -> str:
    """What ``report/comparison.md`` says of the winner and the configuration itself, both trained anew."""
    from keras_seq.pipeline.compare import compare
    from keras_seq.pipeline.crossval import crossval

    sides = {"tuned": study.tuned(winner), "default": study.experiment}
    words = []
    for name, experiment in sides.items():
        protocol = f"_{folds}_folds" if folds else ""  # runs of another protocol must not be mixed in
        side = _side(study, experiment, f"{study.name}_{name}{protocol}")
        crossval(side, folds=folds, seeds=range(seeds), workers=workers)
        words.append(f"{name}={Path(side.output) / side.name}")
    outcome = compare(
        words, output=study.folder / "report", metric=_metric(study), rule="accuracy", costs=False, quiet=False
    )
    return (outcome.folder / "comparison.md").read_text(encoding="utf-8")


def winner_of(study: Study) -> Record:
    """The best trial.

    Raises:
        ConfigError: none has completed; says how many failed and why the last did.
    """
    winner = study.best()
    if winner is None:
        failed = [record for record in study.records() if record.status == "failed"]
        why = f" {len(failed)} failed, the last one: {failed[-1].reason}" if failed else ""
        raise ConfigError(f"Study '{study.folder}' has no completed trial, so there is no best one.{why}")
    return winner


def write_best(study: Study, winner: Record) -> Path:
    """Write the winner's configuration as ``keras_seq.train`` takes it."""
    return files.write_text(study.folder / "best.yaml", config.to_yaml(study.tuned(winner)))


def _side(study: Study, experiment: config.Experiment, name: str) -> config.Experiment:
    """One side of the comparison, kept with the study and tracked where the study is."""
    return config.replace(
        experiment,
        **{
            "name": name,
            "output": str(study.folder / "runs"),
            "tracking.experiment": experiment.tracking.experiment or experiment.name,
        },
    )


def _metric(study: Study) -> str | None:
    """The objective, where a comparison knows it; else the task's own metric decides."""
    from keras_seq.evaluation.comparison import MEASURES

    known = {measure.name for measure in MEASURES.get(study.about["task"], ())}
    return study.objective if study.objective in known else None
