"""Was a step's failure dealt with? By what became of the steps behind its error edges, and by the failure itself.

Runners ask the conditions themselves (`headrace.workflow.asking`); who holds no more of a run than its rows can not
evaluate expressions, nor look into outputs. Pure.
"""

from collections.abc import Mapping

from headrace.workflow.conditions import ConditionFailed, holds, no_expressions, upstream
from headrace.workflow.document import AllOf, AnyOf, Condition, Expression, Not, When
from headrace.workflow.expressions.limits import Budget
from headrace.workflow.graph import Graph
from headrace.workflow.state import Failure, StepState, StepStatus


def taken(graph: Graph, end: str, status: StepStatus) -> bool | None:
    """Whether an edge into the step `end` was taken, by the step's status; its first step has ended. None: that does
    not tell, for the step has not begun, or may have begun by another edge."""
    match status:
        case StepStatus.QUEUED:
            return None
        case StepStatus.SKIPPED:
            return False
        case _:
            return True if len(graph.incoming[end]) == 1 else None


def dealt_with(
    graph: Graph, key: str, error: Failure | None, statuses: Mapping[str, StepStatus]
) -> bool | None:
    """Whether the failure of `key` by `error` was dealt with, in a run of which the rows have these `statuses`.

    None: only an evaluation of a condition could tell, and the step behind it has not begun. A step that has begun, and
    may have done so by another edge, counts as begun by this one: what dealt with the failure is not done twice.
    """
    if graph.deals_with_any_failure(key):
        return True
    own = upstream(StepState(StepStatus.FAILED, error=error))
    budget, told = Budget(), True
    for end, number in graph.error_conditions(key):
        status = statuses.get(end, StepStatus.QUEUED)
        when, answer = graph.incoming[end][number].when, taken(graph, end, status)
        if answer is None and when is not None and _asks_of_error_alone(when):
            try:
                answer = holds(when, own, no_expressions, budget)
            except ConditionFailed:
                answer = False
        if answer is None and status is not StepStatus.QUEUED:
            answer = True
        if answer:
            return True
        told = told and answer is not None
    return False if told else None


def _asks_of_error_alone(when: When) -> bool:
    match when:
        case Condition(field):
            return field.split(".")[0] in ("error", "status")
        case AllOf(parts) | AnyOf(parts):
            return all(map(_asks_of_error_alone, parts))
        case Not(part):
            return _asks_of_error_alone(part)
        case Expression():
            return False
