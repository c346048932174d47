"""The same experiment over folds and seeds."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from keras_seq import config, files, machine
from keras_seq.errors import DataError, KerasSeqError
from keras_seq.evaluation.spread import spread, to_markdown
from keras_seq.machine import thread_environment
from keras_seq.pipeline.reuse import DataNow, refuse_mixed

logger = logging.getLogger(__name__)


def crossval(
    experiment: config.Experiment,
    *,
    folds: int,
    seeds: Sequence[int],
    workers: int = 1,
    features: Sequence[Sequence[str]] = (),
) -> dict[str, Any]:
    """Train every fold with every seed.

    Args:
        experiment: the configuration; its fold and seed are replaced.
        folds: of the non-test units; 0 keeps the configuration's single split.
        seeds: of training; the split stays the same.
        workers: runs at a time, each with an equal share of the cores.
        features: input features of each fold, as chosen from its training units alone; none: the configuration's.

    Returns:
        ``{"runs": [...], "summary": {metric: {"mean", "deviation", "n"}}}``. Deviations are over seeds,
        of the mean over folds.

    Raises:
        KerasSeqError: a run failed; carries its message.
    """
    from keras_seq.models.registry import resolve_experiment

    machine.load_tensorflow()
    runs = list(_experiments(resolve_experiment(experiment), folds, seeds, features))
    now = DataNow()
    with ThreadPoolExecutor(workers) as pool:  # threads only wait for processes
        results = list(pool.map(lambda run: train_apart(run, workers, now), runs))
    refuse_mixed((run["folder"] for run in results), "keras_seq.crossval")
    outcome = {
        "name": experiment.name,
        "folds": folds,
        "seeds": list(seeds),
        "runs": results,
        "summary": spread(results),
    }
    folder = Path(experiment.output) / experiment.name
    files.write_json(folder / "crossval.json", outcome)
    files.write_text(folder / "crossval.md", to_markdown(outcome))
    return outcome


def _experiments(
    experiment: config.Experiment, folds: int, seeds: Sequence[int], features: Sequence[Sequence[str]] = ()
) -> Iterator[config.Experiment]:
    for seed, fold in itertools.product(seeds, range(max(folds, 1))):
        changes: dict[str, Any] = {"seed": seed, "export.saved_model": False}
        if folds:
            changes |= {"data.split.folds": folds, "data.split.fold": fold}
        if features:
            changes["data.features"] = list(features[fold])
            changes["data.known_ahead"] = [name for name in experiment.data.known_ahead if name in features[fold]]
        if seed != seeds[0]:
            changes["evaluation.baseline"] = False  # same split, same baseline
        yield config.replace(experiment, **changes)


def train_apart(experiment: config.Experiment, workers: int = 1, now: DataNow | None = None) -> dict[str, Any]:
    """Train one experiment in a process of its own, or take what a finished run of it left.

    Args:
        experiment: resolved; its run folder tells it from others.
        workers: runs at a time, each with an equal share of the cores.
        now: the data as they are, read once for all runs; a run of other data is trained again.

    Returns:
        ``{"seed", "fold", "folder", "metrics"}``.

    Raises:
        KerasSeqError: the run failed; carries its message.
    """
    from keras_seq.pipeline.context import run_folder

    folder = run_folder(experiment)
    metrics, changed = (now or DataNow()).finished(folder, experiment)
    if changed:
        logger.info(f"  {folder}: trained again, {changed}")
    if metrics is None:
        files.ensure_writable(folder)
        files.write_text(folder / "crossval.yaml", config.to_yaml(experiment))
        command = [sys.executable, "-m", "keras_seq.train", "--config", str(folder / "crossval.yaml"), "--json"]
        done = subprocess.run(command, env=_share_of_cores(workers), capture_output=True, text=True, check=False)
        if done.returncode:
            raise KerasSeqError(f"Run '{folder}' failed: {done.stderr.strip().splitlines()[-1]}")
        metrics = json.loads(done.stdout.splitlines()[-1])["metrics"]
    split = experiment.data.split
    piece = f"origin {split.origin}" if split.origins else f"fold {split.fold}"
    logger.info(f"  seed {experiment.seed} {piece}: {folder}")
    return {"seed": experiment.seed, "fold": split.fold, "folder": str(folder), "metrics": metrics}


def refuse_other_data(path: str, experiment: config.Experiment) -> None:
    """Refuse features chosen on other data: a fold's choice must come from what is now its training units.

    Args:
        path: ``selection.json``; one without a record of its data is taken.
        experiment: the configuration.

    Raises:
        DataError: the data have changed since the selection.
    """
    known = files.read_json(path).get("data")
    if not known:
        return
    changes = {"features": tuple(known["features"]), "covariates": type(experiment.data.covariates)(plan_leads=())}
    if DataNow().series(experiment.data.model_copy(update=changes)).content() != known["content"]:
        raise DataError(
            f"--features: the data have changed since the features in '{path}' were chosen, so a fold's features may "
            "know units that it holds out now. Select again: python -m keras_seq.select with the same configuration."
        )


def _share_of_cores(workers: int) -> dict[str, str]:
    if workers == 1:
        return dict(os.environ)
    return os.environ | thread_environment(max(1, (os.cpu_count() or 1) // workers))
