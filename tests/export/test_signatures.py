"""Every signature of a served version gives the Keras model's answers, whatever it takes."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.export import examples
from keras_seq.export.metadata import Source
from keras_seq.export.saved_model import write_saved_model
from keras_seq.export.serving_graph import served
from keras_seq.export.signatures import (
    CLASSIFY,
    PREDICT,
    REGRESS,
    describe_signatures,
    make_endpoints,
    write_signatures,
)
from keras_seq.export.warmup import FILE, REQUESTS, write_warmup
from keras_seq.models.build import build_model
from tests.contract.conftest import LENGTHS, TIME, make_config, make_spec, raw_values, shake

FEATURES = ("speed", "level", "heat")


def source(family, task, **spec):
    data, config = make_spec(task, **spec), make_config(family, task, layers=1, history={})
    decision = {"calibration": {"method": "platt", "slope": 1.5, "offset": 0.3}, "threshold": 0.4}
    return Source(shake(build_model(config, data)), data, decision if task == "binary" else {}, config.quantiles)


def rows(lengths):
    """Windows with a gap, cut to their real steps."""
    values = raw_values(batch=len(lengths))
    values[0, 2, 1] = np.nan
    return [row[:steps] for row, steps in zip(values, lengths, strict=True)]


def expected(given, lengths):
    values = np.zeros((len(lengths), TIME, len(FEATURES)), np.float32)
    for row, part in zip(values, rows(lengths), strict=True):
        row[: len(part)] = part
    graph = served(given.model, given.spec, decision=given.decision, quantiles=given.quantiles)
    inputs = {"lengths": np.asarray(lengths, np.int32)} if graph.takes_lengths else {}
    return {name: np.asarray(value) for name, value in graph.function(values=values, **inputs).items()}


def near(found, wanted, scale=1.0):
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=0, atol=1e-5 * scale)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """A binary model of sequences: the model, its version folder, the loaded version."""
    import tensorflow as tf

    given, folder = source("lstm", "binary"), tmp_path_factory.mktemp("sequences") / "1"
    folder.mkdir()
    write_signatures(given, folder)
    return given, folder, tf.saved_model.load(str(folder)).signatures


def test_the_signatures_of_a_classifier_that_streams(sequences):
    given, folder, loaded = sequences
    assert set(loaded) == {"serving_default", "serving_examples", "classify", "step"}
    about = describe_signatures(folder, given)
    methods = {name: entry["method"] for name, entry in about.items()}
    assert methods == dict.fromkeys(("serving_default", "serving_examples", "step"), PREDICT) | {"classify": CLASSIFY}
    assert about["serving_default"]["inputs"] == {
        "lengths": {"dtype": "int32", "shape": [None]},
        "values": {"dtype": "float32", "shape": [None, None, 3]},
    }
    assert set(about["classify"]["inputs"]) == {"inputs"} and set(about["classify"]["outputs"]) == {"classes", "scores"}
    assert about["step"]["inputs"]["state_lstm_1_h"] == {"dtype": "float32", "shape": [None, 8]}
    assert {k for k in about["step"]["inputs"] if k != "values"} < set(about["step"]["outputs"])


def test_sequence_examples_are_parsed_and_padded_in_the_graph(sequences):
    import tensorflow as tf

    given, _, loaded = sequences
    serialized = [examples.encode_sequence(row, FEATURES) for row in rows(LENGTHS)]
    found = loaded["serving_examples"](examples=tf.constant(serialized))
    for name, value in expected(given, LENGTHS).items():
        near(found[name], value)


def test_classify_gives_classes_and_scores_of_plain_examples(sequences):
    import tensorflow as tf

    given, _, loaded = sequences
    found = loaded["classify"](inputs=tf.constant([examples.encode_example(row, FEATURES) for row in rows(LENGTHS)]))
    assert found["classes"].numpy().tolist() == [[b"0", b"1"]] * len(LENGTHS)
    near(found["scores"][:, 1:], expected(given, LENGTHS)["probability"])
    near(np.sum(found["scores"], axis=1), 1.0)


def test_examples_whose_columns_disagree_are_refused(sequences):
    import tensorflow as tf

    _, _, loaded = sequences
    steps = tf.train.FloatList(value=[1.0, 2.0])
    columns = {name: tf.train.Feature(float_list=steps) for name in FEATURES}
    columns["heat"] = tf.train.Feature(float_list=tf.train.FloatList(value=[1.0]))
    ragged = tf.train.Example(features=tf.train.Features(feature=columns)).SerializeToString()
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have the same number of steps"):
        loaded["classify"](inputs=tf.constant([ragged]))
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded["serving_examples"](examples=tf.constant([b"no example"]))


def test_warm_up_requests_are_what_the_server_would_be_sent(sequences, tmp_path):
    """Each record names a signature and is answered by it; one window a request."""
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    given, _, loaded = sequences
    values = raw_values(batch=10)
    write_warmup(given, tmp_path, {"values": values, "lengths": np.full(10, 7, np.int32)}, name="casts")
    logs = [
        PredictionLog.FromString(record) for record in tf.data.TFRecordDataset(str(tmp_path / FILE)).as_numpy_iterator()
    ]
    assert len(logs) == REQUESTS * len(loaded)
    seen = set()
    for log in logs:
        request = getattr(log, log.WhichOneof("log_type")).request
        name = request.model_spec.signature_name
        assert request.model_spec.name == "casts"
        if log.WhichOneof("log_type") == "predict_log":
            answers = loaded[name](**{key: tf.constant(tf.make_ndarray(t)) for key, t in request.inputs.items()})
        else:
            assert log.WhichOneof("log_type") == "classify_log"
            text = [example.SerializeToString() for example in request.input.example_list.examples]
            answers = loaded[name](inputs=tf.constant(text))
        assert {value.shape[0] for value in answers.values()} == {1}
        seen.add(name)
    assert seen == set(loaded)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "task", "variable", "method"), [
    ("gru", "regression", False, "regress"), ("tcn", "regression", True, "regress"),
    ("lstm", "per_step", True, "regress"), ("cnn_lstm", "multiclass", False, "classify"),
    ("lstm", "quantiles", True, "regress"), ("lstm", "forecast", False, None),
])  # fmt: skip
def test_every_task_has_its_signatures(tmp_path, family, task, variable, method):
    import tensorflow as tf

    given = source(family, task, variable_length=variable)
    lengths = LENGTHS if variable else [TIME] * 3
    model = write_saved_model(given.model, given.spec, tmp_path, decision=given.decision, quantiles=given.quantiles)
    loaded, wanted = tf.saved_model.load(str(model)).signatures, expected(given, lengths)
    scale = max(given.spec.target_std or (1.0,))
    names = {"serving_default", "serving_examples", *([method] if method else [])}
    assert set(loaded) == names | ({"step"} if family in ("lstm", "gru") else set())
    encode = examples.encode_sequence if variable else examples.encode_example
    found = loaded["serving_examples"](examples=tf.constant([encode(row, FEATURES) for row in rows(lengths)]))
    for name, value in wanted.items():
        near(found[name], value, scale)
    if method:
        text = tf.constant([examples.encode_example(row, FEATURES) for row in rows(lengths)])
        found = loaded[method](inputs=text)
        assert {e.name: e.method for e in make_endpoints(given)}[method] == (
            REGRESS if method == "regress" else CLASSIFY
        )
        key, answer = ("outputs", "prediction") if method == "regress" else ("scores", "probabilities")
        near(found[key], wanted[answer], scale)
    if not variable:
        with pytest.raises(tf.errors.InvalidArgumentError):
            loaded["serving_examples"](examples=tf.constant([encode(rows(lengths)[0][:5], FEATURES)]))
