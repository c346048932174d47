# ruff: noqa: E501 - tables of texts, one case a line
"""Predict bodies: every refusal's text, and the quick way against the strict one."""

import base64
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.contract import quick
from serving.contract.reading import parse_predict, read_predict, read_predict_strictly
from serving.contract.signatures import PREDICT, Signature, TensorInfo
from serving.contract.status import Code, Refused

DTYPES = {
    "DT_FLOAT": np.float32, "DT_DOUBLE": np.float64, "DT_INT32": np.int32, "DT_INT16": np.int16, "DT_INT8": np.int8,
    "DT_UINT8": np.uint8, "DT_INT64": np.int64, "DT_UINT32": np.uint32, "DT_UINT64": np.uint64, "DT_BOOL": np.bool_,
    "DT_STRING": np.object_,
}  # fmt: skip


def signature(**inputs):
    infos = {name: TensorInfo(f"{name}:0", dtype, None) for name, dtype in sorted(inputs.items())}
    return {"serving_default": Signature(PREDICT, infos, {"y": TensorInfo("y:0", "DT_FLOAT", None)})}


def outcome(read, body, signatures):
    try:
        request = read(body, signatures)
    except Refused as refused:
        return refused.code, refused.message
    arrays = {name: (array.dtype, array.shape, array.tolist()) for name, array in request.inputs.items()}
    return request.signature_name, request.row_format, repr(sorted(arrays.items()))


def refusal(body, **inputs):
    with pytest.raises(Refused) as caught:
        read_predict(body if isinstance(body, bytes) else body.encode(), signature(**inputs))
    return caught.value.code.name, caught.value.message


AT_0 = "Failed to process element: 0 of 'instances' list. Error: "


@pytest.mark.parametrize(
    ("body", "dtype", "message"),
    [
        ('{"instances": [1.0]}', "DT_INT32", AT_0 + "INVALID_ARGUMENT: JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ('{"instances": [2147483648]}', "DT_INT8", AT_0 + "INVALID_ARGUMENT: JSON Value: 2147483648 Type: Number is not of expected type: int8"),
        ('{"instances": [-1]}', "DT_UINT64", AT_0 + "INVALID_ARGUMENT: JSON Value: -1 Type: Number is not of expected type: uint64"),
        ('{"instances": [18446744073709551616]}', "DT_UINT64", AT_0 + "INVALID_ARGUMENT: JSON Value: 1.84467441e+19 Type: Number is not of expected type: uint64"),
        ('{"instances": [9223372036854775808]}', "DT_INT64", AT_0 + "INVALID_ARGUMENT: JSON Value: 9223372036854775808 Type: Number is not of expected type: int64"),
        ('{"instances": [null]}', "DT_STRING", AT_0 + "INVALID_ARGUMENT: JSON Value: null Type: Null is not of expected type: string"),
        ('{"instances": ["a"]}', "DT_FLOAT", AT_0 + 'INVALID_ARGUMENT: JSON Value: "a" Type: String is not of expected type: float'),
        ('{"instances": [0]}', "DT_BOOL", AT_0 + "INVALID_ARGUMENT: JSON Value: 0 Type: Number is not of expected type: bool"),
        ('{"instances": [1]}', "DT_BFLOAT16", AT_0 + "UNIMPLEMENTED: Conversion of JSON Value: 1 to type: bfloat16"),
        ('{"instances": [1]}', "DT_UINT16", AT_0 + "UNIMPLEMENTED: Conversion of JSON Value: 1 to type: uint16"),
        ('{"instances": [1e39]}', "DT_FLOAT", AT_0 + "INVALID_ARGUMENT: Cannot convert JSON value: 1e+39 to float without loss of precision."),
        ('{"instances": [[1, [2]]]}', "DT_FLOAT", AT_0 + "INVALID_ARGUMENT: Encountered list at unexpected level: 1 expected < 1"),
        ('{"instances": [[[1], 2]]}', "DT_FLOAT", AT_0 + "INVALID_ARGUMENT: JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ('{"instances": [[[1], [2, 3]]]}', "DT_FLOAT", AT_0 + "INVALID_ARGUMENT: Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        ('{"instances": [{"b64": "a"}]}', "DT_STRING", AT_0 + "INVALID_ARGUMENT: Unable to base64 decode"),
        ('{"instances": [{"x": 1, "b64": 2}]}', "DT_FLOAT", "Failed to process element: 0 key: b64 of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: b64"),
        ('{"instances": [{}]}', "DT_FLOAT", "Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: x"),
        ('{"instances": [{"x": 1}, 2]}', "DT_FLOAT", "Expecting object but got list at item 1 of input list"),
        ('{"inputs": {"x": null}}', "DT_FLOAT", "JSON Value: null Type: Null is not of expected type: float"),
        ('{"inputs": [[1, 2], [3]]}', "DT_FLOAT", "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ("{}", "DT_FLOAT", "Missing 'inputs' or 'instances' key"),
        ('{"signature_name": "s\\"", "instances": [1]}', "DT_FLOAT", 'Serving signature name: "s"" not found in signature def'),
        ("true", "DT_FLOAT", "JSON Value: true Is not object"),
        ("1.25e40", "DT_FLOAT", "JSON Value: 1.25e+40 Is not object"),
        ("", "DT_FLOAT", "JSON Parse error: The document is empty"),
        (" ", "DT_FLOAT", "JSON Parse error: The document is empty. at offset: 1"),
        ('{"instances": [0e999]}', "DT_FLOAT", "JSON Parse error: Number too big to be stored in double. at offset: 15"),
    ],
)  # fmt: skip
def test_refusals(body, dtype, message):
    assert refusal(body, x=dtype) == ("INVALID_ARGUMENT", message)


def test_columns_of_a_dtype_that_json_lacks_are_unimplemented():
    assert refusal('{"inputs": 1.5}', x="DT_HALF") == (
        "UNIMPLEMENTED", "Conversion of JSON Value: 1.5 to type: half",
    )  # fmt: skip


def test_signature_without_inputs():
    bare = {"serving_default": Signature(PREDICT, {}, {})}
    for body, name in (
        (b'{"instances": [1]}', "DEFAULT"),
        (b'{"signature_name": "serving_default"}', "serving_default"),
    ):
        with pytest.raises(Refused, match=f"^Failed to get input map for signature: {name}$"):
            read_predict(body, bare)


def test_shapes_must_agree_between_instances():
    error = "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting "
    assert refusal('{"instances": [[1,2],[3]]}', x="DT_FLOAT")[1] == error + "tensor size: 2 but got: 1"
    assert refusal('{"instances": [[1,2],[[3,4]]]}', x="DT_FLOAT")[1] == error + "shape [2] but got: [1,2]"
    assert refusal('{"instances": [1,[1]]}', x="DT_FLOAT")[1] == error + "shape [] but got: [1]"


@pytest.mark.parametrize(
    ("body", "dtype", "expected"),
    [
        (b'{"instances": [1, 2.5, 16777217, 3]}', "DT_FLOAT", [1, 2.5, 16777216, 3]),
        (b'{"instances": [-0, 0]}', "DT_FLOAT", [0.0, 0.0]),
        (b'{"instances": [NaN, Inf, Infinity, -Inf, -Infinity]}', "DT_DOUBLE", [np.nan, np.inf, np.inf, -np.inf, -np.inf]),
        (b'{"instances": [300, -129, 2147483647]}', "DT_INT8", [44, 127, -1]),
        (b'{"instances": [18446744073709551615]}', "DT_UINT64", [2**64 - 1]),
        (b'\xef\xbb\xbf{"instances": [1]} }}}', "DT_INT64", [1]),
        (b'{"instances": [8], "instances": [2]}', "DT_FLOAT", [8]),
        (b'{"instances": [{"x": 1, "x": 2}, {"x": 3, "x": 4}]}', "DT_FLOAT", [1, 2]),
        (b'{"instances": ["\xff\xfe", "\\u0041\\u0000", {"b64": "aGk"}, {"b64": " aG k= "}]}', "DT_STRING", [b"\xff\xfe", b"A\0", b"hi", b"hi"]),
        (b'{"instances": [[], []]}', "DT_FLOAT", [[], []]),
        (b'{"inputs": 5}', "DT_FLOAT", 5),
        (b'{"inputs": {"b64": "aGk="}}', "DT_STRING", b"hi"),
        (b'{"inputs": {"y": "ignored", "x": []}}', "DT_INT32", []),
        (b'{"signature_name": "", "inputs": {"x": [true]}}', "DT_BOOL", [True]),
    ],
)  # fmt: skip
def test_what_is_taken(body, dtype, expected):
    array = read_predict(body, signature(x=dtype)).inputs["x"]
    assert array.dtype == DTYPES[dtype]
    np.testing.assert_array_equal(array, np.array(expected, array.dtype))
    assert not np.signbit(array.astype(float)).any() if b"-0" in body else True


def test_a_body_is_doubted_before_its_model():
    """Where the model is unknown, what is no JSON is still refused first."""
    parsed = parse_predict(b'{"instances": [0e999]}')
    with pytest.raises(Refused, match="Number too big"):
        parsed.confirm()
    parse_predict(b'{"instances": [1]}').confirm()
    with pytest.raises(Refused, match="'signature_name' key must be a string value"):
        parse_predict(b'{"signature_name": 5, "signature_name": "a"}').confirm()


def test_the_usual_bodies_go_the_quick_way():
    values = np.random.default_rng(0).normal(100, 30, (2, 5, 3)).astype(np.float32)
    names = {"values": "DT_FLOAT", "lengths": "DT_INT32"}
    rows = [{"values": item.tolist(), "lengths": 5} for item in values]
    for body, inputs in (
        ({"instances": values.tolist()}, {"x": "DT_FLOAT"}),
        ({"signature_name": "serving_default", "instances": values.tolist()}, {"x": "DT_FLOAT"}),
        ({"inputs": values.tolist()}, {"x": "DT_FLOAT"}),
        ({"instances": rows}, names),
        ({"inputs": {"values": values.tolist(), "lengths": [5, 5]}}, names),
        ({"instances": np.round(values).tolist()}, {"x": "DT_FLOAT"}),
    ):
        text = json.dumps(body).encode()
        arrays = quick.read(text, body, signature(**inputs)["serving_default"].inputs)
        assert arrays is not None
        assert outcome(read_predict, text, signature(**inputs)) == outcome(
            read_predict_strictly, text, signature(**inputs)
        )


def random_tensor(rng):
    dtype = str(rng.choice(sorted(DTYPES)))
    shape = rng.integers(1, 5, rng.integers(1, 4)).tolist()
    size = int(np.prod(shape))
    if dtype == "DT_STRING":
        flat = np.array([rng.bytes(rng.integers(0, 9)) for _ in range(size)] + [None], object)[:-1]
    elif dtype == "DT_BOOL":
        flat = rng.integers(0, 2, size).astype(bool)
    elif dtype in ("DT_FLOAT", "DT_DOUBLE"):
        flat = (rng.normal(size=size) * 10.0 ** rng.integers(-30, 30)).astype(DTYPES[dtype])
        special = rng.random(size) < rng.choice([0, 0.2])
        flat[special] = rng.choice([0.0, -0.0, 1.0, np.nan, np.inf, -np.inf])
    else:
        limits = np.iinfo(DTYPES[dtype])
        flat = rng.integers(limits.min, limits.max, size, DTYPES[dtype], endpoint=True)
    return dtype, flat.reshape(shape)


def jsonable(value):
    if isinstance(value, list):
        return [jsonable(item) for item in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


@pytest.mark.parametrize("form", ["row", "named row", "column", "named column"])
def test_1000_tensors_arrive_as_they_were_sent(form):
    rng = np.random.default_rng(len(form))
    for _ in range(250):
        dtype, array = random_tensor(rng)
        value = jsonable(array.tolist())
        body = {
            "row": {"instances": value},
            "named row": {"instances": [{"x": item} for item in value]},
            "column": {"inputs": value},
            "named column": {"inputs": {"x": value}},
        }[form]
        request = read_predict(json.dumps(body).encode(), signature(x=dtype))
        arrived = request.inputs["x"]
        assert (arrived.dtype, arrived.shape) == (array.dtype, array.shape)
        assert request.row_format == ("row" in form)
        if dtype == "DT_DOUBLE":  # RapidJSON's conversion may be off by a few units in the last place
            finite = np.isfinite(array)
            np.testing.assert_array_max_ulp(arrived[finite], array[finite], maxulp=4)
            np.testing.assert_array_equal(arrived[~finite], array[~finite])
        else:
            np.testing.assert_array_equal(arrived, array)


BODIES = [
    (b'{"instances": [[1.5, 2.25], [3.0, 1e-05]]}', {"x": "DT_FLOAT"}),
    (b'{"instances": [1, 0, 16777217, 0.1]}', {"x": "DT_FLOAT"}),
    (b'{"instances":[{"values":[[0.5,1],[2,3]],"lengths":2},{"values":[[1,1],[0,0]],"lengths":1}]}', {"values": "DT_FLOAT", "lengths": "DT_INT32"}),
    (b'{"signature_name": "serving_default", "inputs": {"a": [1, 2], "b": [[1], [-2]]}}', {"a": "DT_FLOAT", "b": "DT_INT64"}),
    (b'{"inputs": [3, 4], "signature_name": ""}', {"x": "DT_UINT32"}),
    (b'{"inputs": 7}', {"x": "DT_UINT64"}),
    (b'{"instances": [true, false]}', {"x": "DT_BOOL"}),
    (b'{"instances": ["a", {"b64": "aGk="}]}', {"x": "DT_STRING"}),
]  # fmt: skip
PIECES = [b"", b" ", b"0", b"1", b"-", b".", b"e", b"E5", b"e400", b"0e999", b"9" * 25, b'"', b",", b":", b"[", b"]", b"{", b"}", b"true",
          b"null", b"NaN", b"-Infinity", b"\\", b"\\u0041", b"\xff", b"\x00", b"\n", b"1.0", b"16777217", b"1e-46", b"3.4028235e38", b'"x"',
          b'"instances"', b'"a": 1,', b"-0", b"7.006492321624085e-46", b"1.00000005960464477539", b'{"b64": ""}']  # fmt: skip


@st.composite
def mutated(draw):
    body, inputs = draw(st.sampled_from(BODIES))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        drop = draw(st.integers(0, 3))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=2)))
        body = body[:at] + piece + body[at + drop :]
    return body, inputs


@settings(max_examples=300)
@given(mutated())
@example((b'{"instances": [16777217.00000000001]}', {"x": "DT_FLOAT"}))
@example((b'{"instances": [true]}', {"x": "DT_FLOAT"}))
@example((b'{"instances": [[1], [false]]}', {"x": "DT_FLOAT"}))
@example((b'{"instances": [1, 0e999]}', {"x": "DT_FLOAT"}))
@example((b'{"instances": [1], "Instances": 1}', {"x": "DT_FLOAT"}))
@example((b'{"inputs": {"x": [1], "x": [2]}}', {"x": "DT_FLOAT"}))
@example((b'{"inputs": {"x": {"b": 1}}}', {"x": "DT_FLOAT"}))
@example((b'{"instances": [[1, 2], "ab"]}', {"x": "DT_FLOAT"}))
@example((b'{"instances": [{"x": 1, "\\u0078": 2}]}', {"x": "DT_FLOAT"}))
def test_the_quick_way_never_answers_differently(case):
    body, inputs = case
    signatures = signature(**inputs)
    assert outcome(read_predict, body, signatures) == outcome(read_predict_strictly, body, signatures)


@pytest.mark.slow
@settings(max_examples=5000)
@given(mutated())
@pytest.mark.nightly
def test_the_quick_way_never_answers_differently_at_length(case):
    body, inputs = case
    signatures = signature(**inputs)
    assert outcome(read_predict, body, signatures) == outcome(read_predict_strictly, body, signatures)


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.floats(width=32).map(repr),
            st.floats().map(repr),
            st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
            # Around the middle between two float32, and around the limits.
            st.integers(0x20000000, 0x5F000000).map(lambda bits: repr(_middle(bits))),
            st.sampled_from(
                ["3.4028235677973366e38", "3.4028234663852886e38", "1.1754943508222875e-38", "1e-45", "7e-46"]
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
@example(["5.896413398029919e-15"])
@example(["2.3185745703813157638515166e-5", "2.2257591200000002980232239e+8"])
def test_any_number_reads_the_same_both_ways(numbers):
    body = f'{{"instances": [{", ".join(numbers)}]}}'.encode().replace(b"nan", b"NaN").replace(b"inf", b"Infinity")
    signatures = signature(x="DT_FLOAT")
    assert outcome(read_predict, body, signatures) == outcome(read_predict_strictly, body, signatures)


def _middle(bits):
    low, high = np.array([bits, bits + 1], np.uint32).view(np.float32).astype(np.float64)
    return (low + high) / 2


NUMBERS = (
    "1", "0", "-0", "-0.0", "1.0", "0.1", "16777217", "0." + "0" * 29 + "1", "0." + "0" * 36 + "12", "0." + "0" * 37 + "12",
    "0." + "0" * 44 + "9", "0." + "0" * 44 + "3", "0." + "0" * 350 + "1", "0." + "0" * 40, "9" * 38, "3" + "4" * 38, "34028234663852885981170418348451692544",
    "340282346638528859811704183484516925440.0", "340282346638528897590636046441678635008", "9" * 39, "9" * 310,
    "0.100000001490116119384765625", "0.10000000894069671630859375", "1.00000005960464477539", "8388608.5",
)  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "form", ['{"instances": [[2.5, %s, -7]]}', '{"instances": [{"values": [%s, 0], "lEnghte": 3}]}']
)
def test_numbers_without_an_exponent_read_the_same_both_ways(form, number):
    inputs = {"values": "DT_FLOAT"} if "values" not in form else {"values": "DT_FLOAT", "lEnghte": "DT_INT32"}
    body, signatures = (form % number).encode(), signature(**inputs)
    assert outcome(read_predict, body, signatures) == outcome(read_predict_strictly, body, signatures)


@pytest.mark.parametrize("value", ["true", "false", "null", "1e0", "0E9", "0e400", "1E39", "[1]", '"e"'])
def test_what_has_an_e_is_not_taken_for_plain(value):
    body, signatures = f'{{"instances": [[1, {value}]]}}'.encode(), signature(x="DT_FLOAT")
    assert outcome(read_predict, body, signatures) == outcome(read_predict_strictly, body, signatures)
    named = f'{{"signature_name": "serving_default", "inputs": {{"eE": [1, {value}]}}}}'.encode()
    signatures = signature(eE="DT_FLOAT")
    assert outcome(read_predict, named, signatures) == outcome(read_predict_strictly, named, signatures)


def test_deep_nesting_is_refused_not_fatal():
    for depth in (100, 20_000):
        body = b'{"instances": ' + b"[" * depth + b"1" + b"]" * depth + b"}"
        assert refusal(body, x="DT_FLOAT")[0] == "INVALID_ARGUMENT"
        assert refusal(b"[" * depth, x="DT_FLOAT")[1].startswith("JSON Parse error: Invalid value.")


def test_codes_are_http_statuses():
    assert Refused(Code.UNIMPLEMENTED, "").http_status == 501
    assert Refused(Code.FAILED_PRECONDITION, "").http_status == 400
