"""Requests that TensorFlow Serving replays when it loads a version, so that the first client does not wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq.export import examples
from keras_seq.export.metadata import Source
from keras_seq.export.signatures import CLASSIFY, Endpoint, make_endpoints
from keras_seq.export.word_codes import texts_of

FILE = "assets.extra/tf_serving_warmup_requests"
REQUESTS = 8  # of each signature; TensorFlow Serving replays 1000 at most


def write_warmup(source: Source, folder: Path, windows: Mapping[str, np.ndarray], *, name: str) -> Path:
    """Write ``PredictionLog`` records of real windows, one window a request, for every signature.

    Args:
        source: the model.
        folder: of the version.
        windows: ``values (n, time, features)`` and, where lengths vary, ``lengths (n,)``.
        name: of the served model.
    """
    import tensorflow as tf

    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in make_logs(source, windows, name=name):
            writer.write(log.SerializeToString())
    return path


def make_logs(source: Source, windows: Mapping[str, np.ndarray], *, name: str) -> Iterator[Any]:
    """The ``PredictionLog`` records, ``REQUESTS`` of each signature."""
    for endpoint in make_endpoints(source):
        for row in range(min(REQUESTS, len(windows["values"]))):
            values = windows["values"][row]
            if "lengths" in windows:
                values = values[: windows["lengths"][row]]
            yield _log(source, endpoint, values, name)


def _log(source: Source, endpoint: Endpoint, values: np.ndarray, name: str) -> Any:
    """One request for the window ``values (steps, features)``."""
    from tensorflow_serving.apis import (
        classification_pb2,
        input_pb2,
        model_pb2,
        predict_pb2,
        prediction_log_pb2,
        regression_pb2,
    )

    spec = model_pb2.ModelSpec(name=name, signature_name=endpoint.name)
    if endpoint.name in ("classify", "regress"):
        example = examples.make_example(values, source.spec.features)
        content = input_pb2.Input(example_list=input_pb2.ExampleList(examples=[example]))
        if endpoint.method == CLASSIFY:
            request = classification_pb2.ClassificationRequest(model_spec=spec, input=content)
            return prediction_log_pb2.PredictionLog(classify_log=prediction_log_pb2.ClassifyLog(request=request))
        request = regression_pb2.RegressionRequest(model_spec=spec, input=content)
        return prediction_log_pb2.PredictionLog(regress_log=prediction_log_pb2.RegressLog(request=request))
    request = predict_pb2.PredictRequest(model_spec=spec, inputs=_tensors(source, endpoint, values))
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def _tensors(source: Source, endpoint: Endpoint, values: np.ndarray) -> dict[str, Any]:
    import tensorflow as tf

    tensors: dict[str, Any] = {}
    for known in endpoint.signature:
        if known.name == "values":
            tensors["values"] = values[:1] if endpoint.name == "step" else values[None]
        elif known.name == "lengths":
            tensors["lengths"] = np.array([len(values)], np.int32)
        elif known.name == "examples":
            encode = examples.encode_sequence if source.spec.variable_length else examples.encode_example
            tensors["examples"] = np.array([encode(values, source.spec.features)], object)
        elif known.name == "words":
            vocabularies = {column.feature: list(column.vocabulary) for column in source.spec.words}
            tensors["words"] = texts_of(values[None], vocabularies)
        else:
            tensors[known.name] = np.zeros((1, *known.shape[1:]), np.float32)
    return {key: tf.make_tensor_proto(value) for key, value in tensors.items()}
