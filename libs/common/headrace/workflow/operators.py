"""The operators of conditions: each looks at what was found and at the condition's value, and says yes or no.

None of them fails, but when its condition may do no more work. What is not there, and what is of a kind that the
operator does not go with, satisfies no operator but those that say "not" (`neq`, `notIn`, `notContains`) and
`exists: false`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from headrace.json_types import Json
from headrace.workflow.expressions.limits import Budget
from headrace.workflow.patterns import WORK_TO_COMPILE, compile_pattern, work_to_match
from headrace.workflow.times import read_time
from headrace.workflow.values import contains, kind_of, order, same


@dataclass(frozen=True, slots=True)
class Absent:
    """The place that a condition names is not there. Not the same as a null that is there."""


ABSENT = Absent()
Found: TypeAlias = "Json | Absent"
Test: TypeAlias = Callable[[Found, Json, Budget], bool]

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


def _equal(found: Found, value: Json, budget: Budget) -> bool:
    return not isinstance(found, Absent) and same(found, value, budget)


def _ordered(accept: Callable[[int], bool]) -> Test:
    def test(found: Found, value: Json, _budget: Budget) -> bool:
        if isinstance(found, Absent):
            return False
        sign = order(found, value)
        return sign is not None and accept(sign)

    return test


def _between(found: Found, value: Json, budget: Budget) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and _at_least(found, value[0], budget)
        and _at_most(found, value[1], budget)
    )


def _in(found: Found, value: Json, budget: Budget) -> bool:
    if isinstance(found, Absent) or not isinstance(value, list):
        return False
    return contains(value, found, budget) is True


def _contains(found: Found, value: Json, budget: Budget) -> bool:
    if isinstance(found, Absent):
        return False
    if isinstance(found, str):
        budget.spend_text(len(found))
    return contains(found, value, budget) is True


def _starts(found: Found, value: Json, _budget: Budget) -> bool:
    return isinstance(found, str) and isinstance(value, str) and found.startswith(value)


def _ends(found: Found, value: Json, _budget: Budget) -> bool:
    return isinstance(found, str) and isinstance(value, str) and found.endswith(value)


def _matches(found: Found, value: Json, budget: Budget) -> bool:
    if not isinstance(value, str) or not isinstance(found, str):
        return False
    # Paid for whether it was compiled before or not: what a condition costs does not hang on what was asked before it.
    budget.spend(WORK_TO_COMPILE)
    matches = compile_pattern(value)
    if matches is None:
        return False
    budget.spend(work_to_match(value, found))
    return matches(found)


def _exists(found: Found, value: Json, _budget: Budget) -> bool:
    return isinstance(found, Absent) == (value is False)


def _is_null(found: Found, _value: Json, _budget: Budget) -> bool:
    return found is None


def _is_empty(found: Found, _value: Json, _budget: Budget) -> bool:
    return found is None or (isinstance(found, str | list | dict) and not found)


def _is(wanted: bool) -> Test:
    return lambda found, _value, _budget: found is wanted


def _type_is(found: Found, value: Json, _budget: Budget) -> bool:
    return not isinstance(found, Absent) and kind_of(found) == value


def _length(accept: Callable[[int, int], bool]) -> Test:
    def test(found: Found, value: Json, _budget: Budget) -> bool:
        return (
            isinstance(found, str | list | dict)
            and isinstance(value, int | float)
            and accept(len(found), int(value))
        )

    return test


def _time(accept: Callable[[int], bool]) -> Test:
    def test(found: Found, value: Json, _budget: Budget) -> bool:
        if not isinstance(found, str) or not isinstance(value, str):
            return False
        one, other = read_time(found), read_time(value)
        return one is not None and other is not None and accept((one > other) - (one < other))

    return test


def _not(test: Test) -> Test:
    return lambda found, value, budget: not test(found, value, budget)


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
