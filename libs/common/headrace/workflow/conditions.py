"""Conditions: is something true of how a step ended? Asked of edges, of `repeat.until` and of `probe.done`.

A condition's `field` is a dotted path into `{output, status, error}` of the step: names, and indexes into lists
(`output.items.0.id`). Unlike kinds (text against number, boolean against number) are unequal and have no order.
`headrace.workflow.operators` says what each operator does. All that one `when` is composed of spends from one budget.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias, assert_never

from headrace.json_index import index_in
from headrace.json_types import JsonMapping, JsonObject
from headrace.workflow.document import AllOf, AnyOf, Condition, Expression, Not, When
from headrace.workflow.expressions.limits import Budget, OutOfWork
from headrace.workflow.operators import ABSENT, OPERATORS, Found
from headrace.workflow.state import SUCCEEDED, StepState, StepStatus

Evaluate: TypeAlias = Callable[[str, JsonMapping, Budget], bool]

_WORK = 4  # units of looking a field up


class ConditionFailed(Exception):
    """A condition is neither true nor false; the message says where and why.

    `code` is CONDITION_FAILED: an expression has no value, or CONDITION_TOO_COSTLY: its parts together take more work
    than one condition may.
    """

    def __init__(self, message: str, code: str = "CONDITION_FAILED") -> None:
        super().__init__(message)
        self.code = code


def no_expressions(text: str, upstream: JsonMapping, budget: Budget) -> bool:
    """Stands for `evaluate` where no document with expressions comes."""
    raise ConditionFailed("expressions are not evaluated here")


def holds(
    when: When, upstream: JsonMapping, evaluate: Evaluate = no_expressions, budget: Budget | None = None
) -> bool:
    """Whether `when` is true of `upstream`, the `{output, status, error}` of a step.

    `evaluate(text, upstream, budget)` answers for expressions; what it raises passes through. `budget`, if given, is a
    new one, and tells afterwards what was spent. Raises `ConditionFailed`.
    """
    try:
        return _holds(when, upstream, evaluate, budget or Budget())
    except OutOfWork as error:
        words = "it takes too much work: ask less, or let a transform step find out what it asks for"
        raise ConditionFailed(words, "CONDITION_TOO_COSTLY") from error


def _holds(when: When, upstream: JsonMapping, evaluate: Evaluate, budget: Budget) -> bool:
    match when:
        case Condition():
            return _true_of(when, upstream, budget)
        case AllOf(parts):
            return all(_holds(part, upstream, evaluate, budget) for part in parts)
        case AnyOf(parts):
            return any(_holds(part, upstream, evaluate, budget) for part in parts)
        case Not(part):
            return not _holds(part, upstream, evaluate, budget)
        case Expression(text):
            return evaluate(text, upstream, budget)
        case _:
            assert_never(when)


def _true_of(condition: Condition, upstream: JsonMapping, budget: Budget) -> bool:
    """An operator that is not in `OPERATORS` never holds; the parser refuses it before that."""
    budget.spend(_WORK)
    operator = OPERATORS.get(condition.operator)
    return operator is not None and operator.test(find(upstream, condition.field), condition.value, budget)


def find(upstream: JsonMapping, field: str) -> Found:
    """What stands at `field`, or `ABSENT`."""
    found: object = upstream
    for name in field.split("."):
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and (index := index_in(found, name)) is not None:
            found = found[index]
        else:
            return ABSENT
    return found  # type: ignore[return-value]


def upstream(row: StepState) -> JsonObject:
    """A row as conditions and expressions see it. A document does the same whether a result was cached or not."""
    status = StepStatus.SUCCESS if row.status in SUCCEEDED else row.status
    return {
        "output": row.output,
        "status": status.value,
        "error": row.error.as_json() if row.error else None,
    }
