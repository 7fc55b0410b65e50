"""What is executed for a row: the step as written, an item of its loop, its compensation, or its probe."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from headrace.json_types import JsonMapping
from headrace.workflow.conditions import upstream
from headrace.workflow.document import Compensation, Probe, Step, StepType
from headrace.workflow.graph import Graph
from headrace.workflow.keys import Part, RowKey
from headrace.workflow.state import RunState


def step_of(graph: Graph, key: RowKey) -> Step:
    """The step to execute. Raises `KeyError` for a row that the version has no work for."""
    step = graph.steps[key.step]
    match key.part:
        case None:
            return step
        case Part.UNDO if step.compensate is not None:
            return _call(step, step.compensate)
        case Part.UNDO if step.child is not None:
            return step
        case Part.PROBE if step.probe is not None:
            return _call(step, step.probe)
    raise KeyError(str(key))


def place_of(place: str, key: RowKey) -> str:
    """Where in the document the row's work is written; `place` is its step's."""
    match key.part:
        case None:
            return place
        case Part.UNDO:
            return f"{place}.compensate"
        case Part.PROBE:
            return f"{place}.probe"


def _call(step: Step, part: Compensation | Probe) -> Step:
    return Step(
        key=step.key,
        type=StepType.ACTION,
        action=part.action,
        connection=part.connection or step.connection,
        input=part.input,
        retry=part.retry,
        timeout_ms=part.timeout_ms if isinstance(part, Compensation) else None,
    )


class StepsView(Mapping[str, JsonMapping]):
    """The steps of a run as expressions see them, made as they are asked for: a large graph costs a step nothing.

    `own` is the item, by its step's key, that a compensation or a probe of an item looks at.
    """

    def __init__(self, graph: Graph, state: RunState, own: tuple[str, str] | None = None) -> None:
        self._graph, self._state, self._own = graph, state, own

    def __getitem__(self, key: str) -> JsonMapping:
        if key not in self._graph.steps:
            raise KeyError(key)
        row = self._own[1] if self._own and self._own[0] == key else key
        return upstream(self._state.step(row))

    def __contains__(self, key: object) -> bool:
        return key in self._graph.steps

    def __iter__(self) -> Iterator[str]:
        return iter(self._graph.steps)

    def __len__(self) -> int:
        return len(self._graph.steps)


def own_row(key: RowKey) -> tuple[str, str] | None:
    """An item's compensation and probe see the item where others see its step."""
    if key.index is None or key.part is None:
        return None
    return key.step, str(replace(key, part=None))
