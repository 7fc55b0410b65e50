"""What a document refers to by name, of what its tenant has."""

from collections.abc import Iterator
from dataclasses import dataclass

from headrace.json_types import Json
from headrace.workflow.assign import values_of
from headrace.workflow.document import Child, Document, Step
from headrace.workflow.paths import at_index


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call as a document writes it. `place` is the step's, or that of its `compensate` or `probe`; `values` is all
    that its expressions stand in."""

    place: str
    action: str
    connection: str | None
    values: Json


def app_of(action: str) -> str:
    """The app of an `app/action`."""
    return action.partition("/")[0]


def actions_used(document: Document) -> frozenset[str]:
    """`app/action` of every call: of steps, of what undoes them, and of what settles their doubt."""
    steps = document.steps
    return frozenset(
        {step.action for step in steps if step.action is not None}
        | {step.compensate.action for step in steps if step.compensate is not None}
        | {step.probe.action for step in steps if step.probe is not None}
    )


def connections_used(document: Document) -> frozenset[str]:
    """The names of all connections that any call may use."""
    found: set[str | None] = set()
    for step in document.steps:
        found.add(step.connection)
        if step.compensate is not None:
            found.add(step.compensate.connection)
        if step.probe is not None:
            found.add(step.probe.connection)
    return frozenset(name for name in found if name is not None)


def calls_written(document: Document) -> Iterator[WrittenCall]:
    """Every call: of steps, of what undoes them, and of what settles their doubt."""
    for index, step in enumerate(document.steps):
        place = at_index("steps", index)
        if step.action is not None:
            yield WrittenCall(place, step.action, step.connection, call_values(step))
        if (undo := step.compensate) is not None and undo.action is not None:
            yield WrittenCall(
                f"{place}.compensate", undo.action, undo.connection or step.connection, undo.input
            )
        if (probe := step.probe) is not None:
            yield WrittenCall(
                f"{place}.probe", probe.action, probe.connection or step.connection, probe.input
            )


def call_values(step: Step) -> Json:
    """What is written in an action step that its call is built from, or its result is found again by."""
    return {**values_of(step), "cache": step.cache.key if step.cache else None}


def children_used(document: Document) -> dict[str, Child]:
    """What each `workflow` step runs, by the step's key."""
    return {step.key: step.child for step in document.steps if step.child is not None}
