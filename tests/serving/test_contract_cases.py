"""Cases recorded from the C++ server, as far as they go without loading a model: routing, reading, refusing, writing.

What the recorded models compute is so little that it stands here in numpy; cases about a server's life (reloading,
raw HTTP, metrics) and errors worded by a graph are left to the server's own tests.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from serving.contract import checks, metadata, routes, writing
from serving.contract.examples import read_examples
from serving.contract.reading import read_predict, read_predict_strictly
from serving.contract.signatures import CLASSIFY, PREDICT, REGRESS, Signature, TensorInfo
from serving.contract.status import Refused
from serving.contract.version_state import VersionState
from tests.factories.offenders import check_each

FILE = Path(os.environ.get("KERAS_SEQ_DATA", "")).parent / "serving" / "tf_serving_cases.json"
CASES = json.loads(FILE.read_text()) if os.environ.get("KERAS_SEQ_DATA") and FILE.is_file() else []
ELSEWHERE = {  # needs what only a running server has
    "http_10", "http_chunked", "http_cors_on", "http_garbage_line", "http_keepalive", "http_metrics",
    "version_dir_removed", "err_unknown_version", "metadata_unknown", "status_unknown", "status_version_unknown",
}  # fmt: skip
NAMES = {
    "f16": "DT_HALF", "i32": "DT_INT32", "i64": "DT_INT64", "u8": "DT_UINT8", "i8": "DT_INT8", "boolean": "DT_BOOL",
}  # fmt: skip


def signature(method=PREDICT, text="", outputs=("y",), **inputs):
    given = {name: TensorInfo(f"{name}:0", dtype, (-1,)) for name, dtype in inputs.items()}
    return Signature(method, given, {name: TensorInfo(f"{name}:0", "DT_FLOAT", (-1,)) for name in outputs}, text)


def upper(s):
    return np.array([each.upper() for each in s], object)


def half_plus(constant):
    return lambda x: {"y": x * np.float32(0.5) + np.float32(constant)}


SINGLE = signature(x="DT_FLOAT")
MODELS = {
    "half_plus_two": ({"serving_default": SINGLE}, {"serving_default": half_plus(2)}),
    "versions": ({"serving_default": SINGLE}, {"serving_default": half_plus(4)}),
    "reg": (
        {
            "serving_default": signature(x="DT_FLOAT"),
            "classify_x_to_y": signature(CLASSIFY, inputs="DT_STRING", outputs=("classes", "scores")),
            "regress_x_to_y": signature(REGRESS, inputs="DT_STRING", outputs=("outputs",)),
        },
        {"serving_default": half_plus(2)},
    ),
    "two_io": (
        {"serving_default": signature(a="DT_FLOAT", b="DT_FLOAT", outputs=("cnt", "sum"))},
        {"serving_default": lambda a, b: {"sum": a[:, None] + b, "cnt": np.full(len(a), b.shape[1], np.int32)}},
    ),
    "seq": (
        {"serving_default": SINGLE},
        {"serving_default": lambda x: {"forecast": x.mean(1) @ np.ones((3, 2), np.float32)}},
    ),
    "text": (
        {
            "serving_default": signature(s="DT_STRING"),
            "single": signature(s="DT_STRING"),
            "length": signature(img_bytes="DT_STRING"),
        },
        {
            "serving_default": lambda s: {"s_upper": upper(s), "s_bytes": s},
            "single": lambda s: {"up": upper(s)},
            "length": lambda img_bytes: {"n": np.array([len(each) for each in img_bytes], np.int32)},
        },
    ),
    "types": (
        {name: signature(x=dtype) for name, dtype in NAMES.items()},
        {name: lambda x: {"y": x} for name in NAMES},
    ),
    "special": ({"serving_default": SINGLE}, {"serving_default": lambda x: {"y": np.log(x)}}),
    "scalar": ({"serving_default": SINGLE}, {"serving_default": lambda x: {"y": x.sum()}}),
}


def feature(example):
    """``x`` of an Example, as the recorded model's parser reads it: 0 if absent."""
    from serving.contract import protos

    values = protos.example().Example.FromString(example).features.feature["x"].float_list.value
    return np.float32(values[0] if values else 0)


def answer(case):
    """Status and body of a case, from the contract's functions alone."""
    try:
        route = routes.read_route(case["method"], case["path"])
        if route.kind == "preflight":
            return routes.preflight((case.get("headers") or {}).get("Origin")), b""
        if route.kind == "status":
            return 200, metadata.status_body([VersionState(1, "AVAILABLE")])
        if route.kind == "metadata":
            return 200, metadata.metadata_body(route.model, 1, metadata.signature_json(half_plus_two()))
        signatures, functions = MODELS[route.model]
        if route.model == "versions" and route.label == "canary":
            functions = {"serving_default": half_plus(3)}
        body = case["body"].encode()
        if route.kind == "predict":
            request = read_predict(body, signatures)
            with np.errstate(all="ignore"):
                outputs = functions[request.signature_name](**request.inputs)
            return 200, writing.predict_body(outputs, request.row_format)
        return 200, from_examples(route.kind, read_examples(body), signatures)
    except routes.Page as page:
        return page.status, page.body
    except Refused as refused:
        return refused.http_status, writing.error_body(refused)


def from_examples(kind, request, signatures):
    found = request.signature(signatures)
    if request.signature_name == "serving_default":
        found = metadata.signature_from(x_to_y())  # with the text that the refusal quotes
    (checks.check_classify if kind == "classify" else checks.check_regress)(found)
    y = np.array([[feature(each) * np.float32(0.5) + 2] for each in request.examples], np.float32)
    count = len(request.examples)
    if kind == "regress":
        return writing.regress_body(checks.regression({"outputs": y}, count))
    labels = np.array([[b"low", b"high"]] * count, object)
    outputs = {"classes": labels, "scores": np.concatenate([y, 1 - y], 1)}
    return writing.classify_body(*checks.classification(outputs, count))


def x_to_y():
    from serving.contract import protos

    proto = protos.protobuf("meta_graph").SignatureDef(method_name=PREDICT)
    for map_, alias in ((proto.inputs, "x"), (proto.outputs, "y")):
        map_[alias].name, map_[alias].dtype = f"{alias}:0", 1
        map_[alias].tensor_shape.dim.add(size=-1)
        map_[alias].tensor_shape.dim.add(size=1)
    return proto


def half_plus_two():
    from serving.contract import protos

    graph = protos.protobuf("meta_graph").MetaGraphDef()
    default = graph.signature_def["serving_default"]
    default.method_name = PREDICT
    for map_, alias, name in (
        (default.inputs, "x", "serving_default_x:0"),
        (default.outputs, "y", "StatefulPartitionedCall:0"),
    ):
        map_[alias].name, map_[alias].dtype = name, 1
        map_[alias].tensor_shape.dim.add(size=-1)
    init = graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"]
    init.name = "NoOp"
    init.tensor_shape.unknown_rank = True
    return metadata.signature_map(graph)


HERE = [case for case in CASES if case["id"] not in ELSEWHERE]
HERE = [case for case in HERE if case["id"].startswith("classify") or not case.get("graph_error")]


recorded = pytest.mark.skipif(
    not CASES, reason="the recorded cases are not beside the data home (KERAS_SEQ_DATA/../serving)"
)


@recorded
def test_recorded_cases():
    check_each(is_answered_as_recorded, HERE)


def is_answered_as_recorded(case):
    status, body = answer(case)
    assert status == case["expect_status"]
    if case["id"] == "classify_default_sig":  # recorded as far as 250 bytes
        assert body.decode().startswith(case["raw_body"])
    elif "raw_body" in case:
        assert body.decode() == case["raw_body"]
    else:
        assert json.loads(body) == case["expect_json"]


def test_few_cases_are_left_to_the_server():
    assert len(HERE) == (70 if CASES else 0)


@recorded
def test_recorded_bodies_read_the_same_both_ways():
    bodies = [case for case in CASES if isinstance(case["body"], str) and case["path"].endswith(":predict")]
    assert len(bodies) == 57
    check_each(reads_the_same_both_ways, bodies)


def reads_the_same_both_ways(case):
    model = case["path"].removeprefix("/v1/models/").replace("%5F", "_").partition(":")[0].partition("/")[0]
    results = []
    for read in (read_predict, read_predict_strictly):
        try:
            request = read(case["body"].encode(), MODELS[model][0])
            arrays = [(name, array.dtype, array.tolist()) for name, array in request.inputs.items()]
            results.append((request.signature_name, request.row_format, repr(arrays)))
        except Refused as refused:
            results.append((refused.code, refused.message))
    assert results[0] == results[1]
