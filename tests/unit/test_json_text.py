"""Reading JSON without a loss: whole numbers stay what they are, or stay too large."""

from typing import Any

import orjson
import pytest
from headrace.json_text import read_exact


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"n": 12345678901234567890123}', {"n": 2**64}),
        (b"[-12345678901234567890123]", [-(2**64)]),
        (b"18446744073709551616", 2**64),
        (b"18446744073709551617", 2**64 + 1),
        (b"9223372036854775807", 2**63 - 1),
        (b'["1234567890123456789012", 1.5, 1e300]', ["1234567890123456789012", 1.5, 1e300]),
        ('["ü\U0001f600", 1234567890123456789]'.encode(), ["ü\U0001f600", 1234567890123456789]),
    ],
)
def test_whole_numbers_are_never_rounded(text: bytes, value: Any) -> None:
    assert read_exact(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[NaN, 1234567890123456789]",
        b"[1234567890123456789,]",
        b'["\\ud800", 1234567890123456789]',
        b"\xff1234567890123456789",
        b"[" * 1000 + b"1234567890123456789" + b"]" * 1000,
    ],
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        read_exact(text)


def test_how_deep_a_text_may_be_hangs_on_no_version_of_python() -> None:
    deep = b"[" * 500 + b"1234567890123456789" + b"]" * 500
    assert read_exact(deep) is not None
    with pytest.raises(orjson.JSONDecodeError, match="too deeply"):
        read_exact(b"[" + deep + b"]")
