"""The operators of conditions: each looks at what was found and at the condition's value, and says yes or no.

None of them fails. What is not there, and what is of a kind that the operator does not go with, satisfies no
operator but those that say "not" (`neq`, `notIn`, `notContains`) and `exists: false`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from headrace.json_types import Json
from headrace.workflow.patterns import compile_pattern
from headrace.workflow.times import read_time
from headrace.workflow.values import contains, kind_of, order, same


@dataclass(frozen=True, slots=True)
class Absent:
    """The place that a condition names is not there. Not the same as a null that is there."""


ABSENT = Absent()
Found: TypeAlias = "Json | Absent"
Test: TypeAlias = Callable[[Found, Json], bool]

KINDS = ("null", "boolean", "number", "text", "list", "object")


class Takes(Enum):
    """What `value` of an operator has to be."""

    ANYTHING = auto()
    ORDERED = auto()  # a number or a text
    RANGE = auto()  # a list of two numbers, or of two texts
    OPTIONS = auto()  # a list
    TEXT = auto()
    PATTERN = auto()
    KIND = auto()  # one of `KINDS`
    LENGTH = auto()  # a whole number, not below 0
    TIME = auto()
    MAYBE_BOOLEAN = auto()  # true, false, or not written
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Operator:
    test: Test
    takes: Takes

    @property
    def needs_value(self) -> bool:
        return self.takes not in (Takes.MAYBE_BOOLEAN, Takes.NOTHING)


def _equal(found: Found, value: Json) -> bool:
    return not isinstance(found, Absent) and same(found, value)


def _ordered(accept: Callable[[int], bool]) -> Test:
    def test(found: Found, value: Json) -> bool:
        if isinstance(found, Absent):
            return False
        sign = order(found, value)
        return sign is not None and accept(sign)

    return test


def _between(found: Found, value: Json) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and _at_least(found, value[0])
        and _at_most(found, value[1])
    )


def _in(found: Found, value: Json) -> bool:
    return not isinstance(found, Absent) and isinstance(value, list) and contains(value, found) is True


def _contains(found: Found, value: Json) -> bool:
    return not isinstance(found, Absent) and contains(found, value) is True


def _starts(found: Found, value: Json) -> bool:
    return isinstance(found, str) and isinstance(value, str) and found.startswith(value)


def _ends(found: Found, value: Json) -> bool:
    return isinstance(found, str) and isinstance(value, str) and found.endswith(value)


def _matches(found: Found, value: Json) -> bool:
    matches = compile_pattern(value) if isinstance(value, str) else None
    return matches is not None and isinstance(found, str) and matches(found)


def _exists(found: Found, value: Json) -> bool:
    return isinstance(found, Absent) == (value is False)


def _is_null(found: Found, _value: Json) -> bool:
    return found is None


def _is_empty(found: Found, _value: Json) -> bool:
    return found is None or (isinstance(found, str | list | dict) and not found)


def _is(wanted: bool) -> Test:
    return lambda found, _value: found is wanted


def _type_is(found: Found, value: Json) -> bool:
    return not isinstance(found, Absent) and kind_of(found) == value


def _length(accept: Callable[[int, int], bool]) -> Test:
    def test(found: Found, value: Json) -> bool:
        return (
            isinstance(found, str | list | dict)
            and isinstance(value, int | float)
            and accept(len(found), int(value))
        )

    return test


def _time(accept: Callable[[int], bool]) -> Test:
    def test(found: Found, value: Json) -> bool:
        if not isinstance(found, str) or not isinstance(value, str):
            return False
        one, other = read_time(found), read_time(value)
        return one is not None and other is not None and accept((one > other) - (one < other))

    return test


def _not(test: Test) -> Test:
    return lambda found, value: not test(found, value)


_at_least, _at_most = _ordered(lambda sign: sign >= 0), _ordered(lambda sign: sign <= 0)

OPERATORS: Mapping[str, Operator] = {
    "eq": Operator(_equal, Takes.ANYTHING),
    "neq": Operator(_not(_equal), Takes.ANYTHING),
    "gt": Operator(_ordered(lambda sign: sign > 0), Takes.ORDERED),
    "gte": Operator(_at_least, Takes.ORDERED),
    "lt": Operator(_ordered(lambda sign: sign < 0), Takes.ORDERED),
    "lte": Operator(_at_most, Takes.ORDERED),
    "between": Operator(_between, Takes.RANGE),
    "in": Operator(_in, Takes.OPTIONS),
    "notIn": Operator(_not(_in), Takes.OPTIONS),
    "contains": Operator(_contains, Takes.ANYTHING),
    "notContains": Operator(_not(_contains), Takes.ANYTHING),
    "startsWith": Operator(_starts, Takes.TEXT),
    "endsWith": Operator(_ends, Takes.TEXT),
    "matches": Operator(_matches, Takes.PATTERN),
    "exists": Operator(_exists, Takes.MAYBE_BOOLEAN),
    "isNull": Operator(_is_null, Takes.NOTHING),
    "isEmpty": Operator(_is_empty, Takes.NOTHING),
    "isTrue": Operator(_is(True), Takes.NOTHING),
    "isFalse": Operator(_is(False), Takes.NOTHING),
    "typeIs": Operator(_type_is, Takes.KIND),
    "lengthEq": Operator(_length(lambda length, value: length == value), Takes.LENGTH),
    "lengthGt": Operator(_length(lambda length, value: length > value), Takes.LENGTH),
    "lengthLt": Operator(_length(lambda length, value: length < value), Takes.LENGTH),
    "before": Operator(_time(lambda sign: sign < 0), Takes.TIME),
    "after": Operator(_time(lambda sign: sign > 0), Takes.TIME),
}
