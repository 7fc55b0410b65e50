"""Edge conditions: may the edge be taken, given how its upstream step ended?

A condition's `field` is a dotted path into `{output, status, error}` of the upstream step: names, and
indexes into lists (`output.items.0.id`). What is not there satisfies only `neq` and `exists: false`.
Unlike kinds (text against number, boolean against number) are unequal and have no order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from headrace.json_types import Json
from headrace.workflow.document import AllOf, AnyOf, Condition, Expression, Not, When
from headrace.workflow.values import contains, order, same

ROOTS = frozenset({"output", "status", "error"})


@dataclass(frozen=True, slots=True)
class Absent:
    """The place that a condition names is not there. Not the same as a null that is there."""


Found: TypeAlias = "Json | Absent"


@dataclass(frozen=True, slots=True)
class Operator:
    """`test(found, value)`; `kinds` are the kinds of `value` that make sense, all of them when empty."""

    test: Callable[[Found, Json], bool]
    kinds: frozenset[str] = frozenset()
    needs_value: bool = True


Evaluate: TypeAlias = Callable[[str, Mapping[str, object]], bool]


def _no_expressions(text: str, upstream: Mapping[str, object]) -> bool:
    raise LookupError("expressions are not evaluated here")


def holds(when: When, upstream: Mapping[str, object], evaluate: Evaluate = _no_expressions) -> bool:
    """Whether `when` is true of `upstream`, the `{output, status, error}` of a step.

    `evaluate(text, upstream)` answers for expressions; what it raises passes through.
    """
    match when:
        case Condition():
            return _true_of(when, upstream)
        case AllOf(parts):
            return all(holds(part, upstream, evaluate) for part in parts)
        case AnyOf(parts):
            return any(holds(part, upstream, evaluate) for part in parts)
        case Not(part):
            return not holds(part, upstream, evaluate)
        case Expression(text):
            return evaluate(text, upstream)
        case _:
            assert_never(when)


def _true_of(condition: Condition, upstream: Mapping[str, object]) -> bool:
    """An operator that is not in `OPERATORS` never holds; `validate` refuses it before that."""
    operator = OPERATORS.get(condition.operator)
    return operator is not None and operator.test(find(upstream, condition.field), condition.value)


def find(upstream: Mapping[str, object], field: str) -> Found:
    """What stands at `field`, or `Absent`."""
    found: object = upstream
    for name in field.split("."):
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return ABSENT
    return found  # type: ignore[return-value]


def _ordered(accept: Callable[[int], bool]) -> Callable[[Found, Json], bool]:
    def test(found: Found, value: Json) -> bool:
        if isinstance(found, Absent):
            return False
        sign = order(found, value)
        return sign is not None and accept(sign)

    return test


def _equal(found: Found, value: Json) -> bool:
    return not isinstance(found, Absent) and same(found, value)


def _contains(found: Found, value: Json) -> bool:
    return not isinstance(found, Absent) and contains(found, value) is True


def _exists(found: Found, value: Json) -> bool:
    return isinstance(found, Absent) == (value is False)


ABSENT = Absent()
_ORDERED = frozenset({"number", "text"})

OPERATORS: Mapping[str, Operator] = {
    "eq": Operator(_equal),
    "neq": Operator(lambda found, value: not _equal(found, value)),
    "gt": Operator(_ordered(lambda sign: sign > 0), _ORDERED),
    "gte": Operator(_ordered(lambda sign: sign >= 0), _ORDERED),
    "lt": Operator(_ordered(lambda sign: sign < 0), _ORDERED),
    "lte": Operator(_ordered(lambda sign: sign <= 0), _ORDERED),
    "contains": Operator(_contains),
    "exists": Operator(_exists, frozenset({"boolean"}), needs_value=False),
}
