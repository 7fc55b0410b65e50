"""How JSON values compare: one rule for edge conditions and for expressions.

Numbers equal numbers whatever their spelling (`1` and `1.0`), booleans are never numbers, and unlike kinds
are neither equal nor ordered.
"""

from typing import Protocol

from headrace.json_types import Json


class Work(Protocol):
    """Is told of what comparing takes, so that a caller can bound it; it may raise."""

    def visit(self) -> None:
        """A pair of values is compared."""

    def scan(self, members: int) -> None:
        """So many members are passed over, none of them compared any deeper."""


def kind_of(value: object) -> str:
    """The JSON kind of a value, as messages name it; `other` for what JSON can not hold."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case dict():
            return "object"
        case _:
            return "other"


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(left: Json, right: Json, work: Work | None = None) -> bool:
    """Deep equality."""
    pairs: list[tuple[Json, Json]] = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        if work is not None:
            work.visit()
        kind = kind_of(one)
        if kind != kind_of(other) or kind == "other":
            return False
        if isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            if work is not None:
                work.scan(len(one))
            pairs.extend(zip(one, other, strict=True))
        elif isinstance(one, dict) and isinstance(other, dict):
            if len(one) != len(other):
                return False
            if work is not None:
                work.scan(len(one))
            if one.keys() != other.keys():
                return False
            pairs.extend((one[name], other[name]) for name in one)
        elif one != other:
            return False
    return True


def like(value: Json) -> Json:
    """A value that is `same`, and written alike for all that are: names in order, whole numbers without a point."""
    match value:
        case float() if value.is_integer() and -(2**63) <= value < 2**64:
            return int(value)
        case list():
            return [like(part) for part in value]
        case dict():
            return {name: like(value[name]) for name in sorted(value)}
        case _:
            return value


def order(left: Json, right: Json) -> int | None:
    """-1, 0 or 1 for two numbers or two texts (by code point); None when they have no order."""
    if is_number(left) and is_number(right):
        return _sign(left, right)
    if isinstance(left, str) and isinstance(right, str):
        return _sign(left, right)
    return None


def contains(whole: Json, part: Json, work: Work | None = None) -> bool | None:
    """Text in text, an equal element in a list, a name in an object; None when that makes no sense."""
    match whole:
        case str():
            return part in whole if isinstance(part, str) else None
        case list():
            if isinstance(part, list | dict):
                return any(same(element, part, work) for element in whole)
            if work is not None:
                work.scan(len(whole))
            kind = kind_of(part)
            return any(element == part and kind_of(element) == kind for element in whole)
        case dict():
            return part in whole if isinstance(part, str) else None
        case _:
            return None


def _sign(left: Json, right: Json) -> int:
    return (left > right) - (left < right)  # type: ignore[operator]
