"""A run as its history alone tells it: the events folded, from nothing or from what the run that it undoes had done."""

from collections.abc import Collection, Iterable, Mapping

from rpds import HashTrieMap

from headrace.workflow.decide import initial
from headrace.workflow.fold import Change, fold, with_undone_loops
from headrace.workflow.keys import Part, read_key
from headrace.workflow.state import EventKind, RunState, StepState, StepStatus


def rebuilt(events: Iterable[Change], origin: Mapping[str, StepState] | None = None) -> RunState:
    """The run after `events`, which are all that it has, in their order.

    `origin` are the rows of the run that this one undoes, as that one left them. Raises `IllegalMove`.
    """
    done = {key: row for key, row in (origin or {}).items() if read_key(key).part is None}
    state = initial()._replace(steps=HashTrieMap(done))
    for event in events:
        state = fold(state, event)
    return state


def undone_by(events: Iterable[Change]) -> Collection[str]:
    """The rows that a run has undone, of its own or of the run that it undoes."""
    rows = set()
    for event in events:
        if (
            event.kind is EventKind.COMPLETED
            and event.data.get("status") == StepStatus.SUCCESS
            and event.step
        ):
            name = read_key(event.step)
            if name.part is Part.UNDO:
                rows.add(name.work)
    return rows


def compensated(state: RunState, rows: Collection[str]) -> RunState:
    """A run of which another one has undone `rows`."""
    steps = state.steps
    for key in rows:
        if (row := steps.get(key)) is not None and row.status is StepStatus.SUCCESS:
            steps = steps.insert(key, row._replace(status=StepStatus.COMPENSATED))
    return state._replace(steps=with_undone_loops(steps))
