"""What a tracking store knows, asked through mlflow's client: experiments, best runs, studies, models, events.

Runs are told apart by what they leave: ``training`` (has test metrics), ``comparison``, ``study`` and ``trial``,
``ensemble``, ``export``, ``benchmark``, ``explanation``, ``drift`` and ``retraining``, else ``other``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypeAlias

from keras_seq.tasks import TASKS
from keras_seq.tracking.mlflow_store import KIND

MlflowClient: TypeAlias = Any  # mlflow is imported when a store is opened
MlflowRun: TypeAlias = Any

STUDY, TRIAL = "keras_seq.study", "keras_seq.trial"
MOST = 20_000  # runs read of an experiment
PAGE = 1000
EVENTS = {"drift": "drift", "retrain": "retraining", "expla": "explanation", "select": "selection", "ablat": "ablation"}


def summarise(client: MlflowClient) -> dict[str, Any]:
    """Everything ``python -m keras_seq.status`` says, as plain values.

    Args:
        client: of ``keras_seq.tracking.open_store``.

    Returns:
        ``{"experiments": [...], "models": [...], "comparison", "study", "drift", "retraining"}``; the last four are
        the newest run of that kind, or None.
    """
    runs: dict[str, list[MlflowRun]] = {}
    experiments = sorted(client.search_experiments(), key=lambda one: one.name)
    for experiment in experiments:
        runs[experiment.name] = runs_of(client, experiment.experiment_id)
    everyone = [(name, run) for name, held in runs.items() for run in held]
    return {
        "experiments": [_experiment(name, held) for name, held in runs.items() if held],
        "models": models(client),
        "comparison": _newest(everyone, "comparison", _comparison),
        "study": _newest(everyone, "study", _study),
        "drift": _newest(everyone, "drift", _event),
        "retraining": _newest(everyone, "retraining", _event),
    }


def runs_of(client: MlflowClient, experiment_id: str, wanted: str = "") -> list[MlflowRun]:
    """Runs of an experiment, newest first, page by page; ``wanted`` is a filter as mlflow reads it."""
    runs: list[MlflowRun] = []
    token = None
    while len(runs) < MOST:
        page = client.search_runs(
            [experiment_id], wanted, max_results=PAGE, order_by=["attributes.start_time DESC"], page_token=token
        )
        runs += page
        token = page.token
        if not token:
            break
    return runs


def kind_of(run: MlflowRun) -> str:
    """What a run records; see the module's text. Runs of studies and events, and older ones, have no tag of it."""
    params, tags, metrics = run.data.params, run.data.tags, run.data.metrics
    if KIND in tags:
        return str(tags[KIND])
    if STUDY in tags:
        return "study" if tags.get(TRIAL) == "study" else "trial"
    event = params.get("event") or tags.get("event") or tags.get("keras_seq.event", "")
    for stem, kind in EVENTS.items():
        if event.startswith(stem):
            return kind
    if event:
        return str(event)
    if "winner" in params and "p_value" in metrics:
        return "comparison"
    if "members" in params and "method" in params:
        return "ensemble"
    name = tags.get("mlflow.runName", "")
    if name == "benchmark" or name.startswith("expla"):
        return "benchmark" if name == "benchmark" else "explanation"
    return "training" if any(key.startswith(("test_", "validation_")) for key in metrics) else "other"


def best_run(runs: Sequence[MlflowRun]) -> tuple[MlflowRun, str] | None:
    """The finished training run that is best in the metric deciding for its task, on validation; and the metric.

    Test metrics decide nothing, so they do not here either.
    """
    for task in ("binary", "multiclass", "forecast", "regression"):
        decides = TASKS[task]
        key = f"validation_{decides.metric}"
        held = [run for run in runs if run.info.status == "FINISHED" and key in run.data.metrics]
        if held:
            sign = -1.0 if decides.higher_is_better else 1.0
            return min(held, key=lambda run: (sign * run.data.metrics[key], run.info.start_time)), decides.metric
    return None


def models(client: MlflowClient) -> list[dict[str, Any]]:
    """Registered models with their newest version and the version of every alias (``champion``, ``challenger``)."""
    registered = []
    for model in client.search_registered_models():
        versions = client.search_model_versions(f"name='{model.name}'")
        aliases = {alias: int(version) for alias, version in dict(model.aliases or {}).items()}
        newest = max((int(version.version) for version in versions), default=None)
        registered.append({"name": model.name, "versions": len(versions), "newest": newest, "aliases": aliases})
    return sorted(registered, key=lambda one: str(one["name"]))


def _experiment(name: str, runs: Sequence[MlflowRun]) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for run in runs:
        kind = kind_of(run)
        kinds[kind] = kinds.get(kind, 0) + 1
    running = sum(run.info.status == "RUNNING" for run in runs)
    failed = sum(run.info.status == "FAILED" for run in runs if kind_of(run) != "trial")
    outcome: dict[str, Any] = {"name": name, "runs": len(runs), "kinds": kinds, "running": running, "failed": failed}
    best = best_run([run for run in runs if kind_of(run) in ("training", "ensemble")])
    if best is None:
        return outcome | {"best": None}
    run, metric = best
    numbers = {part: run.data.metrics.get(f"{part}_{metric}") for part in ("validation", "test", "baseline_test")}
    about = {"family": run.data.params.get("model.family", ""), "metric": metric, **numbers}
    return outcome | {"best": _about(run) | about}


def _comparison(run: MlflowRun) -> dict[str, Any]:
    keys = ("winner", "contenders", "data", "part", "significant", "words")
    p_value = run.data.metrics.get("p_value_adjusted")
    return {key: run.data.params.get(key, "") for key in keys} | {"p_value_adjusted": p_value}


def _study(run: MlflowRun) -> dict[str, Any]:
    objective = run.data.params.get("objective", "")
    counts = {key: run.data.tags.get(f"keras_seq.{key}") for key in ("completed", "pruned", "failed")}
    best = run.data.metrics.get(f"best_{objective}")
    return {"objective": objective, "tuner": run.data.params.get("tuner", ""), "best": best, **counts}


def _event(run: MlflowRun) -> dict[str, Any]:
    words = {key: value for key, value in run.data.params.items() if len(value) <= 300}
    return words | dict(run.data.metrics)


def _newest(runs: Sequence[tuple[str, MlflowRun]], kind: str, tell: Any) -> dict[str, Any] | None:
    held = [(name, run) for name, run in runs if kind_of(run) == kind]
    if not held:
        return None
    name, run = max(held, key=lambda one: one[1].info.start_time)
    return {"experiment": name} | _about(run) | tell(run)


def _about(run: MlflowRun) -> dict[str, Any]:
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.info.start_time / 1000))
    return {"run": run.data.tags.get("mlflow.runName", ""), "run_id": run.info.run_id, "started": started}
