"""JSON from outside is made such that PostgreSQL and 64-bit readers can hold it."""

import json

import orjson
import pytest
from headrace.json_types import Json
from headrace.outbound.normalise import MAX_DEPTH, NotJson, normalise, read_json
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
        (b'"\\u0000a"', "\ufffda"),
        (b'{"\\u0000": 1}', {"\ufffd": 1}),
        (b'"\\ud800"', "\ufffd"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'["\\udc00", 1]', ["\ufffd", 1]),
        (b"[NaN, Infinity, -Infinity, 1e999]", [None, None, None, None]),
        (b"18446744073709551615", 2**64 - 1),
        (b"18446744073709551616", "18446744073709551616"),
        (b"-9223372036854775808", -(2**63)),
        (b"-9223372036854775809", "-9223372036854775809"),
        (b"9" * 5000, "9" * 5000),
        (b'"12345678901234567890123"', "12345678901234567890123"),
        (b"0.1234567890123456789012", 0.12345678901234568),
        (b"\xef\xbb\xbf[1]", [1]),
        ("[é]".replace("é", '"é"').encode("utf-16"), ["é"]),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b" [] ", []),
    ],
)
def test_values_become_storable(text: bytes, value: Json) -> None:
    assert read_json(text) == value


def test_a_declared_charset_is_tried_when_utf_8_fails() -> None:
    assert read_json('"é"'.encode("latin-1"), "latin-1") == "é"


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1,]", b"{'a': 1}", b"\xff\xfe\xfd", b"<html>", b'"\x01"', b"1 2"]
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(NotJson) as caught:
        read_json(text)
    assert not caught.value.too_deep


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1_000, 100_000])
@pytest.mark.parametrize(("before", "after"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused(depth: int, before: str, after: str) -> None:
    with pytest.raises(NotJson) as caught:
        read_json((before * depth + "1" + after * depth).encode())
    assert caught.value.too_deep


def test_depth_within_the_limit_is_read() -> None:
    text = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert read_json(text) == json.loads(text)
    assert read_json(b"[" + b"[]," * 500 + b"1]") is not None


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_whatever_comes_in_can_be_written_out(value: Json) -> None:
    read = read_json(json.dumps(value).encode())
    assert read == normalise(value)
    written = orjson.dumps(read)  # raises for surrogates and for integers above 64 bits
    assert b"\\u0000" not in written
    assert orjson.loads(written) == read
