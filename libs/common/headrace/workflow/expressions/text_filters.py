"""Filters on texts, and to and from them."""

import base64
import binascii
import json
from urllib.parse import quote, urlencode

from headrace.json_types import Json
from headrace.workflow.expressions.limits import Budget, ExpressionError, check_text_length
from headrace.workflow.expressions.operands import members_of, text_of
from headrace.workflow.expressions.text import as_json, as_text, measure
from headrace.workflow.json_rules import is_storable


def lower_of(budget: Budget, value: Json) -> Json:
    return text_of(budget, value).lower()


def upper_of(budget: Budget, value: Json) -> Json:
    return text_of(budget, value).upper()


def capitalize_of(budget: Budget, value: Json) -> Json:
    return text_of(budget, value).capitalize()


def trim_of(budget: Budget, value: Json) -> Json:
    return text_of(budget, value).strip()


def replace_of(budget: Budget, value: Json, old: Json, new: Json) -> Json:
    text, old, new = text_of(budget, value), text_of(budget, old), text_of(budget, new)
    if not old:
        raise ExpressionError("what is to be replaced is empty")
    length = len(text) + text.count(old) * (len(new) - len(old))
    check_text_length(length)
    budget.spend_text(length)
    return text.replace(old, new)


def split_of(budget: Budget, value: Json, separator: Json) -> Json:
    text, separator = text_of(budget, value), text_of(budget, separator)
    if not separator:
        raise ExpressionError("the separator is empty")
    budget.spend(text.count(separator))
    return list(text.split(separator))


def to_string(budget: Budget, value: Json) -> Json:
    return as_text(budget, value)


def tojson_of(budget: Budget, value: Json) -> Json:
    return as_json(budget, value)


def fromjson_of(budget: Budget, value: Json) -> Json:
    text = text_of(budget, value)
    budget.spend(len(text) // 4)
    try:
        made: Json = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ExpressionError("the text is not JSON") from error
    measure(budget, made)
    if "\\u" in text:
        _check_storable(made)
    return made


def _check_storable(value: Json) -> None:
    """Raises when a text in `value`, which has been measured, could not be stored."""
    waiting = [value]
    for part in waiting:
        match part:
            case str():
                if not is_storable(part):
                    raise ExpressionError("the result holds a character that JSON can not store")
            case list():
                waiting.extend(part)
            case dict():
                waiting.extend(part)
                waiting.extend(part.values())
            case _:
                pass


def _no_constant(_name: str) -> Json:
    raise ValueError


def urlencode_of(budget: Budget, value: Json) -> Json:
    """Text: percent-encoded, `/` too. An object: a query string."""
    if isinstance(value, dict):
        pairs = [(name, as_text(budget, part)) for name, part in members_of(budget, value).items()]
        check_text_length(3 * sum(len(name) + len(part) + 2 for name, part in pairs))
        return urlencode(pairs, quote_via=quote, safe="")
    text = as_text(budget, value)
    check_text_length(3 * len(text))
    budget.spend(len(text) // 8)
    return quote(text, safe="")


def b64encode_of(budget: Budget, value: Json) -> Json:
    text = text_of(budget, value)
    check_text_length(4 * len(text) // 3)
    return base64.b64encode(text.encode()).decode()


def b64decode_of(budget: Budget, value: Json) -> Json:
    try:
        text = base64.b64decode(text_of(budget, value), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ExpressionError("the text is not Base64 of text") from error
    _check_storable(text)
    return text
