"""After the last epoch: score, compare, profile, write the bundle and the served version, record."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.errors import ConfigError
from keras_seq.evaluation import profile
from keras_seq.evaluation.answers import comparable
from keras_seq.evaluation.deploy import MODEL, Contender, choose_deployment
from keras_seq.evaluation.naive_reference import NaiveReference, naive_reference
from keras_seq.evaluation.postprocessed import ModelScores, Postprocessed
from keras_seq.figures import figure
from keras_seq.pipeline.context import Run, RunContext
from keras_seq.pipeline.scores import example_windows, judge_baseline, measure, score_model
from keras_seq.reports import interval_plots, plots, summary
from keras_seq.tasks import classifies, deciding
from keras_seq.training.metrics import HIGHER_IS_BETTER
from keras_seq.training.predictions import Points, points

if TYPE_CHECKING:
    import keras

    from keras_seq.training.fit import FitResult


def finalize(
    context: RunContext,
    model: keras.Model,
    result: FitResult,
    *,
    held_out: Mapping[str, np.ndarray] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Run:
    """Turn a trained model into everything a run leaves.

    Args:
        context: the run.
        model: trained, best weights.
        result: history and best epoch.
        held_out: predictions of a part, in the order of its windows, that stand in for the model's own: an
            ensemble's out-of-fold predictions, where its members have seen the validation windows.
        about: more for the bundle's data.json, such as the members of an ensemble.
    """
    from keras_seq.export.convertible import in_float32
    from keras_seq.training.device import precision

    with precision("none"):  # whatever the training computed in: what is scored is what every format answers
        return _finalize(context, in_float32(model), result, held_out, about or {})


def _finalize(
    context: RunContext,
    model: keras.Model,
    result: FitResult,
    held_out: Mapping[str, np.ndarray] | None,
    about: Mapping[str, Any],
) -> Run:
    experiment, prepared, folder = context.experiment, context.prepared, context.folder
    scores = score_model(experiment, prepared, model, held_out=held_out)
    metrics: dict[str, Any] = dict(scores.metrics)
    metrics["baseline"], beside = (
        judge_baseline(experiment, prepared, context.say) if experiment.evaluation.baseline else ({}, None)
    )
    naive = naive_reference(experiment, prepared)
    metrics["naive"] = naive.to_dict()
    metrics["deploy"] = _deployment(context, scores, metrics["baseline"].get("name", ""), beside, naive)
    metrics["ceiling"] = dict(prepared.series.info.get("ceiling", {}))  # what a generator itself could know
    drawn = _draw(context, scores, result)
    metrics["performance"] = measure(experiment, prepared, model, scores.decision, minutes=result.seconds / 60)
    reached = {**scores.metrics["test"], **metrics["performance"]}
    metrics["targets"] = profile.targets_met(reached, experiment.evaluation.targets)
    bundle = _bundle(context, model, scores, metrics, about)
    _record(context, model, metrics, bundle)
    saved_model = _serve(context, bundle) if experiment.export.saved_model else None
    if result.stopped != "interrupted":  # else the same command goes on from there
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    run_id = context.tracker.run_id
    if not context.quiet:
        for note in scores.decision.get("notes", ()):
            context.say(f"  note: {note}")
        _print(context, metrics, {"bundle": bundle, "served": saved_model, "plots": drawn, "record": run_id})
    return Run(folder, bundle, saved_model, metrics, run_id)


def _deployment(
    context: RunContext, scores: ModelScores, family: str, beside: ModelScores | None, naive: NaiveReference
) -> dict[str, Any]:
    """What to deploy by the test part, the model or what stands beside it; empty where nothing can be told."""
    experiment, prepared = context.experiment, context.prepared

    def scored(answers: Postprocessed) -> Points:
        return comparable(answers.scored(experiment, "test"), experiment.data.target_cap)

    contenders = [Contender(MODEL, experiment.model.family, scored(scores.parts["test"]))]
    if beside is not None:
        contenders.append(Contender(f"the baseline {family}", family, scored(beside.parts["test"])))
    answers = np.asarray(naive.answers["test"], np.float32)
    of_naive = points(prepared.series, prepared.index["test"], prepared.spec, answers)
    value = None if prepared.spec.classifies else of_naive.prediction
    contenders.append(
        Contender(
            f"the naive reference ({naive.name})", "", scored(Postprocessed(of_naive, of_naive.prediction, value))
        )
    )
    found = choose_deployment(contenders, prepared.series, prepared.spec)
    return found.to_dict() if found else {}


def _draw(context: RunContext, scores: ModelScores, result: FitResult) -> Path:
    experiment, prepared, target = context.experiment, context.prepared, context.folder / "plots"
    shutil.rmtree(target, ignore_errors=True)
    if result.history:  # fitted families have no epochs
        plots.history(result.history, result.best_epoch, target / "history.png", kept=experiment.training.keep)
    options: dict[str, Any] = {"quantiles": experiment.model.quantiles}
    if experiment.evaluation.at == "last":
        plots.predictions(
            scores.parts["validation"].points, prepared.spec, prepared.series, target, part="validation", **options
        )
    answers = scores.parts["test"]
    test = answers.scored(experiment, "test") if experiment.evaluation.at == "last" else answers
    plots.predictions(
        test.points,
        prepared.spec,
        prepared.series,
        target,
        threshold=scores.decision.get("threshold", 0.5),
        raw=test.raw,
        part="test",
        **options,
    )
    if test.lower is not None and test.upper is not None:
        interval_plots.intervals(answers, prepared.spec, prepared.series, experiment, target / "test_intervals.png")
    return target


def _serve(context: RunContext, bundle: Path) -> Path | None:
    """Export, judge and push; the pushed version, or None with the gate's reasons told."""
    from keras_seq.bundle import load_bundle
    from keras_seq.export.trained import offer

    experiment, tracker, say = context.experiment, context.tracker, context.say
    base = Path(experiment.export.saved_models) / experiment.name
    say("asking the gate whether the model may be served")
    version = offer(load_bundle(bundle).holding(context.prepared), base, number=experiment.export.version)
    tracker.log_params({"version": str(version.version), "blessed": version.verdict.blessed, "pushed": version.pushed})
    if version.pushed is None:
        say(f"  not pushed to {base}; the version {version.version} is not blessed:")
        for reason in version.verdict.reasons:
            say(f"    {reason}")
        say(f"    to push it all the same: python -m keras_seq.export {bundle.parent} --push {base} --force")
    else:
        try:
            tracker.register(experiment.name, version.pushed, alias="champion", tags={"blessed": "True"})
        except ConfigError as error:  # a store that is away does not undo a push
            say(f"  note: {error}")
    return version.pushed


def _bundle(
    context: RunContext,
    model: keras.Model,
    scores: ModelScores,
    metrics: dict[str, Any],
    about: Mapping[str, Any],
) -> Path:
    from keras_seq.bundle import save_bundle

    prepared, folder = context.prepared, context.folder
    return save_bundle(
        folder / "bundle",
        model=model,
        experiment=context.experiment,
        schema=prepared.series.schema,
        spec=prepared.spec,
        decision=scores.decision,
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


def _record(context: RunContext, model: keras.Model, metrics: dict[str, Any], bundle: Path) -> None:
    tracker = context.tracker
    for part in ("validation", "test", "ceiling", "performance"):
        tracker.log_metrics({f"{part}_{name}": value for name, value in metrics[part].items()})
    for beside, part in itertools.product(("baseline", "naive"), ("validation", "test")):
        tracker.log_metrics({f"{beside}_{part}_{name}": v for name, v in metrics[beside].get(part, {}).items()})
    tracker.log_folder(bundle, "bundle")
    if not context.experiment.tracking.log_model:
        return
    values, lengths = example_windows(context.experiment, context.prepared, 4)
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


def _print(context: RunContext, metrics: dict[str, Any], paths: dict[str, Any]) -> None:
    columns = {"validation": metrics["validation"], "test": metrics["test"]}
    columns |= {f"test ({name})": own for name, own in metrics.get("test_files", {}).items()}
    if metrics["baseline"]:
        columns[f"baseline test ({metrics['baseline']['name']})"] = metrics["baseline"]["test"]
    columns["naive test"] = metrics["naive"]["test"]
    if metrics["ceiling"]:
        columns["ceiling"] = metrics["ceiling"]
    task, name = context.prepared.spec.task, context.prepared.series.schema.name
    summary.print_metrics(task, columns, title=f"Reached on {name}")
    for line in naive_words(task, metrics):
        context.say(line)
    if metrics["deploy"]:
        context.say(metrics["deploy"]["text"])
    if metrics["targets"]:
        summary.print_targets(metrics["targets"])
    summary.print_paths({name: path for name, path in paths.items() if path is not None})
