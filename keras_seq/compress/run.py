"""From a bundle to a smaller bundle: stages in processes of their own, judged, written complete or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import files
from keras_seq.bundle import Bundle, load_bundle, save_bundle
from keras_seq.compress import kernels, post_training
from keras_seq.compress.finetune import read_weights
from keras_seq.compress.plan import CompressionPlan, check_bundle
from keras_seq.compress.scoring import Scorer, relative_loss
from keras_seq.compress.sensitivity import Sensitivity, choose_sparsity, measure
from keras_seq.errors import ModelError
from keras_seq.evaluation.naive_error import naive_errors
from keras_seq.evaluation.postprocessed import fit_points, postprocess, score_postprocessed
from keras_seq.export.formats import FORMATS
from keras_seq.export.isolated import run_apart
from keras_seq.export.metadata import Source
from keras_seq.figures import Say, silent
from keras_seq.tasks import deciding
from keras_seq.training.predictions import points, predict_windows

if TYPE_CHECKING:
    import keras

    from keras_seq.data.prepare import Prepared

PAYS = 0.9  # of the float file's gzipped size: what is hardly smaller is not kept
LARGER = 1.01  # of the float file as it lies: what only packs well, as pruned weights do, is not larger either
SLACK = 0.005  # of a sparsity: kernels have whole numbers of weights


@dataclass(frozen=True)
class Compressed:
    """What ``compress`` leaves.

    Attributes:
        folder: of the run.
        bundle: the new bundle.
        report: content of its ``compression.json``.
    """

    folder: Path
    bundle: Path
    report: dict[str, Any]


def compress(
    path: str | Path, plan: CompressionPlan, *, output: str | Path | None = None, say: Say = silent
) -> Compressed:
    """Compress a bundle; killed at any moment and started again, finished stages are taken up.

    Args:
        path: bundle or run folder.
        plan: what to do.
        output: run folder to write; default: beside the bundle's run, ``<run>-<method>``.
        say: takes lines for the user.

    Raises:
        ConfigError: the bundle has nothing to compress.
        DataError: its data or split are no longer those of the training.
        ExportError: a stage failed, crashed or took longer than the plan allows.
    """
    bundle = load_bundle(path)
    check_bundle(bundle, plan)
    folder = Path(output) if output else default_folder(bundle, plan.method)
    files.ensure_writable(folder)
    prepared = bundle.prepared
    stages = folder / "stages"
    sensitivity = _measured(bundle, prepared, stages, say) if plan.measured else None
    by_layer = _sparsity(bundle, plan, sensitivity)
    outcomes, weights = _stages(bundle, plan, by_layer, stages, say)
    model = bundle.model
    before = _judge(bundle, prepared, model, bundle.decision)
    sizes = kernels.weight_sizes(model)
    source = Source(model, bundle.spec, bundle.decision, bundle.experiment.model.quantiles, bundle.schema)
    names = ["onnx"] if weights is None else ["onnx", "onnx-int8"]  # int8 without fine-tuning, to compare with
    say(f"measuring {', '.join(names)} of the bundle as it was")
    was = post_training.measure_forms(source, prepared, bundle.experiment, stages / "before", names)
    if weights is not None:
        model.set_weights(weights)
        _check_sparsity(model, plan, by_layer)
    report = {
        "method": plan.method,
        "of": {"bundle": str(bundle.folder), "model_sha256": files.sha256(bundle.folder / "model.keras")},
        "plan": plan.to_dict(),
        "stages": outcomes,
        "sparsity": kernels.sparsity(model),
        "total_sparsity": kernels.total_sparsity(model),
        "distinct": kernels.distinct(model),
        "weights": {"before": sizes, "after": kernels.weight_sizes(model)},
        "sensitivity": sensitivity.to_dict() if sensitivity else None,
    }
    return _finish(bundle, prepared, plan, folder, report, {"metrics": before, "forms": was}, say)


def default_folder(bundle: Bundle, method: str) -> Path:
    """Run folder of the result, beside the bundle's run: ``<run>-<method>``."""
    run = bundle.folder.parent if bundle.folder.name == "bundle" else bundle.folder
    return run.with_name(f"{run.name}-{method.replace('+', '-')}")


def sensitivity_of(path: str | Path, *, say: Say = silent) -> Sensitivity:
    """How much each layer of a bundle bears; see ``keras_seq.compress.sensitivity``."""
    bundle = load_bundle(path)
    check_bundle(bundle, CompressionPlan("auto"))
    return _measured(bundle, bundle.prepared, None, say)


# ---------------------------------------------------------------- stages


def _measured(bundle: Bundle, prepared: Prepared, stages: Path | None, say: Say) -> Sensitivity:
    say("measuring what each layer bears")
    return measure(bundle.model, Scorer(bundle.model, prepared, bundle.experiment))


def _sparsity(bundle: Bundle, plan: CompressionPlan, sensitivity: Sensitivity | None) -> dict[str, float]:
    if sensitivity is not None:
        return choose_sparsity(sensitivity, plan.sparsity)
    return dict.fromkeys(kernels.compressible(bundle.model), plan.sparsity)


def _stages(
    bundle: Bundle, plan: CompressionPlan, by_layer: Mapping[str, float], folder: Path, say: Say
) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """Run the stages that are not there yet; their outcomes, and the weights of the last."""
    outcomes, previous = [], ""
    key = files.sha256(bundle.folder / "manifest.json")
    for number, stage in enumerate((name for name in plan.stages if name != "ptq"), 1):
        options = plan.options(bundle, stage, by_layer)
        key = hashlib.sha256(json.dumps([key, stage, options], sort_keys=True).encode()).hexdigest()
        done = folder / f"{number}-{stage}-{key[:16]}.npz"
        if not done.exists():
            say(f"{stage}: {options['epochs']} epochs in a process of its own")
            _run(bundle, stage, options, previous, done, plan.seconds)
        else:
            say(f"{stage}: taken from an interrupted run")
        outcomes.append({"stage": stage, **options, **files.read_json(done.with_suffix(".json"))})
        previous = str(done)
    return outcomes, read_weights(previous) if previous else None


def _run(bundle: Bundle, stage: str, options: dict[str, Any], weights: str, done: Path, seconds: float) -> None:
    """Run one stage in a child process; ``done`` appears last and complete."""
    done.parent.mkdir(parents=True, exist_ok=True)
    partial = done.with_name(f".{done.stem}.partial-{os.getpid()}.npz")
    arguments = {"bundle": str(bundle.folder), "stage": stage, "options": options, "weights": weights}
    try:
        outcome = run_apart(
            "keras_seq.compress.finetune:run_stage",
            {**arguments, "out": str(partial)},
            what=f"Compression stage '{stage}'",
            seconds=seconds,
        )
        files.write_json(done.with_suffix(".json"), outcome)
        os.replace(partial, done)
    finally:
        partial.unlink(missing_ok=True)


def _check_sparsity(model: keras.Model, plan: CompressionPlan, by_layer: Mapping[str, float]) -> None:
    if "prune" not in plan.stages:
        return
    for name, reached in kernels.sparsity(model).items():
        if reached < by_layer[name] - SLACK:
            raise ModelError(
                f"Layer '{name}' has {reached:.1%} zeros after pruning, {by_layer[name]:.1%} were asked for: the "
                "fine-tuning has too few steps. Give more --epochs."
            )


# ---------------------------------------------------------------- judging and writing


def _forms(plan: CompressionPlan) -> list[str]:
    if "ptq" in plan.stages:
        return list(FORMATS)
    return ["onnx", "onnx-int8"]


def _judge(
    bundle: Bundle, prepared: Prepared, model: keras.Model, decision: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Metrics of validation and test; without a decision one is fitted on validation, as in training."""
    experiment, spec, series = bundle.experiment, prepared.spec, prepared.series
    by_part = {}
    for part in ("validation", "test"):
        output = predict_windows(model, series, prepared.index[part], spec, experiment.data)
        by_part[part] = points(series, prepared.index[part], spec, output)
    decision = fit_points(by_part["validation"], series, spec, experiment) if decision is None else decision
    naive = naive_errors(prepared, experiment)
    metrics: dict[str, Any] = {"decision": decision}
    for part, given in by_part.items():
        decided = postprocess(given, spec, experiment, decision, part=part, naive=naive)
        metrics[part] = score_postprocessed(decided, spec, experiment, decision, part=part)
    return metrics


def _finish(
    bundle: Bundle,
    prepared: Prepared,
    plan: CompressionPlan,
    folder: Path,
    report: dict[str, Any],
    was: dict[str, Any],
    say: Say,
) -> Compressed:
    """Judge the new model, write its forms and the bundle, drop the stages."""
    model, experiment, stages = bundle.model, bundle.experiment, folder / "stages"
    after = _judge(bundle, prepared, model, None)
    decision = after.pop("decision")
    was["metrics"].pop("decision")
    model.save(stages / "model.keras")
    digest = files.sha256(stages / "model.keras")
    source = Source(model, bundle.spec, decision, experiment.model.quantiles, bundle.schema, digest)
    say("measuring the forms of the result")
    forms = post_training.measure_forms(source, prepared, experiment, stages / "forms", _forms(plan))
    if "ptq" in plan.stages:
        target = stages / "forms" / "model.int8.keras"
        forms[post_training.KERAS] = post_training.keras_int8(stages / "model.keras", target, prepared, experiment)
    metric = deciding(bundle.spec.task)
    losses = {
        part: relative_loss(metric, was["metrics"][part][metric], after[part][metric])
        for part in ("validation", "test")
    }
    _compare(forms, was["forms"], metric, plan)
    report |= {
        "metric": metric,
        "metrics": {"before": was["metrics"], "after": after},
        "loss": losses,
        "within": losses["validation"] <= plan.loss,
        "forms": {"before": was["forms"], "after": forms},
    }
    for name in [name for name, form in forms.items() if not form.get("kept", False)]:
        for path in (stages / "forms").glob(f"{forms[name].get('file', 'none')}*"):
            path.unlink()
    files.write_json(stages / "compression.json", report)
    save_bundle(
        folder / "bundle",
        model=model,
        experiment=experiment,
        schema=bundle.schema,
        spec=bundle.spec,
        decision=decision,
        metrics={"validation": after["validation"], "test": after["test"], **_kept_metrics(bundle)},
        data={**bundle.data, "compression": {"method": plan.method, **report["of"]}},
        extra=(stages / "compression.json", stages / "forms"),
    )
    shutil.rmtree(stages, ignore_errors=True)
    return Compressed(folder, folder / "bundle", report)


def _compare(forms: dict[str, Any], was: dict[str, Any], metric: str, plan: CompressionPlan) -> None:
    """Add to each form its size and loss against the float ONNX file of the bundle as it was, and whether it pays.

    A form is kept if it is smaller packed and not larger as it lies than the float ONNX file, and of TFLite's rounded
    forms than the float TFLite file, at no more than the plan's loss of validation.
    """
    reference = was.get("onnx", {})
    for form in (*forms.values(), *was.values()):
        if "failed" in form or "raw" not in reference:
            continue
        form["ratio"] = {name: form[name] / reference[name] for name in ("raw", "gzip")}
        judged = [part for part in ("validation", "test") if part in form]
        form["loss"] = {part: relative_loss(metric, reference[part], form[part]) for part in judged}
        form["kept"] = smaller(form, reference) and form["loss"]["validation"] <= plan.loss
    plain = forms.get("tflite", {})
    for name, form in forms.items():
        if name.startswith("tflite-") and "raw" in form and "raw" in plain and not smaller(form, plain):
            form["kept"] = False


def smaller(form: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
    """Whether a file is smaller packed, and not larger as it lies, than another."""
    return bool(form["gzip"] < PAYS * reference["gzip"] and form["raw"] <= LARGER * reference["raw"])


def _kept_metrics(bundle: Bundle) -> dict[str, Any]:
    """Metrics of the original that still hold."""
    return {name: bundle.metrics[name] for name in ("baseline", "ceiling", "performance") if name in bundle.metrics}
