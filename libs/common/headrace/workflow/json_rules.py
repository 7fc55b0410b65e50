"""What data must be like to be stored and sent as JSON by every part of Headrace."""

import json
import math
from decimal import Decimal
from hashlib import sha256

from headrace.errors import Problem
from headrace.json_types import Json
from headrace.workflow.paths import at_index, at_name

MAX_DEPTH = 64
MAX_VALUES = 200_000
MAX_INTEGER = 2**63 - 1
MAX_PROBLEMS = 100
_OF_A_VALUE = 32  # characters of a number as it is stored that count as one value more


def check_json(value: object, path: str = "") -> list[Problem]:
    """Everything about `value` that JSON, Postgres or a 64-bit reader could not hold. Without recursion."""
    problems: list[Problem] = []
    level: list[tuple[str, object]] = [(path, value)]
    seen = 0
    for _ in range(MAX_DEPTH):
        below: list[tuple[str, object]] = []
        for place, part in level:
            seen += 1
            match part:
                case None | bool():
                    pass
                case str():
                    if not is_storable(part):
                        problems.append(
                            _problem(place, "the text holds a NUL or half a character", "Take it away.")
                        )
                case int():
                    if abs(part) > MAX_INTEGER:
                        problems.append(
                            _problem(place, "the number is too large", "Write a smaller one, or a text.")
                        )
                case float():
                    if not math.isfinite(part):
                        problems.append(
                            _problem(place, "NaN and Infinity are not JSON", "Write null, or text.")
                        )
                    seen += written_length(part) // _OF_A_VALUE
                case list():
                    below.extend((at_index(place, index), one) for index, one in enumerate(part))
                case dict():
                    for name, one in part.items():
                        if not isinstance(name, str) or not is_storable(name):
                            problems.append(_problem(place, "a name is no text", "Put it in quotes."))
                        else:
                            below.append((at_name(place, name), one))
                case _:
                    problems.append(_problem(place, "the value is not JSON", "Write it as text."))
            if len(problems) >= MAX_PROBLEMS:
                return problems
        if seen + len(below) > MAX_VALUES:
            mend = "Split it, or pass large data as a run's input."
            return [*problems, _problem(path, f"there are more than {MAX_VALUES} values", mend)]
        if not below:
            return problems
        level = below
    place = level[0][0]
    return [*problems, _problem(place, f"values nest more than {MAX_DEPTH} levels", "Make it flatter.")]


def is_storable(text: str) -> bool:
    """Whether `text` is valid Unicode without NUL (Postgres's jsonb takes neither)."""
    try:
        return "\0" not in text and text.encode() is not None
    except UnicodeEncodeError:
        return False


def canonical(value: Json) -> str:
    """The one text of a JSON value: names sorted, no white space, numbers by value.

    Numbers that are whole are written so (`1.0` and `1e3` as `1` and `1000`), because a round trip through
    Postgres's jsonb may turn one spelling into the other; a digest must not change by it.
    """
    return json.dumps(
        _plain_numbers(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest_of(value: Json) -> str:
    """SHA-256 of the canonical text in UTF-8, in hexadecimal."""
    return sha256(canonical(value).encode()).hexdigest()


def written_length(number: float) -> int:
    """Characters of a number as Postgres writes it in JSON: with all its digits, 309 of them for 1e308."""
    text = repr(number)
    return len(format(Decimal(text), "f")) if "e" in text else len(text)


def _plain_numbers(value: Json) -> Json:
    match value:
        case float() if value.is_integer():
            # jsonb keeps the digits that were written, so these count, not all digits of the double.
            whole = int(Decimal(repr(value)))
            return whole if abs(whole) <= MAX_INTEGER else value
        case list():
            return [_plain_numbers(part) for part in value]
        case dict():
            return {name: _plain_numbers(part) for name, part in value.items()}
        case int() if not isinstance(value, bool) and abs(value) > MAX_INTEGER:
            return float(value)
        case _:
            return value


def _problem(path: str, message: str, mend: str) -> Problem:
    return Problem(path, message, mend, "NOT_JSON")
