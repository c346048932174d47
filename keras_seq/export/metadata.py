"""What is exported, and what an exported file says of itself: a JSON text inside it that the runtime checks against.

::

    {"format": 1, "name": ..., "model_sha256": ..., "versions": {...}, "task": ...,
     "features": [{"name", "unit", "minimum", "maximum", "missing", "words"}, ...],
     "targets": [...], "target_unit": ..., "classes": [...], "time": 50, "variable_length": true,
     "horizon": 0, "threshold": 0.5, "quantiles": []}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import files
from keras_seq.bundle import Bundle
from keras_seq.data.series import Schema
from keras_seq.data.spec import DataSpec
from keras_seq.export.serving_graph import ServingGraph, served
from keras_seq.machine import library_versions

if TYPE_CHECKING:
    import keras

    from keras_seq.explain.served import ServedExplanation

FORMAT = 1
KEY = "keras_seq"  # of the text in an ONNX file; a TFLite file holds keras_seq.json


@dataclass(frozen=True)
class Source:
    """A model with all that makes answers of its outputs.

    Attributes:
        model: the Keras model; takes raw units.
        spec: of the model.
        decision: calibration, threshold, intervals; empty: the model's own answers.
        quantiles: levels of a quantile model.
        schema: meaning of the columns, if known.
        sha256: of ``model.keras``, if it lies in a bundle.
        explain: what becomes the signature ``explain``.
    """

    model: keras.Model
    spec: DataSpec
    decision: Mapping[str, Any] = field(default_factory=dict)
    quantiles: Sequence[float] = ()
    schema: Schema | None = None
    sha256: str = ""
    explain: ServedExplanation | None = None

    def graph(self, model: keras.Model | None = None) -> ServingGraph:
        """The served graph, of ``model`` in place of the own one."""
        return served(
            self.model if model is None else model, self.spec, decision=self.decision, quantiles=self.quantiles
        )

    def answers(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Final answers of the Keras model by name, for ``values`` [and ``lengths``]."""
        import tensorflow as tf

        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        return {name: np.asarray(answer) for name, answer in self.graph().function(**tensors).items()}


def source_of(bundle: Bundle | Source) -> Source:
    """The source of a bundle, its model in float32, or ``bundle`` itself."""
    if isinstance(bundle, Source):
        return bundle
    from keras_seq.export.convertible import in_float32

    return Source(
        model=in_float32(bundle.model),
        spec=bundle.spec,
        decision=bundle.decision,
        quantiles=bundle.experiment.model.quantiles,
        schema=bundle.schema,
        sha256=files.sha256(bundle.folder / "model.keras"),
    )


def describe(source: Source, **extra: Any) -> dict[str, Any]:
    """The text of a file as a dictionary; ``extra`` is what only the format knows."""
    spec, schema = source.spec, source.schema
    columns = {column.name: column for column in schema.columns} if schema else {}
    words = {spec.features[column.feature]: column.vocabulary for column in spec.words}
    features = []
    for name in spec.features:
        column = columns.get(name)
        limits = {"minimum": column.minimum, "maximum": column.maximum} if column else {}
        features.append(
            {
                "name": name,
                "unit": column.unit if column else "",
                **{key: value for key, value in limits.items() if value is not None},
                "missing": column.missing or name in words if column else True,
                **({"words": list(words[name])} if name in words else {}),
            }
        )
    return {
        "format": FORMAT,
        "name": schema.name if schema else source.model.name,
        "model_sha256": source.sha256,
        "versions": library_versions() | {name: metadata.version(name) for name in ("tf2onnx", "onnx", "onnxruntime")},
        "task": spec.task,
        "features": features,
        "targets": list(spec.targets),
        "target_unit": schema.target_unit if schema else "",
        "classes": list(spec.classes),
        "time": spec.time,
        "variable_length": spec.variable_length,
        "horizon": spec.horizon,
        "threshold": source.decision.get("threshold"),
        "quantiles": list(source.quantiles),
        **extra,
    }


def write_digest(path: Path) -> Path:
    """``<file>.sha256`` beside a file, in the form that ``sha256sum --check`` reads."""
    return files.write_text(path.with_name(path.name + ".sha256"), f"{files.sha256(path)}  {path.name}\n")
