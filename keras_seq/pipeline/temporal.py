"""Where and when a model errs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import config, files, machine

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.evaluation.bands import Band
    from keras_seq.evaluation.temporal import PredictionEvolution


def analyse(
    path: str | Path,
    *,
    part: str = "test",
    answers: int = 20,
    output: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Temporal analysis of one bundle.

    Args:
        path: bundle or run folder.
        part: "train", "validation" or "test"; every step of it is judged, not only the last.
        answers: prefixes of each unit, for models of whole sequences.
        output: folder of the report; none: ``temporal`` beside the bundle.
        overrides: dotted ``data.*`` and ``evaluation.*`` options.

    Returns:
        ``{"bands": {name: [...]}, "detection": {...}, "folder"}``.

    Raises:
        ModelError, ConfigError, DataError: not a bundle, a forecast, or other data than it was trained on.
    """
    from keras_seq.bundle import load_bundle
    from keras_seq.data.prepare import prepare

    bundle = load_bundle(path)
    experiment = config.from_dict(config.override(config.to_dict(bundle.experiment), dict(overrides or {})))
    bundle = dataclasses.replace(bundle, experiment=experiment)
    prepared = prepare(experiment.data)
    bundle.check_data(prepared)
    machine.load_tensorflow()
    from keras_seq.evaluation.temporal import detection, evolve
    from keras_seq.reports import temporal as report

    evolution = evolve(bundle, prepared, part, answers=answers)
    tables = bands(evolution, bundle)
    per_unit = prepared.series.schema.target_per == "unit"
    detected = detection(evolution, bundle.threshold) if bundle.spec.task == "binary" and per_unit else None
    folder = Path(output) if output else bundle.folder.parent / "temporal"
    outcome: dict[str, Any] = {
        "bands": {name: [dataclasses.asdict(band) for band in table] for name, table in tables.items()},
        "detection": detected.to_dict() if detected else {},
        "folder": str(folder),
    }
    files.write_json(folder / "temporal.json", outcome)
    files.write_text(folder / "temporal.md", to_markdown(tables, outcome["detection"]))
    report.bands(tables, next(iter(next(iter(tables.values()))[0].values)), folder / "bands.png")
    if bundle.spec.task != "multiclass":
        name, cap = bundle.spec.targets[0], experiment.data.target_cap
        report.evolution(evolution, folder / "evolution.png", detected=detected, name=name, cap=cap)
    return outcome


def bands(evolution: PredictionEvolution, bundle: Bundle) -> dict[str, list[Band]]:
    """Errors by truth (values only), unit length, steps seen and share seen; by length at each unit's last answer."""
    from keras_seq.evaluation.bands import RUL_BANDS, equal_edges, error_by_band
    from keras_seq.training.metrics import deviations

    points, task, cap = evolution.points, bundle.spec.task, bundle.experiment.data.target_cap
    truth = points.truth if cap is None else np.minimum(points.truth, cap)
    answer, std = points.prediction, bundle.spec.target_std
    if len(std) > 1:  # several targets: in each one's deviation
        truth, answer = truth / deviations(std), answer.reshape(truth.shape) / deviations(std)
    last = np.flatnonzero(np.diff(points.unit, append=-1))

    def table(key: np.ndarray, edges: Sequence[float], chosen: Any = slice(None)) -> list[Band]:
        return error_by_band(key[chosen], edges, truth[chosen], answer[chosen], points.unit[chosen], task=task)

    tables = {}
    if task == "regression":
        raw = points.truth.reshape(len(points.unit), -1)[:, 0]
        tables["truth"] = table(raw, RUL_BANDS[1:] if cap else equal_edges(raw))
    tables["length of the unit, at its end"] = table(evolution.length, equal_edges(evolution.length[last]), last)
    tables["steps seen"] = table(points.steps, equal_edges(points.steps))
    tables["share seen"] = table(evolution.share, (0.2, 0.4, 0.6, 0.8))
    return tables


def to_markdown(tables: Mapping[str, Sequence[Band]], detected: Mapping[str, float]) -> str:
    """All tables, and the detection delay in words."""
    from keras_seq.evaluation.bands import to_markdown as table
    from keras_seq.evaluation.temporal import in_words

    text = "\n".join(table(rows, name) for name, rows in tables.items())
    return f"{text}\n{in_words(detected)}\n" if detected else text
