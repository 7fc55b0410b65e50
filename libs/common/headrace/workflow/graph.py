"""The graph of a document: which step needs which, in what order, and what is upstream of what.

Built once per document, in linear time but for the ancestor sets (one machine word per 30 steps and edge),
without recursion.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from headrace.errors import InvalidInput, Problem
from headrace.workflow.document import Document, Edge, EdgeOn, Ending, OnError, Step


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps by key, edges by end, and the keys in topological order (document order where free)."""

    steps: Mapping[str, Step]
    incoming: Mapping[str, tuple[Edge, ...]]
    outgoing: Mapping[str, tuple[Edge, ...]]
    order: tuple[str, ...]
    position: Mapping[str, int]
    compensate_on: frozenset[Ending]
    _ancestors: Mapping[str, int]
    _error_conditions: Mapping[str, tuple[tuple[str, int], ...]]

    @staticmethod
    def of(document: Document) -> "Graph":
        """The graph of `document`. Raises `InvalidInput` for an edge without its step, and for a cycle."""
        steps = {step.key: step for step in document.steps}
        incoming: dict[str, list[Edge]] = {key: [] for key in steps}
        outgoing: dict[str, list[Edge]] = {key: [] for key in steps}
        for edge in edges_of(document):
            if edge.from_step not in steps or edge.to_step not in steps:
                mend = "Name a step that the document has."
                raise InvalidInput([Problem("edges", "an edge names no step", mend, "UNKNOWN_STEP")])
            outgoing[edge.from_step].append(edge)
            incoming[edge.to_step].append(edge)
        order = _topological(incoming, outgoing)
        if len(order) < len(steps):
            mend = "Take one of the edges of the cycle away."
            raise InvalidInput([Problem("edges", "the steps form a cycle", mend, "CYCLE")])
        return Graph(
            steps,
            {key: tuple(edges) for key, edges in incoming.items()},
            {key: tuple(edges) for key, edges in outgoing.items()},
            order,
            {key: position for position, key in enumerate(order)},
            document.compensate_on,
            _ancestor_bits(order, incoming),
            _error_conditions(incoming, outgoing),
        )

    def is_upstream(self, key: str, of: str) -> bool:
        """Whether `of` can only start after `key` has ended."""
        if key not in self.steps or of not in self.steps:
            return False
        return bool(self._ancestors[of] >> self.position[key] & 1)

    def deals_with_any_failure(self, key: str) -> bool:
        """Whether the run goes on by whatever `key` fails: it has `onError: continue`, or an error edge without a
        condition. Without that, only a condition of `error_conditions` can deal with a failure of it."""
        if self.steps[key].on_error is OnError.CONTINUE:
            return True
        return any(edge.on is EdgeOn.ERROR and edge.when is None for edge in self.outgoing[key])

    def error_conditions(self, key: str) -> tuple[tuple[str, int], ...]:
        """The error edges of `key` that have a condition, each by its end and its number among those into that."""
        return self._error_conditions[key]

    def undoable(self, key: str) -> bool:
        """Whether what the step did can be undone: by its own compensation, or by that of its child run."""
        step = self.steps[key]
        return step.compensate is not None or step.child is not None

    @property
    def roots(self) -> tuple[str, ...]:
        """The steps that need no other."""
        return tuple(key for key in self.order if not self.incoming[key])


def edges_of(document: Document) -> tuple[Edge, ...]:
    """The document's edges; without any, its steps run one after another."""
    if document.edges:
        return document.edges
    keys = [step.key for step in document.steps]
    return tuple(Edge(one, other) for one, other in pairwise(keys))


def find_cycles(document: Document) -> list[tuple[str, ...]]:
    """One cycle of each knot of steps, as the keys along it; edges without a step are passed over.

    The knots are the strongly connected components (Tarjan 1972, with a stack of our own).
    """
    keys = [step.key for step in document.steps]
    after: dict[str, list[str]] = {key: [] for key in keys}
    for edge in edges_of(document):
        if edge.from_step in after and edge.to_step in after:
            after[edge.from_step].append(edge.to_step)
    return [
        _cycle_in(knot, after)
        for knot in components(keys, after)
        if len(knot) > 1 or knot[0] in after[knot[0]]
    ]


def _topological(
    incoming: Mapping[str, Sequence[Edge]], outgoing: Mapping[str, Sequence[Edge]]
) -> tuple[str, ...]:
    waiting = {key: len(edges) for key, edges in incoming.items()}
    ready = deque(key for key, count in waiting.items() if not count)
    order: list[str] = []
    while ready:
        key = ready.popleft()
        order.append(key)
        for edge in outgoing[key]:
            waiting[edge.to_step] -= 1
            if not waiting[edge.to_step]:
                ready.append(edge.to_step)
    return tuple(order)


def _ancestor_bits(order: Sequence[str], incoming: Mapping[str, Sequence[Edge]]) -> dict[str, int]:
    position = {key: index for index, key in enumerate(order)}
    bits: dict[str, int] = {}
    for key in order:
        mine = 0
        for edge in incoming[key]:
            mine |= bits[edge.from_step] | 1 << position[edge.from_step]
        bits[key] = mine
    return bits


def _error_conditions(
    incoming: Mapping[str, Sequence[Edge]], outgoing: Mapping[str, Sequence[Edge]]
) -> dict[str, tuple[tuple[str, int], ...]]:
    number = {id(edge): number for edges in incoming.values() for number, edge in enumerate(edges)}
    return {
        key: tuple(
            (edge.to_step, number[id(edge)])
            for edge in edges
            if edge.on is EdgeOn.ERROR and edge.when is not None
        )
        for key, edges in outgoing.items()
    }


def components(keys: Sequence[str], after: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The strongly connected components, each after all those that it leads to. Linear, without recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_keys: list[str] = []
    is_open: set[str] = set()
    found: list[list[str]] = []
    for start in keys:
        if start in index:
            continue
        work = [(start, iter(after[start]))]
        index[start] = low[start] = len(index)
        open_keys.append(start)
        is_open.add(start)
        while work:
            key, rest = work[-1]
            for target in rest:
                if target not in index:
                    index[target] = low[target] = len(index)
                    open_keys.append(target)
                    is_open.add(target)
                    work.append((target, iter(after[target])))
                    break
                if target in is_open:
                    low[key] = min(low[key], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[key])
                if low[key] == index[key]:
                    knot = [open_keys.pop()]
                    while knot[-1] != key:
                        knot.append(open_keys.pop())
                    knot.reverse()
                    is_open.difference_update(knot)
                    found.append(knot)
    return found


def _cycle_in(knot: Sequence[str], after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A shortest cycle through the knot's first step, breadth first."""
    members, start = set(knot), knot[0]
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        key = queue.popleft()
        for target in after[key]:
            if target == start:
                path = [key]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return tuple(reversed(path))
            if target in members and target not in came_from:
                came_from[target] = key
                queue.append(target)
    return tuple(knot)
