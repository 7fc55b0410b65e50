"""JSON as people and programs send it, read without a loss."""

import json
import re
from typing import Any

import orjson

from headrace.json_depth import is_deeper

# Outside this range orjson reads a whole number as the nearest double, without a word.
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_LONGEST_READ = 20
_BEYOND = 2**64
# Fewer than Python's own reader takes before it gives up, which is another number in each version of it.
_MOST_LEVELS = 500


def read_exact(data: bytes) -> Any:
    """The value of a JSON text as orjson reads it, but whole numbers as they were written.

    One of more digits than any reader of ours can hold becomes another such number, for whoever checks what it
    is given (`headrace.workflow.json_rules`) to refuse: to read its digits takes quadratic time. Raises
    `orjson.JSONDecodeError`.
    """
    value = orjson.loads(data)
    if _LONG_NUMBER.search(data) is None:
        return value
    if is_deeper(value, _MOST_LEVELS):
        raise orjson.JSONDecodeError("nested too deeply", "", 0)
    try:
        return json.loads(data.decode(), parse_int=_whole_number)
    except RecursionError:  # whoever calls is deep himself
        raise orjson.JSONDecodeError("nested too deeply", "", 0) from None


def _whole_number(text: str) -> int:
    if len(text.removeprefix("-")) <= _LONGEST_READ:
        return int(text)
    return -_BEYOND if text.startswith("-") else _BEYOND
