# ruff: noqa: E501 - tables of texts, one case a line
"""The strict parser against RapidJSON itself (python-rapidjson wraps a later version of the same reader)."""

import json
import math

import pytest
import rapidjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.contract.status import Refused
from serving.contract.strict import JsonMembers, parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
PIECES = st.one_of(
    st.sampled_from(["", " ", "0", "-", ".", "e", "E+", "\\", "\\u12", "\\ud800", '"', ",", ":", "[", "]", "{", "}", "nul", "tr", "Inf", "NaN"]),
    st.characters(min_codepoint=0x20, max_codepoint=0x2FF),
)  # fmt: skip


def plain(value):
    if type(value) is JsonMembers:
        return {name.decode(): plain(item) for name, item in value}
    if type(value) is list:
        return [plain(item) for item in value]
    return value.decode("utf-8", "surrogatepass") if type(value) is bytes else value


def same(one, other):
    """Equal, doubles within the few units that RapidJSON's quick conversion may be off."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return (
            other == one
            or (math.isnan(one) and math.isnan(other))
            or math.isclose(one, other, rel_tol=1e-13, abs_tol=1e-320)
        )
    return type(one) is type(other) and one == other


@settings(max_examples=300)
@given(VALUES)
def test_values_survive(value):
    assert same(plain(parse(json.dumps(value).encode())), json.loads(json.dumps(value)))


@st.composite
def mutated(draw):
    text = json.dumps(draw(VALUES))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(PIECES) + text[at + draw(st.integers(0, 2)) :]
    return text


@settings(max_examples=500)
@given(mutated())
@example('"\\ud83d\\ude00"')
@example("1e309")
@example("[1] ]")
@example('{"a":1,}')
def test_errors_are_those_of_rapidjson(text):
    if not text:
        return
    try:
        theirs = rapidjson.loads(text)
    except rapidjson.JSONDecodeError as error:
        place, _, reason = str(error).removeprefix("Parse error at offset ").partition(": ")
        # Later versions count characters, refuse what follows the root, and refuse a lone low surrogate.
        if reason.startswith(("The document root must", "The surrogate pair")):
            return
        offset = len(text[: int(place)].encode()) if not text.isascii() else int(place)
        with pytest.raises(Refused) as caught:
            parse(text.encode())
        ours, _, our_offset = caught.value.message.removeprefix("JSON Parse error: ").partition(" at offset: ")
        assert ours == reason
        assert int(our_offset) in (offset, int(place))
        return
    try:
        ours = plain(parse(text.encode()))
    except Refused as refused:
        assert "Number too big" in refused.message  # python-rapidjson reads such integers itself
        return
    assert same(ours, theirs) or any(sign in text for sign in ('"', "99999", "00000"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"a": 1, "a": {"b": [{}, []]}} rest',
            JsonMembers([(b"a", 1), (b"a", JsonMembers([(b"b", [JsonMembers(), []])]))]),
        ),
        (b"\xef\xbb\xbf \t\r\n[]", []),
        (b"\xbb[]", []),
        (b'"\xff\\u0000\\/\\ud83d\\ude00\\udc00"', b"\xff\x00/\xf0\x9f\x98\x80\xed\xb0\x80"),
        (b"-0", 0),
        (b"18446744073709551615", 2**64 - 1),
        (b"18446744073709551616", 2.0**64),
        (b"-9223372036854775808", -(2**63)),
        (b"-9223372036854775809", -(2.0**63)),
        (b"10e308", math.inf),
        (b"1e-400", 0.0),
        (b"123456789012345678901234.5e-3", 1.2345678901234567e20),
    ],
)
def test_what_only_rapidjson_does(body, expected):
    value = parse(body)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'"a\x01"', "Invalid escape character in string. at offset: 2"),
        (b'"\x00"', "Missing a closing quotation mark in string. at offset: 1"),
        (b'["\\ud800x"]', "The surrogate pair in string is invalid. at offset: 2"),
        (b'["\\u12g4"]', "Incorrect hex digit after \\u escape in string. at offset: 2"),
        (b"[1]"[:-1], "Missing a comma or ']' after an array element. at offset: 2"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b'{"a": 1 2}', "Missing a comma or '}' after an object member. at offset: 8"),
        (b"\x00{}", "The document is empty. at offset: 0"),
        (b"[/**/1]", "Invalid value. at offset: 1"),
        (b"9" * 400 + b".", "Number too big to be stored in double. at offset: 0"),
        (b"[1.e5]", "Miss fraction part in number. at offset: 3"),
        (b"[1e+]", "Miss exponent in number. at offset: 4"),
        (b"[-Infinite]", "Invalid value. at offset: 9"),
    ],
)
def test_errors(body, text):
    with pytest.raises(Refused, match=r"^JSON Parse error: ") as caught:
        parse(body)
    assert caught.value.message == f"JSON Parse error: {text}"
