"""When a step may begin, by an oracle of its own; and what must be true of each command of `decide`."""

from headrace.json_types import JsonMapping
from headrace.workflow.conditions import ConditionFailed, holds, upstream
from headrace.workflow.document import Edge, EdgeOn, Join, OnError
from headrace.workflow.expressions import Budget
from headrace.workflow.graph import Graph
from headrace.workflow.state import RunState, StepStatus

SETTLED = {
    StepStatus.SUCCESS,
    StepStatus.FAILED,
    StepStatus.SKIPPED,
    StepStatus.CACHED,
    StepStatus.COMPENSATED,
    StepStatus.CANCELED,
}


def evaluate(text: str, own: JsonMapping, budget: Budget) -> bool:
    if text == "broken":
        raise ConditionFailed("it can not be evaluated")
    return text == "true"


def is_ready(graph: Graph, state: RunState, key: str) -> bool | None:
    """True: begin; False: skip; None: wait. Raises `ConditionFailed`."""
    edges = graph.incoming[key]
    if not edges:
        return True
    over = [edge for edge in edges if state.step(edge.from_step).status in SETTLED]
    if graph.steps[key].join is Join.ALL and len(over) < len(edges):
        return None
    for edge in over:
        if _is_taken(graph, state, edge):
            return True
    return False if len(over) == len(edges) else None


def _is_taken(graph: Graph, state: RunState, edge: Edge) -> bool:
    row, step = state.step(edge.from_step), graph.steps[edge.from_step]
    failed = row.status is StepStatus.FAILED
    well = row.status in (StepStatus.SUCCESS, StepStatus.CACHED, StepStatus.COMPENSATED)
    if edge.on is EdgeOn.ERROR and not failed:
        return False
    if edge.on is EdgeOn.SUCCESS and not (well or (failed and step.on_error is OnError.CONTINUE)):
        return False
    return edge.when is None or holds(edge.when, upstream(row), evaluate)


def is_dealt_with(graph: Graph, state: RunState, key: str) -> bool:
    """Whether the run goes on although the step has failed: an error edge is taken, or `onError` lets it pass."""
    if graph.steps[key].on_error is OnError.CONTINUE:
        return True
    for edge in graph.outgoing[key]:
        try:
            if edge.on is EdgeOn.ERROR and _is_taken(graph, state, edge):
                return True
        except ConditionFailed:
            continue  # neither true nor false: by that nothing is dealt with
    return False
