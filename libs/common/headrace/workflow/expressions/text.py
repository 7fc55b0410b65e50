"""How a value reads inside a text, and how large it is."""

import json
import re

from headrace.json_numbers import number_text, plain_number
from headrace.json_types import Json
from headrace.workflow.expressions.limits import (
    MAX_OUTPUT,
    MAX_VALUE_DEPTH,
    Budget,
    ExpressionError,
    check_text_length,
)
from headrace.workflow.json_rules import written_length

# A number that `number_text` writes otherwise than JSON writers do; or a text that has the like.
_PERHAPS_POINTED = re.compile(r"\.0(?![0-9])|[0-9]e\+")


def as_text(budget: Budget, value: Json) -> str:
    """A value as text: numbers by `number_text`, booleans as in JSON, lists and objects as compact JSON.

    A null has no text; that is an error, so that no half-empty address or sentence is ever sent.
    """
    match value:
        case str():
            budget.spend_text(len(value))
            return value
        case None:
            mend = "Give it a value for that case, as in `{{ input.note | default('', true) }}`."
            raise ExpressionError("null can not be part of a text", mend)
        case bool():
            return "true" if value else "false"
        case int():
            check_integer(value)
            return number_text(value)
        case float():
            return number_text(value)
        case _:
            return as_json(budget, value)


def as_json(budget: Budget, value: Json) -> str:
    """Compact JSON, characters as they are, numbers as in any other text."""
    measure(budget, value)
    text = written(value)
    if _PERHAPS_POINTED.search(text):
        budget.spend(len(text) // 16)
        text = written(_plain(value))
    check_text_length(len(text))
    return text


def written(value: Json) -> str:
    """Compact JSON of what was measured."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ExpressionError("the value is not JSON") from error


def _plain(value: Json) -> Json:
    match value:
        case float():
            return plain_number(value)
        case list():
            return [_plain(part) for part in value]
        case dict():
            return {name: _plain(part) for name, part in value.items()}
        case _:
            return value


def measure(budget: Budget, value: Json) -> int:
    """About how many characters `value` has as JSON, numbers written out. Raises when it is too large, too deep or not
    JSON."""
    total = 0
    level: list[Json] = [value]
    for _ in range(MAX_VALUE_DEPTH):
        below: list[Json] = []
        budget.spend(len(level))
        for part in level:
            match part:
                case str():
                    budget.spend_text(len(part))
                    total += len(part) + 2
                case None | bool():
                    total += 4
                case int():
                    check_integer(part)
                    total += 8
                case float():
                    if part != part or part in (float("inf"), float("-inf")):
                        raise ExpressionError("a number is not finite")
                    total += 8 if part == 0 or 1e-4 <= abs(part) < 1e16 else written_length(part)
                case list():
                    total += len(part) + 2
                    below.extend(part)
                case dict():
                    for name in part:
                        if not isinstance(name, str):
                            raise ExpressionError("the value is not JSON")
                        total += len(name) + 4
                    below.extend(part.values())
                case _:
                    raise ExpressionError("the value is not JSON")
            if total > MAX_OUTPUT:
                raise ExpressionError(f"a value may have {MAX_OUTPUT} characters at most")
        if not below:
            return total
        level = below
    raise ExpressionError(f"a value may be {MAX_VALUE_DEPTH} levels deep at most")


def check_integer(value: int) -> None:
    """Raises when a whole number does not fit into 64 bits, with or without a sign: JSON can be read and written
    within these bounds everywhere."""
    if not -(2**63) <= value < 2**64:
        raise ExpressionError("a number is too large", "Whole numbers have 64 bits at most; send it as text.")
