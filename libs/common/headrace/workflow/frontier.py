"""Where a run stands in its graph: the few rows that `decide` has to look at, kept up to date event by event.

A frontier is made from a state in one pass over the graph and the rows; afterwards `changed` costs as much as the
edges that leave the changed step. So deciding costs as much as what changed, however large the graph is.
"""

from bisect import bisect_left
from dataclasses import dataclass, field, replace

from headrace.workflow.document import Join, StepType
from headrace.workflow.graph import Graph
from headrace.workflow.keys import Part, RowKey, read_key
from headrace.workflow.state import SUCCEEDED, Place, RunState, StepState, StepStatus

PASSED = SUCCEEDED | {StepStatus.COMPENSATED}
SETTLED = PASSED | {StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELED}
OPEN = frozenset({StepStatus.RUNNING, StepStatus.WAITING, StepStatus.UNKNOWN})


@dataclass(slots=True)
class Loop:
    """The items of a loop that is under way: `following` is the lowest that has not begun, `ahead` are those above it
    that have (items begin side by side, and not each gets its event out before a crash), `again` those that are to be
    done anew, `open` those under way or waiting."""

    total: int
    following: int = 0
    ahead: set[int] = field(default_factory=set)
    ended: int = 0
    failed: int = 0
    again: set[int] = field(default_factory=set)
    open: set[int] = field(default_factory=set)

    def changed(self, index: int, status: StepStatus) -> None:
        if index >= self.following:
            self.ahead.add(index)
        while self.following in self.ahead:
            self.ahead.discard(self.following)
            self.following += 1
        self.again.discard(index)
        self.open.discard(index)
        if status in OPEN:
            self.open.add(index)
        elif status is StepStatus.QUEUED:
            self.again.add(index)
        elif status in SETTLED:
            self.ended += 1
            self.failed += status is StepStatus.FAILED


class Frontier:
    """`candidates` are the places (in the graph's order) of steps that may begin or be skipped; `open` the rows that
    are under way, waiting or in doubt; `failed` the steps whose failure nothing deals with, or the condition of an
    error edge alone; `done` what could be undone, in the order of completion; `succeeded` the step that ended the run
    early."""

    def __init__(self, graph: Graph, state: RunState) -> None:
        self.graph = graph
        self.candidates: list[int] = []
        self.open: dict[str, None] = {}
        self.failed: dict[str, None] = {}
        self.loops: dict[str, Loop] = {}
        self.done: list[tuple[Place, str]] = []
        self.succeeded: str | None = None
        self._begun: set[str] = set()
        self._settled: set[str] = set()
        self._unsettled = {key: len(graph.incoming[key]) for key in graph.order}
        for key in graph.roots:
            self._add_candidate(key)
        # Steps before their items, so that a loop is there to count them.
        for key in sorted(state.steps, key=lambda key: ("[" in key, key)):
            self._take(key, read_key(key), state.step(key))

    def changed(self, key: str, state: RunState) -> None:
        """Take in what an event about the row `key` made of `state`."""
        name = read_key(key)
        self._take(key, name, state.step(key))
        if name.part is Part.UNDO:
            self._take(name.work, replace(name, part=None), state.step(name.work))

    def _take(self, key: str, name: RowKey, row: StepState) -> None:
        if row.status in OPEN:
            self.open[key] = None
        else:
            self.open.pop(key, None)
        if name.part is None:
            self._count_done(key, name, row)
            if name.index is None:
                self._step(key, row)
            elif loop := self.loops.get(name.step):
                loop.changed(name.index, row.status)

    def all_settled_before(self, key: str) -> bool:
        return self._unsettled[key] == 0

    def _count_done(self, key: str, name: RowKey, row: StepState) -> None:
        if not self.graph.undoable(name.step) or row.items is not None:
            return  # a loop is undone item by item
        if row.done is None:
            return
        place = bisect_left(self.done, (row.done, key))
        known = self.done[place : place + 1] == [(row.done, key)]
        if row.status is StepStatus.SUCCESS and not known:
            self.done.insert(place, (row.done, key))
        elif row.status is StepStatus.COMPENSATED and known:
            del self.done[place]

    def _step(self, key: str, row: StepState) -> None:
        if row.status is StepStatus.QUEUED:  # to be done again
            self._begun.discard(key)
            self._add_candidate(key)
            return
        self._begun.add(key)
        self._drop_candidate(key)
        if row.items is not None:
            if row.status is StepStatus.RUNNING:
                self.loops.setdefault(key, Loop(row.items))
            else:
                self.loops.pop(key, None)
        if row.status is StepStatus.FAILED and not self.graph.deals_with_any_failure(key):
            self.failed[key] = None
        if row.status is StepStatus.SUCCESS and self.graph.steps[key].type == StepType.SUCCEED:
            self.succeeded = self.succeeded or key
        if row.status in SETTLED and key not in self._settled:
            self._settled.add(key)
            for edge in self.graph.outgoing[key]:
                self._unsettled[edge.to_step] -= 1
                ready = self._unsettled[edge.to_step] == 0
                if ready or self.graph.steps[edge.to_step].join is Join.ANY:
                    self._add_candidate(edge.to_step)

    def _add_candidate(self, key: str) -> None:
        if key in self._begun:  # one that joins ANY may have begun before this edge's first step ended
            return
        position = self.graph.position[key]
        place = bisect_left(self.candidates, position)
        if self.candidates[place : place + 1] != [position]:
            self.candidates.insert(place, position)

    def _drop_candidate(self, key: str) -> None:
        position = self.graph.position[key]
        place = bisect_left(self.candidates, position)
        if self.candidates[place : place + 1] == [position]:
            del self.candidates[place]
