"""The extras as a layer of their own: requests and responses as data, over a version whose answers are simple sums."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.contract.signatures import DEFAULT, Signature, TensorInfo
from serving.contract.status import Code, Refused
from serving.contract.version_state import VersionState
from serving.extras import check, state
from serving.extras.http import ExtrasRequest, parse, plain
from serving.extras.routes import PAGE, Extras

FEATURES = ("pressure", "flow", "heat")
TOLD = {
    "format": 1,
    "task": "regression",
    "targets": ["wear"],
    "time": 4,
    "variable_length": True,
    "horizon": 0,
    "classes": [],
    "features": [
        {"name": name, "unit": "bar", "minimum": 0.0, "maximum": 9.0, "missing": name != "heat"} for name in FEATURES
    ],
}
FLOATS, INTS = "DT_FLOAT", "DT_INT32"
PREDICT = "tensorflow/serving/predict"
SIGNATURES = {
    DEFAULT: Signature(
        PREDICT,
        {"lengths": TensorInfo("l:0", INTS, (-1,)), "values": TensorInfo("v:0", FLOATS, (-1, -1, 3))},
        {"prediction": TensorInfo("p:0", FLOATS, (-1, 1))},
    ),
    "classify": Signature("tensorflow/serving/classify", {"inputs": TensorInfo("i:0", "DT_STRING", (-1,))}, {}),
    "words": Signature(
        PREDICT,
        {"flag": TensorInfo("f:0", "DT_BOOL", (-1,)), "text": TensorInfo("t:0", "DT_STRING", (-1,))},
        {"text": TensorInfo("t:0", "DT_STRING", (-1,))},
    ),
}


@dataclass
class Mean:
    """A version that answers with the mean of the real steps: arithmetic that a test can follow."""

    name: str
    version: int
    signatures: dict = field(default_factory=lambda: SIGNATURES)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def run(self, signature, inputs):
        if signature == "words":
            return {"text": inputs["text"]}
        rows = zip(inputs["values"], inputs["lengths"], strict=True)
        return {"prediction": np.array([[row[:steps].mean()] for row, steps in rows], np.float32)}


class Server:
    """An ``App`` in memory."""

    def __init__(self, folder):
        self.home, self.page, self.counted, self.dealt = folder, "", [], {}
        self.known = {"wear": {2: "AVAILABLE", 1: "END"}, "new": {1: "LOADING"}, "none": {}}
        (folder / "wear" / "2" / "keras_seq").mkdir(parents=True)
        (folder / "wear" / "2" / "keras_seq" / "metadata.json").write_text(json.dumps(TOLD))
        self.models = self

    def names(self):
        return list(self.known)

    def states(self, name, version=None, label=None):
        if not self.known.get(name) or (version is not None and version not in self.known[name]):
            raise Refused(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        return [VersionState(number, said) for number, said in self.known[name].items() if version in (None, number)]

    def acquire(self, name, version=None, label=None):
        there = [number for number, said in self.known.get(name, {}).items() if said == "AVAILABLE"]
        if not there or version not in (None, *there):
            raise Refused(Code.NOT_FOUND, f"Servable not found for request: Latest({name})")
        return Mean(name, version or max(there))

    def metrics(self):
        return self.page

    def count(self, model, code, seconds):
        self.counted.append((model, code.name))

    def predict(self, model, version, label, signature, inputs, caller):
        with self.acquire(model, version, label) as servable:
            return servable.version, servable.run(signature, inputs)

    def folder(self, model, version):
        return self.home / model / str(version)

    def shares(self, model):
        return self.dealt.get(model, {})


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path)


@pytest.fixture
def extras(server):
    return Extras(server, "/keras_seq")


def ask(extras, method, path, body=None):
    sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    reply = extras.answer(ExtrasRequest(method, f"/keras_seq{path}", sent))
    return reply.status, json.loads(reply.body, parse_constant=lambda name: pytest.fail(f"{name} in strict JSON"))


ROW = [1.0, 2.0, 3.0]
GOOD = {"inputs": {"values": [[ROW, ROW]], "lengths": [2]}}


def test_models_with_their_versions_and_features(extras):
    status, told = ask(extras, "GET", "/models")
    assert status == 200
    by_name = {model["name"]: model for model in told["models"]}
    assert by_name["wear"]["serving"] == 2
    assert [column["name"] for column in by_name["wear"]["features"]] == list(FEATURES)
    assert [(row["version"], row["state"]) for row in by_name["wear"]["versions"]] == [(2, "AVAILABLE"), (1, "END")]
    assert by_name["new"]["serving"] is None and by_name["none"]["versions"] == []


@pytest.mark.parametrize(
    ("dealt", "shares", "serving"),
    [
        ({}, {1: 0.0, 2: 0.0, 3: 1.0}, 3),
        ({1: 0.9, 3: 0.1}, {1: 0.9, 2: 0.0, 3: 0.1}, 1),
        ({1: 0.25, 2: 0.75}, {1: 0.25, 2: 0.75, 3: 0.0}, 2),
        ({1: 0.5, 2: 0.5}, {1: 0.5, 2: 0.5, 3: 0.0}, 2),
        ({1: 0.7}, {1: 0.7, 2: 0.0, 3: 0.3}, 1),  # 0.3 of a version that is not loaded: the latest answers
        ({9: 1.0}, {1: 0.0, 2: 0.0, 3: 1.0}, 3),
    ],
)
def test_under_a_rollout_the_versions_that_answer_are_named(server, extras, dealt, shares, serving):
    server.known["wear"] = {1: "AVAILABLE", 2: "AVAILABLE", 3: "AVAILABLE", 4: "LOADING"}
    server.dealt["wear"] = dealt
    told = next(model for model in ask(extras, "GET", "/models")[1]["models"] if model["name"] == "wear")
    found = {row["version"]: row["share"] for row in told["versions"]}
    assert found == pytest.approx(shares | {4: 0.0}) and told["serving"] == serving


def test_a_version_describes_itself(extras):
    for path in ("/models/wear", "/models/wear/versions/2", "/models/wear/labels/stable"):
        status, told = ask(extras, "GET", path)
        assert (status, told["version"], told["keras_seq"]) == (200, 2, TOLD)
        assert told["signatures"][DEFAULT]["inputs"]["values"] == {"dtype": "DT_FLOAT", "shape": [-1, -1, 3]}
    assert ask(extras, "GET", "/models/new") == (
        404,
        {"error": "Servable not found for request: Latest(new)", "code": "NOT_FOUND"},
    )


def test_health(extras, server):
    assert ask(extras, "GET", "/live") == (200, {"live": True})
    status, told = ask(extras, "GET", "/ready")
    assert (status, told) == (503, {"ready": False, "models": {"wear": True, "new": False, "none": False}})
    server.known = {"wear": {2: "AVAILABLE"}}
    assert ask(extras, "GET", "/ready")[0] == 200


def test_predict_in_columns_and_rows(extras):
    status, told = ask(extras, "POST", "/models/wear:predict", GOOD)
    assert (status, told) == (
        200,
        {"model": "wear", "version": 2, "signature": DEFAULT, "outputs": {"prediction": [[2.0]]}},
    )
    rows = {"instances": [{"values": [ROW, ROW], "lengths": 2}, {"values": [ROW, [9, 9, 9]], "lengths": 1}]}
    assert ask(extras, "POST", "/models/wear:predict", rows)[1]["outputs"]["prediction"] == [[2.0], [2.0]]
    words = {"inputs": {"text": ["a", "ü"], "flag": [True, False]}, "signature_name": "words"}
    assert ask(extras, "POST", "/models/wear/versions/2:predict", words)[1]["outputs"] == {"text": ["a", "ü"]}


def test_null_is_missing_and_no_number_is_null(extras):
    body = {"inputs": {"values": [[[1.0, None, 3.0]]], "lengths": [1]}}
    assert ask(extras, "POST", "/models/wear:predict", body)[1]["outputs"]["prediction"] == [[None]]


def values(value, lengths=(2,)):
    return {"inputs": {"values": value, "lengths": list(lengths)}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "no JSON: .* line 1, column 2"),
        (b"\xff", "not UTF-8: byte 0"),
        (b"[]", "must be a JSON object, got list"),
        (b'{"inputs": NaN}', "NaN is no JSON; write null"),
        (b'{"inputs": 1, "inputs": 2}', "'inputs' is given twice"),
        (b'{"inputs": {}} x', "Extra data"),
        (b"[" * 100_000, "nested too deeply|must be"),
        ({"input": {}}, "unknown name 'input'; did you mean 'inputs'"),
        ({}, "either 'inputs' .* or 'instances'"),
        ({"inputs": {}, "signature_name": "serving"}, "no signature 'serving'; did you mean 'serving_default'"),
        ({"inputs": {}, "signature_name": "classify"}, "call /v1/models/NAME:classify"),
        ({"inputs": [1]}, "must be an object with 'lengths', 'values', got list"),
        ({"inputs": {"value": [], "lengths": []}}, "no input 'value'; did you mean 'values'"),
        ({"inputs": {"values": [[ROW]]}}, "Input 'lengths' is missing"),
        ({"instances": []}, "at least one row"),
        ({"instances": [[ROW]]}, r"instances\[0\] must be an object"),
        ({"instances": [{"values": [ROW], "lengths": 1}, {"values": [ROW]}]}, r"instances\[1\] does not have"),
        (values([[ROW, [1, 2]]]), r"ragged: values\[0\]\[1\] has shape \(2,\), \[0\] has \(3,\)"),
        (values([[[1, 2], [1, 2]]]), "has 2 features a step, the model takes 3: pressure, flow, heat"),
        (values([ROW, ROW]), r"shape \[2, 3\], expected \[any, any, 3\].*one more pair of brackets"),
        (values([[ROW, [1, "x", 3]]]), r"values\[0\]\[1\]\[1\] is 'x', expected a number or null"),
        (values([[ROW, [1, True, 3]]]), r"values\[0\]\[1\]\[1\] is 'True', expected a number"),
        (values([[ROW, [1, 1e39, 3]]]), r"values\[0\]\[1\]\[1\] is 1e\+39, beyond the largest float32"),
        (values([[ROW, ROW]], [1.5]), r"lengths\[0\] is '1.5', expected a whole number"),
        (values([[ROW, ROW]], [None]), r"lengths\[0\] is 'None', expected a whole number"),
        (values([[ROW, ROW]], [2**40]), "outside int32"),
        (values([[ROW, ROW]], [2, 2]), "different numbers of rows: values 1, lengths 2"),
        (values([[ROW, ROW]], [3]), "lengths holds 3, but values has 2 steps"),
        (values([[ROW] * 5], [5]), "5 steps, but the model's window has 4"),
        (values([[ROW, [1, 2, None]]]), "feature 'heat' is nan .* allows no missing value"),
        (values([]), "different numbers of rows|nothing to predict|shape"),
    ],
)
def test_refusals_say_what_and_where(extras, body, message):
    status, told = ask(extras, "POST", "/models/wear:predict", body)
    assert status == 400, told
    assert re.search(message, told["error"]), told["error"]


@pytest.mark.parametrize("depth", [5, 100, 400, 600, 900, 2000])
def test_nesting_is_no_error_of_ours(extras, depth):
    for path in ("/models/wear:predict", "/v2/models/wear/infer"):
        nested = b"[" * depth + b"1" + b"]" * depth
        columns = b'{"inputs": {"values": %b, "lengths": [1]}}' % nested
        tensors = b'{"inputs": [{"name": "values", "shape": [1], "datatype": "FP32", "data": %b}]}' % nested
        assert ask(extras, "POST", path, tensors if "v2" in path else columns)[0] == 400


def test_large_bodies_belong_to_the_contract(extras):
    status, told = ask(extras, "POST", "/models/wear:predict", b" " * (4 * 2**20 + 1))
    assert status == 413 and "/v1/" in told["error"]


def test_paths_that_there_are_not(extras):
    status, told = ask(extras, "GET", "/nothing")
    assert status == 404 and "/keras_seq/openapi.json" in told["error"]
    reply = extras.answer(ExtrasRequest("GET", "/keras_seq/models/wear:predict"))
    assert reply.status == 405 and reply.headers["Allow"] == "POST"
    assert ask(extras, "GET", "/models/wear/versions/two")[0] == 400
    assert extras.answer(ExtrasRequest("HEAD", "/keras_seq/live")).status == 200
    assert ("GET", "/keras_seq/live") in extras and ("GET", "/elsewhere") not in extras


# --- Open Inference Protocol ------------------------------------------------------------------------------------


def tensor(name, shape, datatype, data):
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


VALUES, LENGTHS = tensor("values", [1, 2, 3], "FP32", ROW + ROW), tensor("lengths", [1], "INT32", [2])


def test_v2_health_and_metadata(extras, server):
    assert ask(extras, "GET", "/v2/health/live") == (200, {"live": True})
    assert ask(extras, "GET", "/v2/health/ready")[0] == 503
    assert set(ask(extras, "GET", "/v2")[1]) == {"name", "version", "extensions"}
    assert ask(extras, "GET", "/v2/models/wear/ready") == (200, {"name": "wear", "ready": True})
    assert ask(extras, "GET", "/v2/models/wear/versions/1/ready")[0] == 503
    assert ask(extras, "GET", "/v2/models/new/ready")[0] == 503
    assert ask(extras, "GET", "/v2/models/who/ready")[0] == 404
    status, told = ask(extras, "GET", "/v2/models/wear")
    assert (status, told["name"], told["versions"]) == (200, "wear", ["2"])
    assert told["inputs"] == [
        {"name": "lengths", "datatype": "INT32", "shape": [-1]},
        {"name": "values", "datatype": "FP32", "shape": [-1, -1, 3]},
    ]


def test_v2_infer_flat_and_nested(extras):
    for data in (ROW + ROW, [[ROW, ROW]]):
        body = {"id": "7", "inputs": [VALUES | {"data": data}, LENGTHS], "outputs": [{"name": "prediction"}]}
        assert ask(extras, "POST", "/v2/models/wear/versions/2/infer", body) == (
            200,
            {
                "model_name": "wear",
                "model_version": "2",
                "id": "7",
                "outputs": [{"name": "prediction", "shape": [1, 1], "datatype": "FP32", "data": [2.0]}],
            },
        )
    words = {
        "parameters": {"signature_name": "words"},
        "inputs": [tensor("text", [1], "BYTES", ["a"]), tensor("flag", [1], "BOOL", [True])],
    }
    told = ask(extras, "POST", "/v2/models/wear/infer", words)[1]
    assert told["outputs"] == [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "'inputs' must be a list"),
        ([VALUES], "Input 'lengths' is missing"),
        ([VALUES, VALUES, LENGTHS], "'values' is given twice"),
        ([{"name": "values"}], r"inputs\[0\] has no 'shape'"),
        ([VALUES | {"name": "v"}, LENGTHS], "no input 'v'"),
        ([VALUES | {"datatype": "FP64"}, LENGTHS], "datatype 'FP64', the model takes 'FP32'"),
        ([VALUES | {"shape": [1, 3, 3]}, LENGTHS], r"6 values in the shape \[6\], but its shape says \[1, 3, 3\]"),
        ([VALUES | {"shape": [-1]}, LENGTHS], "whole numbers, 0 or more"),
        ([VALUES | {"shape": [1, 3, 2]}, LENGTHS], "2 features a step"),
    ],
)
def test_v2_refusals(extras, inputs, message):
    status, told = ask(extras, "POST", "/v2/models/wear/infer", {"inputs": inputs})
    assert status == 400 and re.search(message, told["error"]), told


def test_v2_unknown_output(extras):
    body = {"inputs": [VALUES, LENGTHS], "outputs": [{"name": "predictions"}]}
    assert "did you mean 'prediction'" in ask(extras, "POST", "/v2/models/wear/infer", body)[1]["error"]


# --- OpenAPI, numbers for the page ------------------------------------------------------------------------------


def test_openapi_is_made_of_the_loaded_signatures(extras):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    status, told = ask(extras, "GET", "/openapi.json")
    assert status == 200 and told["openapi"].startswith("3.1")
    assert {"/keras_seq/models", "/keras_seq/models/wear:predict", "/v1/models/wear:predict"} <= set(told["paths"])
    assert not any("/new" in path for path in told["paths"])  # it has no version that answers
    operation = told["paths"]["/keras_seq/models/wear:predict"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(GOOD, schema)
    jsonschema.validate({"inputs": {"values": [[[1, None, 3]]], "lengths": [1]}}, schema)
    for wrong in ([[[1, 2]]], [ROW], [[["a", 2, 3]]]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"inputs": {"values": wrong, "lengths": [1]}}, schema)
    reply = ask(extras, "POST", "/models/wear:predict", GOOD)[1]
    answered = operation["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(reply, answered)
    references = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(told)))
    assert references <= set(told["components"]["schemas"])


def test_the_page_asks_no_other_host(extras):
    reply = extras.answer(ExtrasRequest("GET", "/keras_seq/"))
    assert reply.status == 200 and reply.kind.startswith("text/html")
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"'\s]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(?:link|script|img|iframe)[^>]+(?:src|href)", text)
    assert 'name="viewport"' in text


def test_state_reads_what_the_server_counts(extras, server):
    from serving.server.metrics import Metrics

    metrics = Metrics()
    for number in range(100):
        metrics.request("wear", "Predict", "REST", Code.OK, 0.001 + number / 1e5)
    metrics.request("wear", "Predict", "REST", Code.INVALID_ARGUMENT, 1.0)
    drift = 'keras_seq_monitor_drift{model_name="wear",version="2",of="inputs",window="64"} 1\n'
    server.page = metrics.page() + drift + 'keras_seq_monitor_feature_mean{feature="a\\"b"} 3\n'
    _, told = ask(extras, "GET", "/state")
    wear = next(model for model in told["models"] if model["name"] == "wear")
    assert wear["calls"] == {"OK": 100, "INVALID_ARGUMENT": 1}
    assert 1.0 < wear["latency_ms"]["p50"] < wear["latency_ms"]["p99"] < 3.6
    assert [(row["name"], row["labels"]["of"], row["value"]) for row in told["watched"]] == [("drift", "inputs", 1)]
    assert told["ready"] is False


def test_quantiles_lie_in_their_bucket():
    assert state.latency({}) == {} and state.latency({10.0: 0, float("inf"): 0}) == {}
    found = state.latency({1000.0: 50, 2000.0: 100, float("inf"): 100})
    assert found == pytest.approx({"p50": 1.0, "p95": 1.9, "p99": 1.98})
    assert state.latency({1000.0: 0, float("inf"): 5})["p99"] == 1.0  # all that is known


@given(st.text())
def test_labels_survive_the_metrics_page(text):
    from serving.server.metrics import Counter

    counter = Counter("name", ("label",))
    counter.add((text,), 3)
    assert list(state.samples("\n".join(counter.lines()))) == [("name", {"label": text}, 3.0)]


# --- values -----------------------------------------------------------------------------------------------------

JSON_NUMBERS = st.floats(-(2.0**100), 2.0**100, width=32) | st.integers(-(2**20), 2**20) | st.none()


@settings(max_examples=40)
@given(st.integers(0, 3), st.integers(1, 4), st.data())
def test_arrays_are_read_as_written(rows, columns, data):
    given_ = data.draw(
        st.lists(st.lists(JSON_NUMBERS, min_size=columns, max_size=columns), min_size=rows, max_size=rows)
    )
    found = check.array("x", given_, TensorInfo("x", FLOATS, None))
    expected = np.array([[np.nan if v is None else v for v in row] for row in given_], np.float32)
    np.testing.assert_array_equal(found, expected.reshape(found.shape))


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_everything_is_said_in_strict_json(value):
    text = json.dumps(plain({"v": value}), allow_nan=False)
    assert parse(text.encode()) == json.loads(text)


def test_plain_arrays():
    assert plain({"a": np.array([[1.5, np.nan, np.inf]], np.float32), "b": np.array([b"x"], object)}) == {
        "a": [[1.5, None, None]],
        "b": ["x"],
    }


def test_metadata_that_is_broken_is_passed_over(extras, server, tmp_path):
    (tmp_path / "wear" / "2" / "keras_seq" / "metadata.json").write_text("{")
    status, told = ask(extras, "GET", "/models/wear")
    assert status == 200 and told["keras_seq"] is None
    assert ask(extras, "POST", "/models/wear:predict", values([[ROW] * 9], [9]))[0] == 200  # the window is not known


def test_calls_are_counted_however_they_end(server, extras):
    assert ask(extras, "POST", "/models/wear:predict", GOOD)[0] == 200
    assert ask(extras, "POST", "/models/wear:predict", {})[0] == 400
    assert ask(extras, "POST", "/v2/models/nothing/infer", {})[0] == 404
    assert ask(extras, "GET", "/models/wear")[0] == 200
    assert server.counted == [("wear", "OK"), ("wear", "INVALID_ARGUMENT"), ("nothing", "NOT_FOUND")]


def test_features_tell_what_training_saw_of_them(server, extras):
    seen = {"count": 9, "mean": 2.0, "minimum": 1.0, "maximum": 4.0}
    names = list(FEATURES)
    columns = [{"name": names[0], **seen}, {"name": f"{names[1]} mean", **seen}, {"name": f"{names[1]} spread", **seen}]
    path = server.home / "wear" / "2" / "keras_seq" / "reference.json"
    path.write_text(json.dumps({"features": names, "columns": columns}))
    _, told = ask(extras, "GET", "/models")
    found = {column["name"]: column["seen"] for model in told["models"] for column in model["features"]}
    wanted = {"mean": 2.0, "minimum": 1.0, "maximum": 4.0}
    assert (found[names[0]], found[names[1]], found[names[2]]) == (wanted, wanted, None)
    path.write_text("{}")
    assert all(column["seen"] is None for column in ask(extras, "GET", "/models")[1]["models"][-1]["features"])
