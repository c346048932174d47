"""Post-training forms of a bundle (ONNX and TFLite files, Keras int8), each with its size and its metric."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_seq import files
from keras_seq.compress.holds import bytes_by_type
from keras_seq.compress.kernels import file_sizes
from keras_seq.compress.scoring import Scorer
from keras_seq.config import Experiment
from keras_seq.errors import KerasSeqError
from keras_seq.evaluation.scores import score
from keras_seq.export.formats import FORMATS, need_samples, write_formats
from keras_seq.export.metadata import Source
from keras_seq.export.parity import run_file
from keras_seq.export.samples import SAMPLES, spread, window_arrays
from keras_seq.tasks import deciding
from keras_seq.training.predictions import Points, locate

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

MOST = 2000  # windows a file is judged on
KERAS = "keras-int8"


@dataclass(frozen=True)
class Windows:
    """Real windows as a client sends them, one answer each, beside the truth.

    Attributes:
        inputs: ``values (n, time, features)`` raw and, where lengths vary, ``lengths (n,)``.
        truth: points without predictions.
    """

    inputs: dict[str, np.ndarray]
    truth: Points

    def answered(self, answers: dict[str, np.ndarray], task: str) -> Points:
        """The points with a file's answers."""
        name = next(name for name in ("probability", "probabilities", "quantiles", "prediction") if name in answers)
        value = answers[name][:, 0] if task == "binary" else answers[name]
        truth = self.truth
        return Points(truth.truth, value, truth.unit, truth.row, truth.steps)


def served_windows(prepared: Prepared, experiment: Experiment, part: str, *, most: int = MOST) -> Windows:
    """Windows of a part; of a model that answers at every step, beginnings of its sequences with their last step."""
    series, spec, index = prepared.series, prepared.spec, prepared.index[part]
    if spec.per_step:
        only_last = part == "test" and experiment.evaluation.at == "last"
        first = max(experiment.evaluation.min_steps, 1)
        each = 1 if only_last else max(most // max(len(index), 1) // 4, 1)
        ends = [np.unique(np.linspace(min(first, n), n, each + 1).astype(int)[1:]) for n in index.length]
        number = np.repeat(np.arange(len(index)), [len(own) for own in ends])
        start, length, unit = index.start[number], np.concatenate(ends), index.unit[number]
        row = start + length - 1
        truth = series.targets[row]
    else:
        chosen = spread(index, most)
        truth, unit, row = locate(series, chosen, spec)
        start, length = chosen.start, chosen.length
    if spec.classifies:
        truth = truth[..., 0]
    known = np.isfinite(truth).reshape(len(truth), -1).all(axis=1)
    truths = Points(truth, np.zeros(len(truth)), unit, row, row - series.offsets[unit] + 1).select(known)
    return Windows(window_arrays(series, spec, start[known], length[known]), truths)


def measure_forms(
    source: Source,
    prepared: Prepared,
    experiment: Experiment,
    folder: Path,
    names: Sequence[str],
    *,
    parts: Sequence[str] = ("validation", "test"),
) -> dict[str, Any]:
    """Write formats and judge what each file answers.

    Args:
        source: model with its decision.
        prepared: its data.
        experiment: of its bundle.
        folder: takes the files.
        names: of ``keras_seq.export.formats``.
        parts: to judge on.

    Returns:
        By format ``{"file", "raw", "gzip", "validation", "test"}``, or ``{"failed": reason}``.
    """
    samples = served_windows(prepared, experiment, "train", most=SAMPLES).inputs if need_samples(names) else None
    written, failed = write_formats(source, folder, names, samples=samples)
    windows = {part: served_windows(prepared, experiment, part) for part in parts}
    forms: dict[str, Any] = {name: {"failed": reason} for name, reason in failed.items()}
    for name, path in written.items():
        try:
            inputs = {part: served.inputs for part, served in windows.items()}
            answers = run_file(path, inputs, what=f"Running {name}", engine=FORMATS[name].engine)
        except KerasSeqError as error:
            forms[name] = {"failed": str(error)}
            continue
        task, metric = prepared.spec.task, deciding(prepared.spec.task)
        judged = {
            part: score(served.answered(answers[part], task), prepared.spec, experiment, part=part)[metric]
            for part, served in windows.items()
        }
        forms[name] = {"file": path.name, **file_sizes(path), "holds": bytes_by_type(path), **judged}
    return forms


def keras_int8(path: Path, target: Path, prepared: Prepared, experiment: Experiment) -> dict[str, Any]:
    """Keras' own int8 of dense layers: written to ``target``, judged on validation.

    Recurrent and convolution layers stay float32: Keras has no int8 form of them.

    Args:
        path: ``model.keras``.
        target: the file to write.
        prepared: data of the bundle.
        experiment: of the bundle.
    """
    model = keras.models.load_model(path, compile=False, safe_mode=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one for each layer that Keras cannot quantise
        try:
            model.quantize("int8")
        except Exception as error:  # Keras raises what its layers meet
            return {"failed": str(error).splitlines()[0]}
        with files.new_file(target) as partial:
            model.save(partial)
    scorer = Scorer(model, prepared, experiment)
    return {"file": target.name, **file_sizes(target), "holds": bytes_by_type(target), "validation": scorer()}
