# ruff: noqa: E501 - tables of texts, one case a line
"""Classify and regress bodies, and what is checked around such calls."""

import numpy as np
import pytest

from serving.contract import checks, protos
from serving.contract.examples import read_examples
from serving.contract.signatures import CLASSIFY, PREDICT, Signature, TensorInfo
from serving.contract.status import Refused


def features(example):
    message = protos.example().Example.FromString(example)
    return {
        name: (feature.WhichOneof("kind"), list(getattr(feature, feature.WhichOneof("kind")).value))
        if feature.WhichOneof("kind")
        else (None, [])
        for name, feature in message.features.feature.items()
    }


def test_features_of_every_kind():
    request = read_examples(
        b'{"signature_name": "s", "examples": [{"names": ["foo", {"b64": "aGVsbG8="}], "ratings": [8.0, NaN, -Infinity],'
        b'"age": 20, "mix": [1, true, false], "empty": [], "one": "bar", "dup": 1, "dup": "x", "n\\u0000ul": -0}, {}]}'
    )
    assert request.signature_name == "s"
    found = features(request.examples[0])
    assert found.pop("ratings")[0] == "float_list"
    assert found == {
        "names": ("bytes_list", [b"foo", b"hello"]),
        "age": ("int64_list", [20]),
        "mix": ("int64_list", [1, 1, 0]),
        "empty": (None, []),
        "one": ("bytes_list", [b"bar"]),
        "dup": ("bytes_list", [b"x"]),
        "n": ("int64_list", [0]),
    }
    assert features(request.examples[1]) == {}


def test_context_is_shared_and_yields_to_the_examples_own():
    request = read_examples(b'{"context": {"a": 1, "b": 2}, "examples": [{"b": 3}, {"c": "x"}]}')
    assert request.signature_name == "serving_default"
    assert [features(each) for each in request.examples] == [
        {"a": ("int64_list", [1]), "b": ("int64_list", [3])},
        {"a": ("int64_list", [1]), "b": ("int64_list", [2]), "c": ("bytes_list", [b"x"])},
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"context": [{"a": 1}]}', "Example must be JSON object but got JSON Array"),
        (b'{"examples": [[{"a": 1}]]}', "Example must be JSON object but got JSON Array"),
        (b'{"examples": [{"a": [10, null]}]}', "Feature: a has element with unexpected JSON type: Null"),
        (b'{"examples": [{"a": [[10]]}]}', "Feature: a has element with unexpected JSON type: Array"),
        (b'{"examples": [{"a": {"b": 1}}]}', "Feature: a has element with unexpected JSON type: Object"),
        (b'{"examples": [{"a": [10, 10.0]}]}', "Unexpected element type in feature: a expecting type: int64"),
        (b'{"examples": [{"a": [1.0, 1]}]}', "Unexpected element type in feature: a expecting type: float"),
        (b'{"examples": [{"a": ["x", true]}]}', "Unexpected element type in feature: a expecting type: bytes"),
        (b'{"examples": [{"a": [1.0, 18446744073709551615]}]}', "Unexpected element type in feature: a expecting type: float"),
        (b'{"examples": [{"a": 18446744073709551615}]}', "Feature: a has uint64_t element. Only int64_t is supported."),
        (b'{"examples": [{"a": 1e39}]}', "Cannot convert JSON value: 1e+39 to float without loss of precision."),
        (b'{"examples": [{"a": {"b64": "?"}}]}', "Unable to base64 decode"),
        (b'{"examples": 1}', "JSON Value: {\n    \"examples\": 1\n} Expecting 'examples' value to be an list/array"),
        (b'{"signature_name": []}', "JSON Value: {\n    \"signature_name\": []\n} not formatted correctly. 'signature_name' key must be a string value."),
        (b"[]", "JSON Value: [] Is not object"),
    ],
)  # fmt: skip
def test_refusals(body, message):
    with pytest.raises(Refused) as caught:
        read_examples(body)
    assert (caught.value.code.name, caught.value.message) == ("INVALID_ARGUMENT", message)


def signature(inputs, outputs, method=CLASSIFY):
    info = TensorInfo("t:0", "DT_STRING", None)
    return Signature(method, dict.fromkeys(inputs, info), dict.fromkeys(outputs, info), "TEXT")


def test_unknown_signature():
    with pytest.raises(Refused, match=r"^No signature was found with the name: serving_default$"):
        read_examples(b'{"examples": [{}]}').signature({})


def test_signatures_that_cannot_classify_or_regress():
    checks.check_classify(signature(["inputs"], ["scores"], PREDICT))  # the method's name does not matter
    checks.check_regress(signature(["inputs"], ["outputs"]))
    for check, given, message in (
        (checks.check_classify, signature(["a", "b"], ["scores"]), "Expected one input Tensor."),
        (checks.check_classify, signature(["inputs"], []), "Expected one or two output Tensors, found 0"),
        (checks.check_classify, signature(["x"], ["y"]), "No classification inputs found in SignatureDef: TEXT"),
        (checks.check_classify, signature(["inputs"], ["y"]), 'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: TEXT'),
        (checks.check_regress, signature(["inputs"], ["a", "b"]), "Expected one output Tensor."),
        (checks.check_regress, signature(["x"], ["outputs"]), "No regression inputs found in SignatureDef: TEXT"),
        (checks.check_regress, signature(["inputs"], ["y"]), "No regression outputs found in SignatureDef: TEXT"),
    ):  # fmt: skip
        with pytest.raises(Refused) as caught:
            check(given)
        assert (caught.value.message, caught.value.http_status) == (message, 400)


def test_results_of_the_wrong_shape_or_kind():
    labels, scores = np.full((2, 3), b"a", object), np.zeros((2, 3), np.float32)
    found = checks.classification({"classes": labels, "scores": scores}, 2)
    assert found[0] is labels and found[1] is scores
    for outputs, count, message in (
        ({"scores": scores[0]}, 2, "Expected Tensor shape: [batch_size num_classes] but got [3]"),
        ({"scores": scores.astype(float)}, 2, "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
        ({"classes": scores}, 2, "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
        ({"scores": scores}, 3, "Expected scores output batch size of 3. Got: 2"),
        ({"classes": labels[:, :2], "scores": scores}, 2, "Tensors class and score should match in dim_size(1). Got 2 vs. 3"),
    ):  # fmt: skip
        with pytest.raises(Refused) as caught:
            checks.classification(outputs, count)
        assert caught.value.message == message
    assert checks.regression({"outputs": scores[:, :1]}, 2).shape == (2,)
    for array, message in (
        (scores, "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,3]"),
        (scores[:1, 0], "Input batch size did not match output batch size: 2 vs. 1"),
        (scores[:, 0].astype(np.int64), "Expected output Tensor of DT_FLOAT.  Got: DT_INT64"),
    ):
        with pytest.raises(Refused) as caught:
            checks.regression({"outputs": array}, 2)
        assert caught.value.message == message


def test_inputs_and_outputs_of_a_predict_call():
    both = signature(["a", "b"], ["x", "y"])
    checks.check_inputs(both, ["b", "a"])
    assert checks.check_outputs(both, []) == ["x", "y"]
    assert checks.check_outputs(both, ["y"]) == ["y"]
    for call, message in (
        (lambda: checks.check_inputs(both, ["a", "c", "d"]), "input size does not match signature: 3!=2 len({a,c,d}) != len({a,b}). Sent extra: {c,d}. Missing but required: {b}."),
        (lambda: checks.check_outputs(both, ["z"]), "output tensor alias not found in signature: z Outputs expected to be in the set {x,y}."),
        (lambda: checks.check_outputs(both, ["x", "x"]), "duplicate output tensor alias: x"),
    ):  # fmt: skip
        with pytest.raises(Refused) as caught:
            call()
        assert (caught.value.message, caught.value.http_status) == (message, 400)
