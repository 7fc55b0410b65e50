"""Reading documents that people write: JSON, or YAML with JSON's numbers and words (YAML 1.2, section 10.2).

YAML is read from the parser's events, so that nothing can be constructed but JSON: no tags, no anchors or
aliases (and so no bombs of them), no dates, no `yes` and `no`; a name may not stand twice in an object.
Problems name line and column, never what stands there.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json
from headrace.workflow.json_rules import MAX_DEPTH, MAX_VALUES

MAX_TEXT_BYTES = 1024 * 1024
MAX_DIGITS = 64

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_STRING_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})


def read_document_text(text: str) -> Json:
    """The JSON data that `text` spells. Raises `InvalidInput` with the first thing that can not be read."""
    try:
        size = len(text) if len(text) > MAX_TEXT_BYTES else len(text.encode())
    except UnicodeEncodeError as error:
        raise _wrong("the text holds half a character", "Save it as UTF-8.") from error
    if size > MAX_TEXT_BYTES:
        raise _wrong(f"the text has more than {MAX_TEXT_BYTES} bytes", "Split the workflow.", "TOO_LARGE")
    if text.lstrip("\ufeff \t\r\n")[:1] in ("{", "["):
        try:
            return _json(text.lstrip("\ufeff"))
        except json.JSONDecodeError:
            pass  # YAML's flow style looks like JSON and is more lenient
    return _yaml(text)


def _json(text: str) -> Json:
    try:
        data: Json = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_constant, parse_int=_integer, parse_float=_float
        )
    except RecursionError as error:
        raise _wrong(f"values nest more than {MAX_DEPTH} levels", "Make it flatter.") from error
    return data


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _wrong("a name stands twice in one object", "Leave one of the two out.", "DUPLICATE_NAME")
    return made


def _constant(_name: str) -> Json:
    raise _wrong("NaN and Infinity are not JSON", "Write null, or text.", "NOT_JSON")


def _integer(digits: str, place: str = "") -> int:
    if len(digits) > MAX_DIGITS:
        raise _wrong("a number is too large" + place, "Write it as text.", "NOT_JSON")
    return int(digits)


def _float(digits: str, place: str = "") -> float:
    number = float(digits)
    if len(digits) > MAX_DIGITS or not math.isfinite(number):
        raise _wrong("a number is too large" + place, "Write it as text.", "NOT_JSON")
    return number


def _yaml(text: str) -> Json:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _build(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _wrong("this is no YAML" + _at(mark), "Check indentation, quotes and brackets.") from error
    except yaml.YAMLError as error:
        raise _wrong("this is no YAML", "Check for characters that can not be printed.") from error


def _build(events: Iterator[Any]) -> Json:
    """Puts JSON together from events, with a stack of its own."""
    documents: list[Json] = []
    stack: list[tuple[Any, list[Json]]] = []  # an opening event, and what came inside so far
    count = 0
    for event in events:
        match event:
            case yaml.AliasEvent():
                raise _wrong("aliases are not supported" + _at(event.start_mark), "Write the value out.")
            case yaml.ScalarEvent():
                made: Json = _scalar(event)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                if event.tag not in (None, "!"):
                    raise _wrong("tags are not supported" + _at(event.start_mark), "Leave the tag out.")
                stack.append((event, []))
                if len(stack) > MAX_DEPTH:
                    raise _wrong(f"values nest more than {MAX_DEPTH} levels", "Make it flatter.")
                continue
            case yaml.SequenceEndEvent():
                made = stack.pop()[1]
            case yaml.MappingEndEvent():
                made = _mapping(*stack.pop())
            case _:
                continue
        count += 1
        if count > MAX_VALUES:
            raise _wrong(f"there are more than {MAX_VALUES} values", "Split the workflow.", "TOO_LARGE")
        (stack[-1][1] if stack else documents).append(made)
        if len(documents) > 1:
            mend = "Keep one of them. Files of several are for `headrace apply`, and `apply --dry-run` checks them."
            raise _wrong("there is more than one document in the text", mend)
    if not documents:
        raise _wrong("the text is empty", "Write a workflow: its name and its steps.", "EMPTY")
    return documents[0]


def _mapping(opening: Any, flat: list[Json]) -> dict[str, Json]:
    made: dict[str, Json] = {}
    for name, value in zip(flat[::2], flat[1::2], strict=True):
        if not isinstance(name, str):
            message = "a name is no text in the object" + _at(opening.start_mark)
            raise _wrong(message, "Put it in quotes; and put `{{ }}` in quotes too.")
        if name in made:
            message = "a name stands twice in the object" + _at(opening.start_mark)
            raise _wrong(message, "Leave one of the two out.", "DUPLICATE_NAME")
        made[name] = value
    return made


def _scalar(event: Any) -> Json:
    text: str = event.value
    if event.tag is not None and event.tag not in _STRING_TAGS:
        raise _wrong("tags are not supported" + _at(event.start_mark), "Leave the tag out.")
    if event.tag is not None or not event.implicit[0]:
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return _integer(text, _at(event.start_mark))
    if _FLOAT.fullmatch(text):
        return _float(text, _at(event.start_mark))
    if _NOT_FINITE.fullmatch(text):
        raise _wrong(
            "NaN and Infinity are not JSON" + _at(event.start_mark), "Write null, or text.", "NOT_JSON"
        )
    return text


def _at(mark: Any) -> str:
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""


def _wrong(message: str, mend: str, code: str = "UNREADABLE") -> InvalidInput:
    return InvalidInput([Problem("", message, mend, code)])
