"""Train anew as time goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import config, files, machine
from keras_seq.errors import ConfigError, KerasSeqError
from keras_seq.figures import figure, markdown_table

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from keras_seq.evaluation.majority_test import MajorityTest

SHOWN = ("rmse", "mae", "mase", "mse_scaled", "auc_pr", "auc_roc", "accuracy")


def backtest(
    experiment: config.Experiment,
    *,
    origins: int,
    mode: str = "expanding",
    seeds: Sequence[int] = (0,),
    workers: int = 1,
) -> dict[str, Any]:
    """Train and judge every origin with every seed.

    Args:
        experiment: split by time; its origin and seed are replaced.
        origins: periods of the test rows, at least 2.
        mode: "expanding" or "sliding" training rows.
        seeds: of training.
        workers: runs at a time, each with an equal share of the cores.

    Returns:
        ``{"runs", "failures", "pooled": {seed: metrics}, "calls": {seed: numbers}, "by_origin": [...]}``; pooled
        metrics are over the answers of all origins, not means of theirs; ``calls`` (binary) see ``majority_test``.

    Raises:
        ConfigError: a split that is not by time, or fewer than 2 origins.
        KerasSeqError: every run failed; carries the first message.
    """
    if origins < 2:
        raise ConfigError(f"--origins must be at least 2, got {origins}; one origin is what train does.")
    from keras_seq.models.registry import resolve_experiment

    machine.load_tensorflow()
    base = config.replace(
        experiment,
        name=f"{experiment.name}-{mode}-{origins}",
        **{"data.split.origins": origins, "data.split.train_window": mode, "export.saved_model": False},
    )
    runs = [
        config.replace(resolve_experiment(base), seed=seed, **{"data.split.origin": origin})
        for seed in seeds
        for origin in range(origins)
    ]
    results, failures = _train_all(runs, workers)
    folder = Path(experiment.output) / base.name
    outcome = {"name": base.name, "origins": origins, "mode": mode, "seeds": list(seeds), "runs": results}
    outcome |= {"failures": failures, **_pooled(results)}
    files.write_json(folder / "backtest.json", outcome)
    files.write_text(folder / "backtest.md", to_markdown(outcome))
    _draw(results, folder / "backtest.png")
    return outcome


def _train_all(runs: Sequence[config.Experiment], workers: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from keras_seq.pipeline.crossval import train_apart
    from keras_seq.pipeline.reuse import DataNow, refuse_mixed

    now = DataNow()
    failures: list[dict[str, Any]] = []

    def attempt(run: config.Experiment) -> dict[str, Any] | None:
        origin = run.data.split.origin
        try:
            return {**train_apart(run, workers, now), "origin": origin}
        except KerasSeqError as error:
            logger.info(f"  left out: {error}")
            failures.append({"seed": run.seed, "origin": origin, "reason": str(error)})
            return None

    with ThreadPoolExecutor(workers) as pool:  # threads only wait for processes
        results = [found for found in pool.map(attempt, runs) if found is not None]
    if not results:
        raise KerasSeqError(f"No origin could be trained. {failures[0]['reason']}")
    refuse_mixed((run["folder"] for run in results), "keras_seq.backtest")
    return results, failures


def _pooled(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Metrics over the answers of all origins by seed, calls against a constant, metrics of each origin."""
    import numpy as np

    from keras_seq.bundle import load_bundle
    from keras_seq.evaluation.answers import Preparer, replicate, run_answers

    prepare = Preparer()
    by_seed: dict[int, list[Any]] = {}
    common: dict[str, int] = {}  # class that is commoner in the training part of a run
    for result in results:
        bundle = load_bundle(result["folder"])
        prepared = prepare(bundle.experiment.data)
        by_seed.setdefault(result["seed"], []).append((bundle, run_answers(bundle, prepared, "test")))
        if bundle.spec.task == "binary":
            labels = prepared.series.targets[prepared.index["train"].target, 0]
            common[str(bundle.folder)] = int(np.nanmean(labels) >= 0.5)
    return {
        "pooled": {seed: replicate(pieces, "test").metrics for seed, pieces in by_seed.items()},
        "calls": {seed: _calls(pieces, common).to_dict() for seed, pieces in by_seed.items() if common},
        "by_origin": [
            {
                "seed": result["seed"],
                "origin": result["origin"],
                "test": result["metrics"]["test"],
                "baseline": result["metrics"].get("baseline", {}).get("test", {}),
            }
            for result in results
        ],
    }


def _calls(pieces: Sequence[tuple[Any, Any]], common: Mapping[str, int]) -> MajorityTest:
    """Calls at each run's own threshold against its commoner class."""
    import numpy as np

    from keras_seq.evaluation.majority_test import majority_test

    truth = [answers.points.truth for _, answers in pieces]
    called = [answers.points.prediction >= bundle.decision.get("threshold", 0.5) for bundle, answers in pieces]
    constant = [np.full(len(of), common[str(bundle.folder)]) for of, (bundle, _) in zip(truth, pieces, strict=True)]
    return majority_test(*(np.concatenate(part) for part in (truth, called, constant)))


def to_markdown(outcome: dict[str, Any]) -> str:
    """Pooled metrics by seed, and every origin's deciding metrics beside its baseline's."""
    from keras_seq.evaluation.majority_test import MajorityTest

    shown = [name for name in SHOWN if name in _first(outcome)]
    pooled = [
        [f"seed {seed}", *(figure(metrics[name]) for name in shown)] for seed, metrics in outcome["pooled"].items()
    ]
    lines = [f"## {outcome['name']}: {outcome['origins']} origins, {outcome['mode']}", ""]
    lines += markdown_table(["all origins", *shown], pooled)
    lines += [f"\nSeed {seed}: {MajorityTest(**numbers)}." for seed, numbers in outcome["calls"].items()]
    beside = shown if any(row["baseline"] for row in outcome["by_origin"]) else []
    head = ["seed", "origin", *shown, *(f"baseline {name}" for name in beside)]
    rows = []
    for row in outcome["by_origin"]:
        own, other = (
            [figure(numbers[name]) if name in numbers else "" for name in names]
            for numbers, names in ((row["test"], shown), (row["baseline"], beside))
        )
        rows.append([row["seed"], row["origin"], *own, *other])
    lines += ["", *markdown_table(head, rows)]
    lines += [f"\nLeft out: seed {f['seed']}, origin {f['origin']}: {f['reason']}" for f in outcome["failures"]]
    return "\n".join(lines) + "\n"


def _first(outcome: dict[str, Any]) -> dict[str, float]:
    metrics: dict[str, float] = next(iter(outcome["pooled"].values()))
    return metrics


def _draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    from keras_seq.bundle import load_bundle
    from keras_seq.reports.temporal import by_origin
    from keras_seq.tasks import deciding

    metric = deciding(load_bundle(results[0]["folder"]).spec.task)
    by_origin(results, metric, path)
