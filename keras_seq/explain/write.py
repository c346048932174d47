"""The folder of a run of explanations: attributions, tables, pictures, findings, summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import __version__, files
from keras_seq.explain import layout, plots, plots_local, views
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.evolution import evolve
from keras_seq.explain.findings import findings

if TYPE_CHECKING:
    from keras_seq.explain.explainer import Explainer
    from keras_seq.explain.scores import ExplanationScores


def write_folder(
    folder: Path,
    explainer: Explainer,
    attributions: Mapping[str, Attribution],
    scores: ExplanationScores,
    *,
    seconds: float,
) -> None:
    """Write everything below ``folder``; see ``keras_seq.explain.layout`` for the names."""
    main, masked = attributions[explainer.methods[0]], explainer.masked
    for method, one in attributions.items():
        one.save(layout.attribution_file(folder, method))
    for name, rows in tables(explainer, attributions, scores).items():
        layout.write_table(layout.table_file(folder, name), rows)
    layout.write_table(folder / layout.SAMPLES, samples_table(explainer, main))
    constant = masked.background.constant()
    findings_rows = findings(
        main,
        masked.samples.values,
        constant=constant,
        agreement=scores.agreement,
        areas=scores.areas,
        interactions=scores.interactions,
        importance=scores.importance,
        words=views.words(main, masked.samples.values, explainer.bundle.schema.vocabularies),
    )
    files.write_json(folder / layout.FINDINGS, findings_rows)
    draw_all(folder, explainer, attributions, scores)
    files.write_json(folder / layout.SUMMARY, summary(explainer, attributions, scores, seconds))


def tables(
    explainer: Explainer, attributions: Mapping[str, Attribution], scores: ExplanationScores
) -> dict[str, list[dict[str, Any]]]:
    """Rows of every table by name."""
    values = explainer.masked.samples.values
    each = {"sensors": [], "steps": [], "heatmap": [], "attributions": []}  # type: dict[str, list[dict[str, Any]]]
    for attribution in attributions.values():
        each["sensors"] += views.sensors(attribution, values)
        each["steps"] += views.steps(attribution)
        each["heatmap"] += views.heatmap(attribution) if attribution.by_sensor else []
        each["attributions"] += views.largest(attribution)
    areas = [
        {"method": name, "deletion": deletion, "insertion": insertion}
        for name, (deletion, insertion) in scores.areas.items()
    ]
    return each | {
        "agreement": scores.agreement,
        "faithfulness": areas,
        "interactions": scores.interactions,
        "importance": scores.importance,
    }


def samples_table(explainer: Explainer, main: Attribution) -> list[dict[str, Any]]:
    """One row a sample."""
    masked, spec = explainer.masked, explainer.bundle.spec
    rows = []
    for k, name in enumerate(main.samples):
        truth = None if masked.samples.truth is None else np.ravel(masked.samples.truth[k])
        row: dict[str, Any] = {
            "sample": k,
            "unit_id": name,
            "steps": int(main.lengths[k]),
            "prediction": float(main.predictions[k]),
            "base": float(main.base[k]),
            "truth": "" if truth is None else float(np.mean(truth)) if spec.task == "forecast" else float(truth[0]),
            "additivity_error": float(main.additivity_error()[k]),
            "continued_backgrounds": masked.background.continued(int(main.lengths[k])),
        }
        if spec.classes and spec.task == "multiclass":
            row["called"] = spec.classes[int(masked.outputs[k].argmax())]
        rows.append(row)
    return rows


def summary(
    explainer: Explainer, attributions: Mapping[str, Attribution], scores: ExplanationScores, seconds: float
) -> dict[str, Any]:
    """What was explained, how, and how well it adds up."""
    main, spec = attributions[explainer.methods[0]], explainer.bundle.spec
    methods = {
        name: {
            "seconds": attribution.details.get("seconds"),
            "additive": attribution.additive,
            "additivity_error": {
                "max": float(attribution.additivity_error().max()),
                "mean": float(attribution.additivity_error().mean()),
            },
            "base": float(attribution.base.mean()),
            "details": attribution.details,
        }
        for name, attribution in attributions.items()
    }
    features = [{"name": name, "unit": unit} for name, unit in zip(spec.features, explainer.masked.units, strict=True)]
    return {
        "format": 1,
        "keras_seq": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": explainer.bundle.experiment.name,
        "family": explainer.bundle.experiment.model.family,
        "task": spec.task,
        "output": main.output,
        "output_unit": main.output_unit,
        "output_range": main.output_range,
        "plan": asdict(explainer.plan),
        "methods": list(attributions),
        "samples": len(main),
        "features": features,
        "constant": list(explainer.masked.background.constant()),
        "by_method": methods,
        "agreement": scores.agreement,
        "faithfulness": {name: {"deletion": a, "insertion": b} for name, (a, b) in scores.areas.items()},
        "sanity": scores.sanity,
        "local": farthest(main, explainer.plan.local),
        "seconds": seconds,
    }


def farthest(main: Attribution, count: int) -> list[int]:
    """Numbers of the samples that get pictures of their own: those farthest from their base."""
    order = np.argsort(-np.abs(main.predictions - main.base), kind="stable")
    return [int(k) for k in order[:count] if main.lengths[k] > 0]


def draw_all(
    folder: Path, explainer: Explainer, attributions: Mapping[str, Attribution], scores: ExplanationScores
) -> None:
    """All pictures; those of attention need its weights again."""
    masked, values = explainer.masked, explainer.masked.samples.values
    main = attributions[explainer.methods[0]]

    def at(name: str) -> Path:
        return layout.plot_file(folder, name)

    local = farthest(main, explainer.plan.local)
    with explainer.ticker.stage("pictures", 6 + 3 * len(local)) as tick:
        plots.steps(main, at("steps"))
        tick(2)
        if main.by_sensor:
            plots.sensors(main, at("sensors"))
            plots.heatmap(main, at("heatmap"))
            plots.sensors_by_sample(main, values, at("sensors_by_sample"))
            plots.dependence(main, values, at("dependence"), words=explainer.bundle.schema.vocabularies)
        plots.faithfulness(scores.curves, at("faithfulness"))
        tick(2)
        if scores.agreement:
            plots.agreement(scores.agreement, at("agreement"))
        if scores.interactions:
            plots.interactions(scores.interactions, at("interactions"), main.output_unit)
        if scores.importance:
            classes = explainer.bundle.spec.classifies
            unit = f" [{main.output_unit}]" if main.output_unit else ""
            plots.importance(scores.importance, at("importance"), "log loss" if classes else f"RMSE{unit}")
        if "attention" in attributions:
            from keras_seq.explain.methods.attention import attention_weights

            plots.attention(attention_weights(masked).heads, attributions["attention"], at("attention"))
        tick(2)
        for k in local:
            if main.by_sensor:
                plots_local.waterfall(main, k, at(f"waterfall_{k}"))
                plots_local.traces(main, k, values, at(f"traces_{k}"))
            tick(2)
            course = evolve(masked, k, explainer.prepared.series)
            if course is not None:
                plots_local.evolution(course, at(f"evolution_{k}"))
            tick()
