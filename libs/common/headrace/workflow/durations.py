"""How long a document may wait, by what it declares: the longest way through its graph."""

from collections.abc import Mapping

from headrace.workflow.document import Document, ForEach, Step
from headrace.workflow.grammar import MAX_ITEMS
from headrace.workflow.graph import Graph

DAY_MS = 24 * 60 * 60 * 1000


def longest_wait(document: Document, children: Mapping[str, int | None]) -> int | None:
    """In milliseconds; None when nothing bounds it, 0 when it never waits.

    `children` says the same of what each `workflow` step runs. Calls and their retries are not counted, but for the
    rounds of a `repeat`. The run's own time limit bounds what its steps leave open.
    """
    graph = Graph.of(document)
    longest: dict[str, int | None] = {}
    for key in graph.order:
        before = _most([longest[edge.from_step] for edge in graph.incoming[key]])
        own = wait_of(graph.steps[key], children)
        longest[key] = None if before is None or own is None else before + own
    found = _most(list(longest.values()))
    limit = document.timeout_ms
    if limit is None or found == 0:
        return found
    return limit if found is None else min(found, limit)


def wait_of(step: Step, children: Mapping[str, int | None]) -> int | None:
    """What one step may wait, all items of its loop among it; None when nothing bounds it."""
    own: int | None = 0
    if step.wait is not None:
        own = step.wait.for_ms  # `until` is known only when the step begins
    elif step.approval is not None:
        own = step.approval.deadline_ms
    elif step.signal is not None:
        own = step.signal.deadline_ms
    elif step.child is not None:
        own = children.get(step.key)
    elif step.repeat is not None:
        own = step.repeat.every_ms * step.repeat.max
    return own * _rounds(step.for_each) if own and step.for_each is not None else own


def _rounds(loop: ForEach) -> int:
    """How often items wait one after another, at most."""
    items = len(loop.items) if isinstance(loop.items, list) else MAX_ITEMS
    return -(-items // loop.max_concurrency)


def _most(found: list[int | None]) -> int | None:
    bounded = [one for one in found if one is not None]
    return None if len(bounded) < len(found) else max(bounded, default=0)
