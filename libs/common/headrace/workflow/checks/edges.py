"""Do the edges make a graph? Unknown steps, cycles, doubles, edges never taken, and steps that no edge touches."""

from headrace.workflow.checks.subject import Subject
from headrace.workflow.document import Edge, EdgeOn, OnError
from headrace.workflow.grammar import FAIL_TYPE, SUCCEED_TYPE
from headrace.workflow.graph import edges_of, find_cycles
from headrace.workflow.paths import at_index

_LAST = frozenset({SUCCEED_TYPE, FAIL_TYPE})


def check_edges(subject: Subject) -> None:
    """UNKNOWN_STEP, DUPLICATE_EDGE, NEVER_TAKEN, NEVER_REACHED, CYCLE, UNCONNECTED_STEP."""
    document, add = subject.document, subject.reading.add
    seen: set[str] = set()
    known = set(subject.steps)
    for index, edge in enumerate(document.edges):
        path = at_index("edges", index)
        for end, key in (("from", edge.from_step), ("to", edge.to_step)):
            if key not in known:
                add(
                    f"{path}.{end}",
                    f"there is no step `{key}`",
                    subject.reading.closest(key, known),
                    "UNKNOWN_STEP",
                )
        if repr(edge) in seen:
            add(path, "this edge is there twice", "Take one of the two away.", "DUPLICATE_EDGE")
        seen.add(repr(edge))
        _check_taken(subject, edge, path)
    if not document.edges:
        _check_reached(subject)
    for cycle in find_cycles(document):
        names = " -> ".join([*cycle[:20], cycle[0]])
        add("edges", f"steps wait for each other: {names}", "Take one of these edges away.", "CYCLE")
    if document.edges and len(document.steps) > 1:
        touched = {key for edge in document.edges for key in (edge.from_step, edge.to_step)}
        for index, step in enumerate(document.steps):
            if step.key not in touched:
                mend = "Add an edge to or from it. With edges, nothing follows from the order of the steps."
                add(subject.place(index), "no edge touches this step", mend, "UNCONNECTED_STEP")


def _check_taken(subject: Subject, edge: Edge, path: str) -> None:
    step = subject.steps.get(edge.from_step)
    if step is None:
        return
    if step.type in _LAST:
        mend = "Take the edge away."
        subject.reading.add(f"{path}.from", f"the run ends with `{step.key}`", mend, "NEVER_TAKEN")
    elif edge.on is EdgeOn.ERROR and step.on_error is OnError.CONTINUE:
        mend = f"Take `onError: continue` from `{step.key}`, or `on: error` from the edge."
        message = f"`{step.key}` lets its failures pass as if they were none"
        subject.reading.add(f"{path}.on", message, mend, "NEVER_TAKEN")


def _check_reached(subject: Subject) -> None:
    places = {step.key: subject.place(index) for index, step in enumerate(subject.document.steps)}
    for edge in edges_of(subject.document):
        step = subject.steps.get(edge.from_step)
        if step is not None and step.type in _LAST and edge.to_step in places:
            mend = "Put that step last, or write `edges`."
            message = f"the run ends with `{edge.from_step}` before this step"
            subject.reading.add(places[edge.to_step], message, mend, "NEVER_REACHED")
