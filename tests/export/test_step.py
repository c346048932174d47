"""Step by step the answers are those of the whole sequence, whatever the model remembers."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from keras_seq.errors import DataError, ExportError, ModelError
from keras_seq.export.metadata import Source
from keras_seq.export.step import make_step, why_no_step, write_step
from keras_seq.models.build import build_model
from keras_seq.runtime import Stepper
from tests.contract.conftest import make_config, make_spec, raw_values, shake
from tests.factories.tiers import tiers

HISTORY = {"ewm": (0.9, 0.5), "means": (1, 3, 5), "running_mean": True, "baseline": 4, "elapsed": 10.0}
GAPS = np.s_[[0, 0, 1, 2], [0, 4, 3, 7], [1, 2, 0, 0]]


def source(family, task, spec=None, decision=None, **settings):
    data, config = make_spec(task, **(spec or {})), make_config(family, task, **settings)
    return Source(shake(build_model(config, data)), data, decision or {}, config.quantiles)


def windows():
    values = raw_values(batch=4, time=9, seed=5)
    values[GAPS] = np.nan
    values[3, 2, 1] = np.inf
    return values


def whole(given, values):
    """The answers of the whole-sequence graph to every prefix of the sequences, by name ``(time, batch, ...)``."""
    import tensorflow as tf

    from keras_seq.export.serving_graph import served

    graph = served(given.model, given.spec, decision=given.decision, quantiles=given.quantiles)
    run = tf.function(graph.function, input_signature=graph.signature)
    every = []
    for steps in range(1, values.shape[1] + 1):
        lengths = {"lengths": np.full(len(values), steps, np.int32)} if given.spec.variable_length else {}
        cut = values if lengths else values[:, :steps]
        every.append({name: np.asarray(value) for name, value in run(values=cut, **lengths).items()})
    return {name: np.stack([part[name] for part in every]) for name in every[0]}


def stepped(given, values):
    """The same from the step graph, started with zeros."""
    import tensorflow as tf

    form = make_step(given)
    run = tf.function(form.function, input_signature=form.signature)
    state = {name: tf.zeros((len(values), *shape)) for name, shape in form.state.items()}
    every = []
    for row in np.moveaxis(values, 1, 0):
        found = run(tf.constant(row), *state.values())
        state = {name: found.pop(name) for name in state}
        every.append({name: value.numpy() for name, value in found.items()})
    return {name: np.stack([part[name] for part in every]) for name in every[0]}


def agree(given, values, found):
    expected = whole(given, values)
    scale = max(given.spec.target_std or (1.0,))
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5 * scale, err_msg=name)
    first = next(iter(expected.values()))
    assert np.ptp(first, axis=0).max() > 1e-3 * scale  # the answers do change from step to step


CASES = {
    "lstm per step": ("lstm", "per_step", {}, {"history": HISTORY, "input_dense": 4, "normalisation": "layer"}),
    "gru last": ("gru", "regression", {"missing_indicator": True}, {"normalisation": "batch", "dropout": 0.2}),
    "lstm mean": ("lstm", "binary", {"impute": "mean"}, {"pooling": "mean"}),
    "gru max": ("gru", "multiclass", {"impute": "none"}, {"pooling": "max", "history": HISTORY, "layers": 1}),
    "lstm sum": ("lstm", "quantiles", {"variable_length": False}, {"pooling": "sum", "input_noise": 0.1}),
    "tcn by its window": ("tcn", "forecast_quantiles", {}, {"normalisation": "instance", "history": {}}),
    "lstm forecast": ("lstm", "forecast_quantiles", {}, {"layers": 1, "history": {"means": (1,)}}),
}
QUICK = ["tcn by its window", "lstm per step", "gru max"]


@pytest.mark.parametrize("name", tiers(CASES, quick=QUICK, slow=set(CASES) - set(QUICK)))
def test_every_step_answers_as_the_sequence_up_to_it(name):
    family, task, spec, settings = CASES[name]
    given = source(family, task, spec, **settings)
    agree(given, windows(), stepped(given, windows()))


REMEMBERED = list(itertools.product(("lstm", "gru"), ("none", "forward", "mean"), ("last", "mean", "max", "sum")))
SLOW = [("lstm", "none", "last"), ("gru", "forward", "mean"), ("lstm", "mean", "max"), ("gru", "none", "sum")]


@pytest.mark.parametrize(("family", "impute", "pooling"), tiers(REMEMBERED, slow=SLOW))
def test_every_pooling_and_imputation(family, impute, pooling):
    given = source(
        family, "regression", {"impute": impute, "missing_indicator": True}, pooling=pooling, history=HISTORY
    )
    agree(given, windows(), stepped(given, windows()))


@pytest.mark.slow
def test_half_precision_models_step_in_float32():
    import keras

    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        given = source("lstm", "per_step")
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    from keras_seq.models.views import plain_twin

    agree(Source(plain_twin(given.model), given.spec), windows(), stepped(given, windows()))


@pytest.mark.parametrize(("family", "spec", "settings", "reason"), [
    ("bilstm", {}, {}, "layer 'lstm_1_turn' .Reverse. needs the whole window"),
    ("lstm", {}, {"pooling": "attention"}, "'pooling' .AttentionPooling. needs the whole window"),
    ("tcn", {}, {}, "needs the whole window"),
    ("gru", {"impute": "interpolate"}, {}, "interpolate looks ahead"),
])  # fmt: skip
def test_models_without_a_step_form_say_why(family, spec, settings, reason):
    given = source(family, "regression", spec, **settings)
    with pytest.raises(ExportError, match=f"cannot answer step by step: .*{reason}.*lstm and gru"):
        make_step(given)
    assert why_no_step(given)


@pytest.fixture(scope="module")
def streaming(tmp_path_factory):
    """An LSTM with all that it can remember, and its file."""
    decision = {"interval": {"method": "conformal", "width": [3.0]}}
    given = source("lstm", "per_step", decision=decision, history=HISTORY)
    path = tmp_path_factory.mktemp("step") / "step.onnx"
    assert not write_step(given, path).loops
    return given, path


def test_a_stepper_holds_the_state_of_every_unit(streaming):
    given, path = streaming
    values, stepper = windows(), Stepper(path)
    rows = []
    for step in np.moveaxis(values, 1, 0):  # the units take turns, two in one call
        parts = [stepper.step(step[0], "a"), stepper.step(step[3], 7)]
        both = stepper.step_many(step[1:3], ["b", "c"])
        rows.append({k: np.stack([parts[0][k], *both[k], parts[1][k]]) for k in both})
    agree(given, values, {name: np.stack([row[name] for row in rows]) for name in rows[0]})
    assert stepper.units == ("a", 7, "b", "c")
    stepper.forget("a")
    np.testing.assert_array_equal(stepper.step(values[0, 0], "a")["prediction"], rows[0]["prediction"][0])
    stepper.reset()
    assert stepper.units == ()


def test_a_step_costs_the_same_after_a_long_history(streaming):
    stepper, row = Stepper(streaming[1]), windows()[2, 1]

    def fastest(count):
        best = np.inf
        for _ in range(count):
            start = time.perf_counter()
            stepper.step(row)
            best = min(best, time.perf_counter() - start)
        return best

    early = fastest(300)
    for _ in range(3000):
        stepper.step(row)
    assert fastest(300) < 2 * early
    assert sum(value.size for value in stepper._states[0].values()) < 200


def test_what_a_stepper_refuses(streaming, tmp_path):
    stepper = Stepper(streaming[1])
    with pytest.raises(DataError, match=r"shape \(2,\), expected \(3,\): speed, level, heat"):
        stepper.step([1.0, 2.0])
    with pytest.raises(DataError, match="2 rows and 1 different units"):
        stepper.step_many(np.zeros((2, 3)), ["a", "a"])
    with pytest.raises(ModelError, match="There is no file"):
        Stepper(tmp_path / "step.onnx")
    copy = tmp_path / "step.onnx"
    copy.write_bytes(streaming[1].read_bytes() + b"x")
    (tmp_path / "step.onnx.sha256").write_text(streaming[1].with_name("step.onnx.sha256").read_text())
    with pytest.raises(ModelError, match="was changed after it was written"):
        Stepper(copy)


def test_a_file_for_whole_windows_is_no_step_graph(streaming, tmp_path):
    import onnx

    proto = onnx.load(streaming[1])
    entry = next(entry for entry in proto.metadata_props if entry.key == "keras_seq")
    entry.value = entry.value.replace('"onnx-step"', '"onnx"')
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="whole windows, not step by step"):
        Stepper(tmp_path / "model.onnx")


def test_a_window_of_one_length_steps_by_its_rows(tmp_path):
    """Scaled by itself at every step: each full window's answer, in any unit's size; before, the first row repeated."""
    given = source("lstm", "forecast", {"variable_length": False}, normalisation="instance", layers=1, history={})
    write_step(given, tmp_path / "step.onnx")
    stepper = Stepper(tmp_path / "step.onnx")
    rows = raw_values(batch=1, time=30, seed=3)[0]
    time_steps = given.spec.time
    for unit, size in (("small", 1.0), ("large", 1e4)):
        for number, row in enumerate(rows):
            found = stepper.step(row * np.float32(size), unit=unit)["prediction"]
            past = rows[max(0, number + 1 - time_steps) : number + 1]
            past = np.concatenate([np.repeat(past[:1], time_steps - len(past), axis=0), past])
            expected = np.asarray(given.model({"values": past[None]}))[0]
            np.testing.assert_allclose(found / size, expected, rtol=1e-4, atol=1e-3)
