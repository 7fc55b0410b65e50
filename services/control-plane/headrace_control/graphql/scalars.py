"""JSON and opaque ids."""

import math
from datetime import UTC, datetime
from typing import Any, NewType
from uuid import UUID

import strawberry
from graphql import GraphQLError
from headrace.errors import NotFound
from headrace.json_types import Json
from headrace.workflow.times import spelled
from strawberry.types.scalar import ScalarDefinition

from headrace_control.answer_text import passed_on

MAX_JSON_DEPTH = 64
# Values, names included, in one JSON value or in all variables of an operation.
MAX_JSON_VALUES = 200_000

JSON = NewType("JSON", object)


def check_json(value: Any) -> Json:
    """`value` when Postgres and every JSON reader can hold it.

    Refused, by a `GraphQLError` that does not quote: NaN and infinities (RFC 8259, section 6), NUL
    characters, nesting beyond `MAX_JSON_DEPTH`, more than `MAX_JSON_VALUES`.
    """
    stack = [(value, 0)]
    seen = 0
    while stack:
        item, depth = stack.pop()
        # Counted before they are looked at: a long list is not walked to be refused.
        seen += 1 + (len(item) if isinstance(item, dict) else 0)
        if seen + len(stack) + (len(item) if isinstance(item, list | dict) else 0) > MAX_JSON_VALUES:
            raise GraphQLError(f"JSON holds more than {MAX_JSON_VALUES} values")
        if depth > MAX_JSON_DEPTH:
            raise GraphQLError(f"JSON is nested deeper than {MAX_JSON_DEPTH} levels")
        match item:
            case float() if not math.isfinite(item):
                raise GraphQLError("JSON holds a number that is not finite")
            case str() if "\0" in item:
                raise GraphQLError("JSON holds a NUL character")
            case dict():
                stack.extend((key, depth) for key in item)
                stack.extend((inner, depth + 1) for inner in item.values())
            case list():
                stack.extend((inner, depth + 1) for inner in item)
            case _:
                pass
    json: Json = value
    return json


def read_time(value: Any) -> datetime:
    """A moment in RFC 3339; without an offset nobody could say which moment it is."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise GraphQLError("not a time; write it as 2030-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise GraphQLError("a time without an offset; write it as 2030-01-31T12:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise GraphQLError("a time that is outside the years 1 to 9999 in UTC") from None


DATE_TIME_SCALAR: ScalarDefinition = strawberry.scalar(
    name="DateTime",
    description="A moment in UTC (RFC 3339), as 2030-01-31T12:00:00.000001Z.",
    serialize=lambda moment: spelled(moment.astimezone(UTC)),
    parse_value=read_time,
)

JSON_SCALAR: ScalarDefinition = strawberry.scalar(
    name="JSON",
    description="Any JSON value. Numbers are finite; strings hold no NUL.",
    serialize=lambda value: value,
    parse_value=check_json,
)


def json_text(text: bytes | None) -> JSON | None:
    """A JSON text as a value of an answer, which holds it as it is."""
    return None if text is None else JSON(passed_on(text))


def read_input(given: object) -> Any:
    """An input that came in; null is an empty one. Whether it is an object is told by who takes it, with what else is
    wrong."""
    return {} if given is None else given


def read_id(text: str, what: str) -> UUID:
    """An opaque id that came in. One that can not be ours raises the same `NotFound` as one that is gone."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(what) from None


def read_any_id(text: str) -> UUID:
    """As `read_id`, where what is not there is not told by an error: one that can not be ours becomes one that nothing
    has, and is answered as one that is gone."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)
