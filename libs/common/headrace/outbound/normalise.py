"""JSON from outside, made such that every database and every JSON reader of ours can hold it."""

import json
import math
import re
from typing import Any

import orjson

from headrace.json_depth import is_deeper
from headrace.json_types import Json

MAX_DEPTH = 100
_MAX_INT, _MIN_INT = 2**64 - 1, -(2**63)
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class NotJson(ValueError):
    """Not JSON, or JSON that is nested too deep (`too_deep`)."""

    def __init__(self, *, too_deep: bool = False) -> None:
        super().__init__("nested too deep" if too_deep else "not JSON")
        self.too_deep = too_deep


def read_json(data: bytes, charset: str = "utf-8") -> Json:
    """Parses JSON and normalises it; raises `NotJson`.

    NUL and lone surrogates become U+FFFD; NaN and the infinities become null; whole numbers outside -2^63
    to 2^64-1 become their text, since neither 64 bits nor a double would keep them; nesting above
    `MAX_DEPTH` is refused.
    """
    if _LONG_NUMBER.search(data) is None:
        try:
            value: Json = orjson.loads(data)
        except orjson.JSONDecodeError:
            pass  # may still be JSON in another charset, with NaN, or with a lone surrogate
        else:
            if data.count(b"[") + data.count(b"{") > MAX_DEPTH and is_deeper(value, MAX_DEPTH):
                raise NotJson(too_deep=True)
            return normalise(value) if b"\\u0000" in data else value
    return normalise(_read_lenient(data, charset))


def normalise(value: Any, depth: int = 0) -> Json:
    """`value` (of JSON types) as `read_json` would have read it. Raises `NotJson` when nested too deep."""
    match value:
        case None | bool():
            return value
        case str():
            return clean_text(value)
        case int():
            return value if _MIN_INT <= value <= _MAX_INT else str(value)
        case float():
            return value if math.isfinite(value) else None
        case dict() | list() if depth >= MAX_DEPTH:
            raise NotJson(too_deep=True)
        case dict():
            return {clean_text(str(key)): normalise(item, depth + 1) for key, item in value.items()}
        case list():
            return [normalise(item, depth + 1) for item in value]
        case _:
            raise NotJson


def clean_text(text: str) -> str:
    """`text` with U+FFFD for what PostgreSQL and UTF-8 can not hold."""
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub(_REPLACEMENT, text)


def _read_lenient(data: bytes, charset: str) -> Any:
    for encoding in dict.fromkeys(("utf-8-sig", charset, json.detect_encoding(data))):
        try:
            text = data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        try:
            return json.loads(text, parse_int=_whole_number)
        except RecursionError:
            raise NotJson(too_deep=True) from None
        except json.JSONDecodeError as error:
            if _open_at(error) > MAX_DEPTH:
                raise NotJson(too_deep=True) from None
        except ValueError:
            continue
    raise NotJson


def _open_at(error: json.JSONDecodeError) -> int:
    """About how deep the reader was: brackets within texts count, too. How deep it goes before it gives up is another
    number in each Python."""
    opened, closed = (sum(error.doc.count(one, 0, error.pos) for one in pair) for pair in ("[{", "]}"))
    return opened - closed


def _whole_number(digits: str) -> int | str:
    # Long digit strings are kept as text unread: converting them takes quadratic time.
    return int(digits) if len(digits) <= 20 else digits
