# ruff: noqa: E501 - tables of texts, one case a line
"""Bodies against RapidJSON's writer, event by event; numbers against C's printf."""

import base64
import ctypes
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.contract.decimals import double_text, float_text, float_texts
from serving.contract.pretty import PrettyWriter, echo, quoted, shortest
from serving.contract.routes import RefusedWithoutBody
from serving.contract.status import Code, Refused, invalid
from serving.contract.strict import JsonMembers, parse
from serving.contract.writing import classify_body, error_body, predict_body, regress_body


def element(writer, name, value):
    if isinstance(value, bytes) and name.endswith("_bytes"):
        writer.start(b"{")
        writer.string(b"b64")
        writer.string(base64.b64encode(value))
        writer.end()
    elif isinstance(value, bytes):
        writer.string(value)
    elif isinstance(value, np.float32):
        writer.raw(float_text(float(value)).encode())
    elif isinstance(value, np.float64):
        writer.raw(double_text(float(value)).encode())
    else:
        writer.raw(json.dumps(value.item() if hasattr(value, "item") else value).encode())


def tensor(writer, name, array):
    if not isinstance(array, np.ndarray):
        element(writer, name, array)
        return
    if array.ndim == 0:
        element(writer, name, array[()])
        return
    writer.start(b"[")
    for item in array:
        tensor(writer, name, item)
    writer.end()


def by_events(outputs, row_format):
    """The body as ``MakeRowFormatJsonFromTensors`` and ``MakeColumnarFormatJsonFromTensors`` write it."""
    writer = PrettyWriter()
    writer.start(b"{")
    writer.string(b"predictions" if row_format else b"outputs")
    if row_format:
        writer.start(b"[")
        for index in range(len(next(iter(outputs.values())))):
            if len(outputs) > 1:
                writer.start(b"{")
            writer.single_line = True
            for name in sorted(outputs):
                if len(outputs) > 1:
                    writer.string(name.encode())
                tensor(writer, name, outputs[name][index])
            writer.single_line = False
            if len(outputs) > 1:
                writer.end()
        writer.end()
    else:
        if len(outputs) > 1:
            writer.start(b"{")
        for name in sorted(outputs):
            if len(outputs) > 1:
                writer.string(name.encode())
            tensor(writer, name, outputs[name])
        if len(outputs) > 1:
            writer.end()
    writer.end()
    return writer.text()


@st.composite
def outputs(draw):
    batch = draw(st.integers(1, 3))
    found = {}
    for name in draw(st.lists(st.sampled_from(["y", "a_bytes", "ä\n", "z"]), min_size=1, max_size=3, unique=True)):
        shape = [batch, *draw(st.lists(st.integers(0, 3), max_size=2))]
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        dtype = draw(st.sampled_from(["float32", "float64", "int64", "uint8", "bool", "object"]))
        if dtype == "object":
            array = np.empty(shape, object)
            for at in np.ndindex(*shape):
                array[at] = rng.bytes(3)
        elif dtype.startswith("float"):
            array = (rng.normal(size=shape) * 10.0 ** rng.integers(-9, 9)).round(draw(st.integers(0, 9))).astype(dtype)
        else:
            array = rng.integers(0, 2 if dtype == "bool" else 200, shape).astype(dtype)
        found[name] = array
    return found


@settings(max_examples=200)
@given(outputs(), st.booleans())
def test_bodies_are_those_of_the_writer(found, row_format):
    assert predict_body(found, row_format) == by_events(found, row_format)


@pytest.mark.parametrize("row_format", [True, False])
def test_scalars_and_empty_batches(row_format):
    empty = {"y": np.zeros((0, 3), np.float32), "k": np.zeros((0,), np.float32)}
    assert json.loads(predict_body(empty, True)) == {"predictions": []}
    assert json.loads(predict_body({"y": np.float32(6).reshape(())}, False)) == {"outputs": 6.0}
    with pytest.raises(Refused, match=r"^Cannot convert empty tensor map to JSON$"):
        predict_body({}, row_format)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"y": np.array(1.0, np.float32)}, "Tensor name: y has no shape information "),
        (
            {"k": np.zeros(3, np.float32), "y": np.zeros((1, 2))},
            "Tensor name: y has inconsistent batch size: 1 expecting: 3",
        ),
        ({"y": np.zeros(2, np.float16)}, "Failed to write JSON value for tensor type: half"),
        ({"y": np.zeros(2, np.uint16)}, "Failed to write JSON value for tensor type: uint16"),
        ({"y": np.zeros(2, np.complex64)}, "Failed to write JSON value for tensor type: complex64"),
    ],
)
def test_what_cannot_be_written(found, message):
    with pytest.raises(Refused) as caught:
        predict_body(found, True)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


FLOAT_BITS = st.integers(0, 2**32 - 1).map(lambda bits: float(np.uint32(bits).view(np.float32)))


@settings(max_examples=300)
@given(st.lists(st.one_of(FLOAT_BITS, st.integers(-(2**24), 2**24).map(float)), min_size=1, max_size=40))
@example([0.0, -0.0, 1e-45, 3.4028234663852886e38, 999999.0, 9000000.0, 16777216.0, float("nan"), float("-inf")])
def test_vectors_of_floats_are_written_as_single_ones(values):
    assert float_texts(values) == [float_text(value) for value in values]


@settings(max_examples=300)
@given(FLOAT_BITS)
def test_floats_read_back_and_are_those_of_printf(value):
    text = float_text(value)
    if not np.isfinite(value):
        assert text in ("NaN", "Infinity", "-Infinity")
        return
    assert np.float32(float(text)) == np.float32(value)
    buffer = ctypes.create_string_buffer(64)
    ctypes.CDLL(None).snprintf(buffer, 64, b"%.*g", 6, ctypes.c_double(value))
    short = buffer.value.decode()
    if np.float32(float(short)) != np.float32(value):
        ctypes.CDLL(None).snprintf(buffer, 64, b"%.*g", 9, ctypes.c_double(value))
    printed = buffer.value.decode()
    assert text == (printed if set(".e") & set(printed) else printed + ".0")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1 / 3, "0.33333333333333331"), (1e300, "1e+300"), (1e6, "1e+06"), (123456.0, "123456.0"), (-0.0, "-0.0"),
     (1234567.0, "1234567.0"), (np.pi, "3.1415926535897931")],
)  # fmt: skip
def test_doubles(value, text):
    assert double_text(value) == text


@settings(max_examples=300)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_shortest_reads_back(value):
    text = shortest(value).decode()
    assert float(text) == value
    assert "." in text or "e" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1000.0, "1000.0"), (0.1, "0.1"), (1e21, "1e21"), (1e20, "100000000000000000000.0"), (1.5e-7, "1.5e-7"), (0.000001, "0.000001"), (0.0000001, "1e-7"),
     (0.00001, "0.00001"), (-2.5, "-2.5"), (0.0, "0.0"), (123456789.125, "123456789.125")],
)  # fmt: skip
def test_shortest(value, text):
    assert shortest(value).decode() == text


def test_echo_of_requests():
    assert echo(1000.0) == "1000.0"
    assert echo(1e39) == "1e+39"
    assert echo(float("nan")) == "NaN"
    assert (
        echo(parse(b'{"a": [1, [2.50, "x\\n"], {}], "b": null}'))
        == '{\n    "a": [1, [2.5, "x\\n"], {}],\n    "b": null\n}'
    )
    assert echo([1] * 1000) == "[" + ", ".join(["1"] * 86) and len(echo([1] * 1000)) == 257
    assert echo(JsonMembers([(b"a", float("inf"))])) == '{\n    "a": '
    deep = parse(b"[" * 50_000 + b"]" * 50_000)
    assert echo(deep) == "[" * 256


def test_strings_are_escaped_as_little_as_can_be():
    assert quoted(b'\x00\x1f\x7f/"\\\n\t\xff\xc3\xa4') == b'"\\u0000\\u001F\x7f/\\"\\\\\\n\\t\xff\xc3\xa4"'


def test_results():
    labels, scores = np.array([[b"a", b"b"], [b"c", b"d"]], object), np.array([[0.5, 1], [0.2, 3]], np.float32)
    assert classify_body(labels, scores) == (
        b'{\n    "results": [[["a", 0.5], ["b", 1.0]], [["c", 0.2], ["d", 3.0]]\n    ]\n}'
    )
    assert classify_body(labels[:1, :1], None) == b'{\n    "results": [[["a", 0.0]]\n    ]\n}'
    assert classify_body(None, scores[:1, :1]) == b'{\n    "results": [[["", 0.5]]\n    ]\n}'
    assert regress_body(np.array([0.2, np.nan, 1], np.float32)) == b'{\n    "results": [0.2, NaN, 1.0]\n}'
    for body in (lambda: classify_body(None, None), lambda: regress_body(np.zeros(0, np.float32))):
        with pytest.raises(Refused, match=r"^Cannot convert empty (Classification|Regression)Results to JSON$"):
            body()


def test_errors():
    assert error_body(invalid('a "b"\n')) == b'{\n    "error": "a \\"b\\"\\n"\n}'
    assert error_body(invalid("\udcff")) == b'{\n    "error": "\xff"\n}'
    assert error_body(RefusedWithoutBody(Code.INVALID_ARGUMENT, "Failed to convert version")) == b""
