"""Whether an unfinished run can go on by another version of its workflow. Pure.

What was done stays done, so the version has to have it; what has begun and not ended is to be the very same step there,
for its calls go on under its idempotency key, and what it waits for was asked for in its old words.
"""

from collections.abc import Mapping
from enum import StrEnum

from headrace.errors import Problem
from headrace.workflow.dealt import dealt_with
from headrace.workflow.definition import Version
from headrace.workflow.document import Edge, Step
from headrace.workflow.graph import Graph
from headrace.workflow.keys import read_key
from headrace.workflow.lists import ANOTHER_LIST, undone_by_another_list
from headrace.workflow.rerun import alike
from headrace.workflow.state import ENDED_STEP, Failure, StepStatus

_WAIT = "Let the step end first, or let the run end on its version."
_END = "Let the run end on its version, and re-run it by the other one."


class MoveFate(StrEnum):
    """What a step is to a run that is moved. SKIPPED stays skipped. NEW: the other version has it alone; GONE: it has
    not."""

    DONE = "DONE"
    SKIPPED = "SKIPPED"
    UNDER_WAY = "UNDER_WAY"
    AHEAD = "AHEAD"
    NEW = "NEW"
    GONE = "GONE"


def fates(before: Version, target: Version, rows: Mapping[str, StepStatus]) -> dict[str, MoveFate]:
    """Of each step of both versions, those of the other version first, in the order of their documents."""
    steps = _by_step(rows)
    there = [step.key for step in target.document.steps]
    here = [step.key for step in before.document.steps]
    found: dict[str, MoveFate] = {}
    for key in dict.fromkeys([*there, *here, *steps]):
        match steps.get(key):
            case None if key in there:
                found[key] = MoveFate.AHEAD if key in here else MoveFate.NEW
            case None:
                found[key] = MoveFate.GONE
            case StepStatus.SKIPPED:
                found[key] = MoveFate.SKIPPED
            case status:
                found[key] = MoveFate.DONE if status in ENDED_STEP else MoveFate.UNDER_WAY
    return found


def misfits(
    before: Version,
    target: Version,
    rows: Mapping[str, StepStatus],
    errors: Mapping[str, Failure | None] | None = None,
) -> list[Problem]:
    """Why a run of `before` with these rows can not go on by `target`; empty when it can. `errors` say why those rows
    failed that did."""
    problems: list[Problem] = []
    if before.document.concurrency != target.document.concurrency:
        words = "the versions limit their runs differently, and the run has its turn by its own"
        problems.append(Problem("concurrency", words, _END))
    steps = _by_step(rows)
    old, new = Graph.of(before.document), Graph.of(target.document)
    under_way = False
    for key, status in sorted(steps.items()):
        place = f"steps.{key}"
        if key not in new.steps or key not in old.steps:
            problems.append(
                Problem(place, "it has begun or was skipped, and the version does not have it", _END)
            )
            continue
        if status not in ENDED_STEP:
            under_way = True
            if not _same(before, target, key):
                problems.append(
                    Problem(place, "it is under way, and is written otherwise in the version", _WAIT)
                )
        elif status is not StepStatus.SKIPPED and not alike(old.steps[key], new.steps[key]):
            problems.append(Problem(place, "it is done, and is another step in the version", _END))
        elif status is not StepStatus.SKIPPED and before.children.get(key) != target.children.get(key):
            # Whoever undoes the run would undo the child by the version that is pinned then.
            problems.append(Problem(place, "its child is done, and the version pins another one", _END))
        elif status is not StepStatus.SKIPPED and undone_by_another_list(before, target, key):
            problems.append(Problem(place, ANOTHER_LIST, _END))
        if status is StepStatus.FAILED:
            error = (errors or {}).get(key)
            was, will = (dealt_with(graph, key, error, steps) for graph in (old, new))
            asked_alike = was is None and _error_edges(old, key) == _error_edges(new, key)
            if was is not False and not (will or (will is None and asked_alike)):
                words = "it has failed, and nothing in the version is known to deal with that"
                problems.append(Problem(place, words, _END))
        known = {edge.from_step for edge in old.incoming[key]}
        for edge in new.incoming[key]:
            if edge.from_step not in known and steps.get(edge.from_step) not in ENDED_STEP:
                words = f"step {edge.from_step} comes before it in the version, and it did not wait for that"
                problems.append(Problem(place, words, _WAIT))
    env = (before.document.env, before.document.secrets)
    if under_way and env != (target.document.env, target.document.secrets):
        problems.append(Problem("env", "a step is under way, and the version has another env", _WAIT))
    return problems


def _error_edges(graph: Graph, key: str) -> list[Edge]:
    return [graph.incoming[end][number] for end, number in graph.error_conditions(key)]


def _by_step(rows: Mapping[str, StepStatus]) -> dict[str, StepStatus]:
    """The status of each step that has a row: a part of one that has not ended keeps it from having ended."""
    found: dict[str, StepStatus] = {}
    for key, status in rows.items():
        step = read_key(key).step
        if key == step:
            found[step] = status
    for key, status in rows.items():
        step = read_key(key).step
        if step not in found or (status not in ENDED_STEP and found[step] in ENDED_STEP):
            found[step] = StepStatus.RUNNING
    return found


def _same(before: Version, target: Version, key: str) -> bool:
    """Whether the step is the same to the letter, with the same pins."""
    old, new = ({step.key: step for step in one.document.steps}[key] for one in (before, target))
    return old == new and _pins(before, old) == _pins(target, new)


def _pins(version: Version, step: Step) -> tuple[object, ...]:
    calls = [one for one in (step, step.probe, step.compensate) if one is not None]
    return (
        [version.actions.get(call.action) for call in calls if call.action is not None],
        [version.connections.get(call.connection) for call in calls if call.connection is not None],
        version.children.get(step.key),
        version.document.retries.get(step.type),
    )
