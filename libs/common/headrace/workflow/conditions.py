"""Conditions: is something true of how a step ended? Asked of edges, of `repeat.until` and of `probe.done`.

A condition's `field` is a dotted path into `{output, status, error}` of the step: names, and indexes into lists
(`output.items.0.id`). Unlike kinds (text against number, boolean against number) are unequal and have no order.
`headrace.workflow.operators` says what each operator does.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias, assert_never

from headrace.json_types import JsonMapping
from headrace.workflow.document import AllOf, AnyOf, Condition, Expression, Not, When
from headrace.workflow.operators import ABSENT, OPERATORS, Found

Evaluate: TypeAlias = Callable[[str, JsonMapping], bool]


class ConditionFailed(Exception):
    """An expression of a condition can not be evaluated; the message says where and why."""


def no_expressions(text: str, upstream: JsonMapping) -> bool:
    """Stands for `evaluate` where no document with expressions comes."""
    raise ConditionFailed("expressions are not evaluated here")


def holds(when: When, upstream: JsonMapping, evaluate: Evaluate = no_expressions) -> bool:
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


def _true_of(condition: Condition, upstream: JsonMapping) -> bool:
    """An operator that is not in `OPERATORS` never holds; the parser refuses it before that."""
    operator = OPERATORS.get(condition.operator)
    return operator is not None and operator.test(find(upstream, condition.field), condition.value)


def find(upstream: JsonMapping, field: str) -> Found:
    """What stands at `field`, or `ABSENT`."""
    found: object = upstream
    for name in field.split("."):
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return ABSENT
    return found  # type: ignore[return-value]
