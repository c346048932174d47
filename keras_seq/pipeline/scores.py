"""Scores of a run: its model and the cheap baseline on validation and test, and what the model costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import files
from keras_seq.config import Experiment
from keras_seq.errors import ConfigError, DataError
from keras_seq.evaluation import profile
from keras_seq.evaluation.concordance import part_concordance
from keras_seq.evaluation.new_file import score_test_files
from keras_seq.evaluation.postprocessed import ModelScores, score_parts
from keras_seq.figures import Say, silent
from keras_seq.training.predictions import points, predict_windows

if TYPE_CHECKING:
    import keras

    from keras_seq.data.prepare import Prepared
    from keras_seq.data.windows import WindowIndex

EXAMPLES = 64  # real windows kept for latency and for the recorded signature


def score_model(
    experiment: Experiment, prepared: Prepared, model: keras.Model, *, held_out: Mapping[str, np.ndarray] | None = None
) -> ModelScores:
    """Predictions and metrics of the network; ``held_out`` stands in for its own predictions of a part."""

    def predict(part: str) -> np.ndarray:
        if held_out and part in held_out:
            return held_out[part]
        return predict_windows(model, prepared.series, prepared.index[part], prepared.spec, experiment.data)

    scores = _score(experiment, prepared, predict)
    answer = partial(predict_windows, model, prepared.series, spec=prepared.spec, config=experiment.data)
    for part in ("validation", "test"):
        scores.metrics[part] |= part_concordance(prepared, experiment, part, answer)
    return scores


def score_baseline(experiment: Experiment, prepared: Prepared, say: Say = silent) -> dict[str, Any]:
    """Metrics of the cheap model on the same split, and its family; empty where none can be fitted."""
    return judge_baseline(experiment, prepared, say)[0]


def judge_baseline(
    experiment: Experiment, prepared: Prepared, say: Say = silent
) -> tuple[dict[str, Any], ModelScores | None]:
    """As ``score_baseline``, with its answers."""
    from keras_seq.baselines.reference import fit_reference

    try:
        baseline = fit_reference(experiment, prepared)
    except (ConfigError, DataError) as error:
        say(f"  note: no baseline: {error}")
        return {}, None
    scores = _score(baseline.experiment, prepared, lambda part: baseline.predict(prepared.index[part]))
    for part in ("validation", "test"):
        scores.metrics[part] |= part_concordance(prepared, baseline.experiment, part, baseline.predict)
    return {"name": baseline.family, **scores.metrics}, scores


def _score(experiment: Experiment, prepared: Prepared, predict: Callable[[str], np.ndarray]) -> ModelScores:
    """Predict validation and test windows; the decision is fitted on validation, test is only judged."""
    series, spec = prepared.series, prepared.spec
    answers = {part: points(series, prepared.index[part], spec, predict(part)) for part in ("validation", "test")}
    scores = score_parts(answers, prepared, experiment)
    by_file = score_test_files(scores.parts["test"], series, spec, experiment, scores.decision)
    if by_file:
        scores.metrics["test_files"] = by_file
    return scores


def measure(
    experiment: Experiment, prepared: Prepared, model: keras.Model, decision: Mapping[str, Any], *, minutes: float
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
