"""The signatures of a served version: raw units in, final answers out, all over the same weights.

====================  =============================================  ============================
``serving_default``   ``values`` [``lengths``]                       answers
``serving_examples``  ``examples``: ``Example`` for windows of fixed  answers
                      length, else ``SequenceExample``
``serving_words``     ``values`` [``lengths``], ``words``            answers
``classify``          ``inputs``: ``Example``                        ``classes``, ``scores``
``regress``           ``inputs``: ``Example``                        ``outputs``
``step``              ``values`` of one step, ``state_*``            answers, ``state_*``
====================  =============================================  ============================

``serving_words`` is for models with columns of words, ``classify`` for classes, ``regress`` for one number, ``step``
for models that can stream. See
``keras_seq.export.examples`` for the examples.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from keras_seq import files
from keras_seq.export import examples
from keras_seq.export.metadata import Source
from keras_seq.export.serving_graph import ServingGraph
from keras_seq.export.step import COUNT, make_step, why_no_step
from keras_seq.export.word_codes import insert_codes

if TYPE_CHECKING:
    from keras_seq.models.tensor import Tensor

PREDICT, CLASSIFY, REGRESS = (f"tensorflow/serving/{name}" for name in ("predict", "classify", "regress"))
SERIALIZED = (None,)


@dataclass(frozen=True)
class Endpoint:
    """A signature: its function, its arguments and what to send.

    Attributes:
        name: of the signature.
        function: takes the tensors of ``signature``, returns named tensors.
        signature: of its arguments.
        method: TensorFlow Serving's name of the call it answers.
        about: what to send, for people.
        model: the Keras model whose weights it uses.
    """

    name: str
    function: Callable[..., dict[str, Any]]
    signature: list[Any]
    method: str
    about: str
    model: Any


def make_endpoints(source: Source) -> list[Endpoint]:
    """All signatures that fit a model, the default first."""
    graph = source.graph()
    about = "windows in raw units, NaN where missing"
    if graph.takes_lengths:
        about += "; lengths: real steps, the rest is padding"
    endpoints = [Endpoint("serving_default", graph.function, graph.signature, PREDICT, about, graph.model)]
    endpoints.append(_serialized(source, graph))
    if source.spec.words:
        endpoints.append(_words(source, graph))
    if source.spec.classifies:
        endpoints.append(_classify(source, graph))
    elif source.spec.task == "regression" and len(source.spec.targets) == 1:
        endpoints.append(_regress(source, graph))
    if not why_no_step(source):
        step = make_step(source)
        about = f"the next row of each unit and the state its last answer gave, zeros at first; {COUNT}: rows seen"
        endpoints.append(Endpoint("step", step.function, step.signature, PREDICT, about, step.model))
    if source.explain is not None:
        why = source.explain
        endpoints.append(Endpoint("explain", why.function, why.signature, PREDICT, why.about, why.model))
    return endpoints


def _serialized(source: Source, graph: ServingGraph) -> Endpoint:
    spec = source.spec
    if graph.takes_lengths:
        about = "serialized tf.train.SequenceExample: one feature list a column, one float a step"

        def answer(serialized: Tensor) -> dict[str, Any]:
            values, lengths = examples.parse_sequences(serialized, spec.features)
            return graph.function(values=values, lengths=lengths)
    else:
        about = f"serialized tf.train.Example: {spec.time} floats a column"

        def answer(serialized: Tensor) -> dict[str, Any]:
            return graph.function(values=examples.parse_windows(serialized, spec.features, spec.time))

    argument = tf.TensorSpec(SERIALIZED, tf.string, name="examples")
    return Endpoint("serving_examples", lambda examples: answer(examples), [argument], PREDICT, about, graph.model)


def _words(source: Source, graph: ServingGraph) -> Endpoint:
    spec = source.spec
    named = ", ".join(f"'{spec.features[column.feature]}'" for column in spec.words)
    about = f"as serving_default, with the words of {named} as texts in their order; values are not read there"
    argument = tf.TensorSpec((None, None, len(spec.words)), tf.string, name="words")

    def sequences(values: Tensor, lengths: Tensor, words: Tensor) -> dict[str, Any]:
        return graph.function(values=insert_codes(values, words, spec), lengths=lengths)

    def windows(values: Tensor, words: Tensor) -> dict[str, Any]:
        return graph.function(values=insert_codes(values, words, spec))

    answer = sequences if graph.takes_lengths else windows
    return Endpoint("serving_words", answer, [*graph.signature, argument], PREDICT, about, graph.model)


def _of_examples(source: Source, graph: ServingGraph) -> Callable[[Any], dict[str, Any]]:
    """Answers to serialized ``tf.train.Example``: what classify and regress requests carry."""
    spec = source.spec

    def answer(inputs: Tensor) -> dict[str, Any]:
        if not graph.takes_lengths:
            return graph.function(values=examples.parse_windows(inputs, spec.features, spec.time))
        values, lengths = examples.parse_examples(inputs, spec.features)
        return graph.function(values=values, lengths=lengths)

    return answer


def _classify(source: Source, graph: ServingGraph) -> Endpoint:
    answer, binary = _of_examples(source, graph), source.spec.task == "binary"
    names = source.spec.classes or (("0", "1") if binary else ())

    def classify(inputs: Tensor) -> dict[str, Any]:
        answers = answer(inputs)
        scores = answers["probability"] if binary else answers["probabilities"]
        scores = tf.concat([1.0 - scores, scores], axis=1) if binary else scores
        return {"classes": tf.tile(tf.constant([list(names)]), [tf.shape(scores)[0], 1]), "scores": scores}

    argument = tf.TensorSpec(SERIALIZED, tf.string, name="inputs")
    about = "tf.train.Example, one float a step and column; scores are calibrated probabilities of the classes"
    return Endpoint("classify", classify, [argument], CLASSIFY, about, graph.model)


def _regress(source: Source, graph: ServingGraph) -> Endpoint:
    answer = _of_examples(source, graph)
    argument = tf.TensorSpec(SERIALIZED, tf.string, name="inputs")
    about = "tf.train.Example, one float a step and column; outputs are predictions in raw units"
    return Endpoint(
        "regress", lambda inputs: {"outputs": answer(inputs)["prediction"]}, [argument], REGRESS, about, graph.model
    )


def write_signatures(source: Source, folder: Path) -> None:
    """Write a SavedModel with all signatures into ``folder``, which the caller puts in place."""
    import keras

    endpoints, archive = make_endpoints(source), keras.export.ExportArchive()
    for model in {id(endpoint.model): endpoint.model for endpoint in endpoints}.values():
        archive.track(model)
    for endpoint in endpoints:
        archive.add_endpoint(endpoint.name, endpoint.function, input_signature=endpoint.signature)
    with contextlib.redirect_stdout(io.StringIO()):
        archive.write_out(str(folder), verbose=False)
    _set_methods(folder, {endpoint.name: endpoint.method for endpoint in endpoints})


def describe_signatures(folder: Path, source: Source) -> dict[str, Any]:
    """What the signatures of a written version take and give: ``{name: {method, about, inputs, outputs}}``."""
    about = {endpoint.name: endpoint.about for endpoint in make_endpoints(source)}
    definitions = _read(folder).meta_graphs[0].signature_def
    return {
        name: {
            "method": definitions[name].method_name,
            "about": text,
            "inputs": {key: _tensor(info) for key, info in sorted(definitions[name].inputs.items())},
            "outputs": {key: _tensor(info) for key, info in sorted(definitions[name].outputs.items())},
        }
        for name, text in about.items()
    }


def _tensor(info: Any) -> dict[str, Any]:
    shape = [None if axis.size < 0 else axis.size for axis in info.tensor_shape.dim]
    return {"dtype": tf.as_dtype(info.dtype).name, "shape": shape}


def _read(folder: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    graph = saved_model_pb2.SavedModel()
    graph.ParseFromString((folder / "saved_model.pb").read_bytes())
    return graph


def _set_methods(folder: Path, methods: dict[str, str]) -> None:
    """Name the calls that signatures answer: Keras writes predict for all, and classify requests would be refused."""
    graph = _read(folder)
    definitions = graph.meta_graphs[0].signature_def
    for name, method in methods.items():
        definitions[name].method_name = method
    with files.new_file(folder / "saved_model.pb") as partial:
        partial.write_bytes(graph.SerializeToString(deterministic=True))
    (folder / "fingerprint.pb").unlink(missing_ok=True)  # of the file before; TensorFlow goes without
