"""After the last epoch: judge, compare, profile, write the bundle and the served version, record."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import files
from keras_seq.config import Experiment
from keras_seq.errors import ConfigError, DataError
from keras_seq.evaluation import profile
from keras_seq.evaluation.naive_reference import naive_reference
from keras_seq.evaluation.new_file import score_test_files
from keras_seq.evaluation.postprocessed import ModelScores, score_parts
from keras_seq.figures import figure
from keras_seq.reports import interval_plots, plots, summary
from keras_seq.tasks import classifies, deciding
from keras_seq.training.metrics import HIGHER_IS_BETTER
from keras_seq.training.predictions import points, predict_windows

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.windows import WindowIndex
    from keras_seq.pipeline.context import Run
    from keras_seq.training.fit import FitResult

EXAMPLES = 64  # real windows kept for latency and for the recorded signature


def finalize(
    experiment: Experiment,
    prepared: Prepared,
    model: Any,
    result: FitResult,
    folder: Path,
    tracker: Any,
    *,
    quiet: bool = False,
    held_out: Mapping[str, np.ndarray] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Run:
    """Turn a trained model into everything a run leaves.

    Args:
        experiment: the configuration.
        prepared: series, splits, windows and fitted numbers.
        model: trained, best weights.
        result: history and best epoch.
        folder: run folder; the bundle lands in ``folder/bundle``.
        tracker: where the run is recorded.
        quiet: print nothing.
        held_out: predictions of a part, in the order of its windows, that stand in for the model's own: an
            ensemble's out-of-fold predictions, where its members have seen the validation windows.
        about: more for the bundle's data.json, such as the members of an ensemble.
    """
    from keras_seq.export.convertible import in_float32
    from keras_seq.pipeline.context import Run
    from keras_seq.training.device import precision

    with precision("none"):  # whatever the training computed in: what is judged is what every format answers
        return Run(*_wrap_up(experiment, prepared, in_float32(model), result, folder, tracker, quiet, held_out, about))


def _wrap_up(
    experiment: Experiment,
    prepared: Prepared,
    model: Any,
    result: FitResult,
    folder: Path,
    tracker: Any,
    quiet: bool,
    held_out: Mapping[str, np.ndarray] | None,
    about: Mapping[str, Any] | None,
) -> tuple[Path, Path, Path | None, dict[str, Any], str | None]:
    """Run folder, bundle, served version, metrics and the run's id; see ``finalize``."""
    judgement = score_model(experiment, prepared, model, held_out=held_out)
    metrics: dict[str, Any] = dict(judgement.metrics)
    say = (lambda text: None) if quiet else summary.say
    metrics["baseline"] = score_baseline(experiment, prepared, say) if experiment.evaluation.baseline else {}
    metrics["naive"] = naive_reference(experiment, prepared).to_dict()
    metrics["ceiling"] = _ceiling(prepared)
    drawn = _draw(experiment, prepared, judgement, result, folder)
    metrics["performance"] = measure(experiment, prepared, model, judgement.decision, minutes=result.seconds / 60)
    metrics["targets"] = profile.targets_met(
        {**judgement.metrics["test"], **metrics["performance"]}, experiment.evaluation.targets
    )
    bundle = _bundle(experiment, prepared, model, judgement, metrics, folder, about or {})
    _record(tracker, experiment, prepared, model, metrics, bundle)
    saved_model = _serve(experiment, prepared, bundle, tracker, say) if experiment.export.saved_model else None
    if result.stopped != "interrupted":  # else the same command goes on from there
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    if not quiet:
        for note in judgement.decision.get("notes", ()):
            summary.say(f"  note: {note}")
        _print(prepared, metrics, {"bundle": bundle, "served": saved_model, "plots": drawn, "record": tracker.run_id})
    return folder, bundle, saved_model, metrics, tracker.run_id


def score_model(
    experiment: Experiment, prepared: Prepared, model: Any, *, held_out: Mapping[str, np.ndarray] | None = None
) -> ModelScores:
    """Predictions and metrics of the network; ``held_out`` stands in for its own predictions of a part."""
    given = held_out or {}
    return _judge(
        experiment,
        prepared,
        lambda part: given[part] if part in given else _predict(experiment, prepared, model, part),
    )


def score_baseline(
    experiment: Experiment, prepared: Prepared, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Metrics of the cheap model on the same split, and its family; empty where none can be fitted."""
    from keras_seq.baselines.reference import fit_reference

    try:
        found = fit_reference(experiment, prepared)
    except (ConfigError, DataError) as error:
        say(f"  note: no baseline: {error}")
        return {}
    judgement = _judge(found.experiment, prepared, lambda part: found.predict(prepared.index[part]))
    return {"name": found.family, **judgement.metrics}


def _judge(experiment: Experiment, prepared: Prepared, predict: Callable[[str], np.ndarray]) -> ModelScores:
    """Predict validation and test windows; the decision is fitted on validation, test is only judged."""
    series, spec = prepared.series, prepared.spec
    found = {part: points(series, prepared.index[part], spec, predict(part)) for part in ("validation", "test")}
    judgement = score_parts(found, prepared, experiment)
    by_file = score_test_files(judgement.parts["test"], series, spec, experiment, judgement.decision)
    if by_file:
        judgement.metrics["test_files"] = by_file
    return judgement


def measure(
    experiment: Experiment, prepared: Prepared, model: Any, decision: Mapping[str, Any], *, minutes: float
) -> dict[str, float]:
    """Training time (if known), memory and, where a version is wanted, its size and the latency of its signature."""
    measured = {"parameters": float(model.count_params())}
    if np.isfinite(minutes):
        measured = {"training_minutes": minutes} | measured
    if experiment.export.saved_model:
        from keras_seq.export.saved_model import write_saved_model

        values, lengths = example_windows(experiment, prepared)
        with files.scratch() as scratch:  # what is served goes through the gate
            saved_model = write_saved_model(
                model, prepared.spec, scratch, decision=decision, quantiles=experiment.model.quantiles
            )
            measured |= profile.serving_latencies(saved_model, values, lengths)
            measured["model_size_mb"] = profile.size_mb(saved_model)
    measured["peak_memory_gb"] = profile.peak_memory_gb()
    return measured


def example_windows(
    experiment: Experiment, prepared: Prepared, count: int = EXAMPLES
) -> tuple[np.ndarray, np.ndarray | None]:
    """Real validation windows in raw units: ``values (windows, time, features)`` and lengths or None."""
    from keras_seq.data.pipeline import make_dataset

    index: WindowIndex = prepared.index["validation"]
    batches = make_dataset(prepared.series, index, prepared.spec, experiment.data, batch_size=count, training=False)
    inputs = next(iter(batches))[0]
    lengths = inputs["lengths"].numpy() if prepared.spec.variable_length else None
    return inputs["values"].numpy(), lengths


def _predict(experiment: Experiment, prepared: Prepared, model: Any, part: str) -> np.ndarray:
    return predict_windows(model, prepared.series, prepared.index[part], prepared.spec, experiment.data)


def _ceiling(prepared: Prepared) -> dict[str, float]:
    """What the generator itself could know, where the data are generated."""
    return dict(prepared.series.info.get("ceiling", {}))


def _draw(experiment: Experiment, prepared: Prepared, judgement: ModelScores, result: FitResult, folder: Path) -> Path:
    target = folder / "plots"
    shutil.rmtree(target, ignore_errors=True)
    if result.history:  # fitted families have no epochs
        kept = experiment.training.keep
        plots.history(result.history, result.best_epoch, target / "history.png", kept=kept)
    options: dict[str, Any] = {"quantiles": experiment.model.quantiles}
    if experiment.evaluation.at == "last":
        plots.predictions(
            judgement.parts["validation"].points, prepared.spec, prepared.series, target, part="validation", **options
        )
    answers = judgement.parts["test"]
    test = answers.scored(experiment, "test") if experiment.evaluation.at == "last" else answers
    plots.predictions(
        test.points,
        prepared.spec,
        prepared.series,
        target,
        threshold=judgement.decision.get("threshold", 0.5),
        raw=test.raw,
        part="test",
        **options,
    )
    if test.lower is not None and test.upper is not None:
        interval_plots.intervals(answers, prepared.spec, prepared.series, experiment, target / "test_intervals.png")
    return target


def _serve(
    experiment: Experiment, prepared: Prepared, bundle: Path, tracker: Any, say: Callable[[str], None]
) -> Path | None:
    """Export, judge and push; the pushed version, or None with the gate's reasons told."""
    from keras_seq.bundle import load_bundle
    from keras_seq.export.trained import offer

    base = Path(experiment.export.saved_models) / experiment.name
    say("asking the gate whether the model may be served")
    found = offer(load_bundle(bundle).holding(prepared), base, number=experiment.export.version)
    tracker.log_params({"version": str(found.version), "blessed": found.verdict.blessed, "pushed": found.pushed})
    if found.pushed is None:
        say(f"  not pushed to {base}; the version {found.version} is not blessed:")
        for reason in found.verdict.reasons:
            say(f"    {reason}")
        say(f"    to push it all the same: python -m keras_seq.export {bundle.parent} --push {base} --force")
    else:
        try:
            tracker.register(experiment.name, found.pushed, alias="champion", tags={"blessed": "True"})
        except ConfigError as error:  # a store that is away does not undo a push
            say(f"  note: {error}")
    return found.pushed


def _bundle(
    experiment: Experiment,
    prepared: Prepared,
    model: Any,
    judgement: ModelScores,
    metrics: dict[str, Any],
    folder: Path,
    about: Mapping[str, Any],
) -> Path:
    from keras_seq.bundle import save_bundle

    return save_bundle(
        folder / "bundle",
        model=model,
        experiment=experiment,
        schema=prepared.series.schema,
        spec=prepared.spec,
        decision=judgement.decision,
        metrics=metrics,
        data={
            "fingerprint": prepared.series.fingerprint(),
            "content": prepared.series.content(),
            "targets": prepared.series.target_fingerprint(),
            "split": prepared.splits.fingerprint,
            "statistics": prepared.statistics(),
            "info": prepared.series.info,
            **about,
        },
        extra=(folder / "history.csv", folder / "plots"),
    )


def _record(
    tracker: Any, experiment: Experiment, prepared: Prepared, model: Any, metrics: dict[str, Any], bundle: Path
) -> None:
    for part in ("validation", "test", "ceiling", "performance"):
        tracker.log_metrics({f"{part}_{name}": value for name, value in metrics[part].items()})
    for beside, part in itertools.product(("baseline", "naive"), ("validation", "test")):
        tracker.log_metrics({f"{beside}_{part}_{name}": v for name, v in metrics[beside].get(part, {}).items()})
    tracker.log_folder(bundle, "bundle")
    if not experiment.tracking.log_model:
        return
    values, lengths = example_windows(experiment, prepared, 4)
    inputs = {"values": values} if lengths is None else {"values": values, "lengths": lengths}
    tracker.log_model(model, inputs, np.asarray(model(inputs, training=False)))


def naive_words(task: str, metrics: Mapping[str, Any]) -> Iterator[str]:
    """What the naive reference is, and in what it beats the model on the test part."""
    naive, test = metrics["naive"], metrics["test"]
    yield f"  naive: {naive['name']}"
    names = ("rmse", "mae") if not classifies(task) else (deciding(task),)
    beaten = []
    for name in names:
        own, other = test.get(name, np.nan), naive["test"].get(name, np.nan)
        if (other > own) if name in HIGHER_IS_BETTER else (other < own):
            beaten.append(f"{name} {figure(other)} against {figure(own)}")
    if beaten:
        yield f"  note: the naive reference is better than the model on the test part: {', '.join(beaten)}"


def _print(prepared: Prepared, metrics: dict[str, Any], paths: dict[str, Any]) -> None:
    columns = {"validation": metrics["validation"], "test": metrics["test"]}
    columns |= {f"test ({name})": own for name, own in metrics.get("test_files", {}).items()}
    if metrics["baseline"]:
        columns[f"baseline test ({metrics['baseline']['name']})"] = metrics["baseline"]["test"]
    columns["naive test"] = metrics["naive"]["test"]
    if metrics["ceiling"]:
        columns["ceiling"] = metrics["ceiling"]
    summary.print_metrics(prepared.spec.task, columns, title=f"Reached on {prepared.series.schema.name}")
    for line in naive_words(prepared.spec.task, metrics):
        summary.say(line)
    if metrics["targets"]:
        summary.print_targets(metrics["targets"])
    summary.print_paths({name: path for name, path in paths.items() if path is not None})
