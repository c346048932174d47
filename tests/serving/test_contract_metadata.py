"""Signatures from protos, and the JSON that protobuf's C++ library would print."""

import json

from google.protobuf import text_format

from serving.contract import protos
from serving.contract.metadata import metadata_body, signature_json, signature_map, signatures_of, status_body
from serving.contract.signatures import TensorInfo
from serving.contract.version_state import VersionState

GRAPH = """
signature_def { key: "serving_default" value {
  inputs { key: "b" value { name: "b:0" dtype: DT_FLOAT tensor_shape { dim { size: -1 } dim { size: 2 name: "f" } } } }
  inputs { key: "a" value { name: "a:0" dtype: DT_STRING tensor_shape { unknown_rank: true } } }
  outputs { key: "y" value { name: "y:0" dtype: DT_INT64 tensor_shape { } } }
  method_name: "tensorflow/serving/predict"
  defaults { key: "a" value { dtype: DT_STRING string_val: "hi" } }
} }
signature_def { key: "a<b>" value { } }
"""


def graph():
    return text_format.Parse(GRAPH, protos.protobuf("meta_graph").MetaGraphDef())


def test_signatures():
    found = signatures_of(graph())
    assert list(found) == ["a<b>", "serving_default"]
    default = found["serving_default"]
    assert list(default.inputs.items()) == [
        ("a", TensorInfo("a:0", "DT_STRING", None)),
        ("b", TensorInfo("b:0", "DT_FLOAT", (-1, 2))),
    ]
    assert default.outputs == {"y": TensorInfo("y:0", "DT_INT64", ())}
    assert default.method == "tensorflow/serving/predict"
    assert default.text.startswith('goo.gle/debugstr   \ninputs {\n  key: "a"\n')


def test_map_survives_as_a_message():
    message = signature_map(graph())
    again = type(message).FromString(message.SerializeToString())
    assert signatures_of(again) == signatures_of(graph())


def test_json():
    text = signature_json(signature_map(graph()))
    assert (
        '"a\\u003cb\\u003e": {\n   "inputs": {},\n   "outputs": {},\n   "method_name": "",\n   "defaults": {}\n' in text
    )
    tree = json.loads(text)["signature_def"]["serving_default"]
    assert list(tree) == ["inputs", "outputs", "method_name", "defaults"]
    assert list(tree["inputs"]) == ["a", "b"]
    assert list(tree["inputs"]["b"]) == ["name", "dtype", "tensor_shape"]
    assert tree["inputs"]["b"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}, {"size": "2", "name": "f"}],
        "unknown_rank": False,
    }
    assert tree["defaults"]["a"]["string_val"] == ["aGk="]
    body = metadata_body("mü", 12, text).decode()
    assert body.startswith(
        '{\n"model_spec":{\n "name": "mü",\n "version": "12",\n "signature_name": ""\n}\n,\n"metadata": {'
    )
    assert json.loads(body)["metadata"]["signature_def"]["signature_def"].keys() == {"a<b>", "serving_default"}


def test_status():
    states = [VersionState(2, "AVAILABLE"), VersionState(1, "END", "UNKNOWN", 'no "graph" at <x>\n\x7f\U000e0001')]
    text = status_body(states).decode()
    assert text.endswith("\n ]\n}\n")
    assert '"error_message": "no \\"graph\\" at \\u003cx\\u003e\\n\\u007f\\udb40\\udc01"' in text
    assert [each["version"] for each in json.loads(text)["model_version_status"]] == ["2", "1"]
