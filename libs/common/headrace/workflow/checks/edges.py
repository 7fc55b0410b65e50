"""Do the edges make a graph? Unknown steps, cycles, doubles, and steps that no edge touches."""

from headrace.workflow.checks.subject import Subject
from headrace.workflow.document import Condition, Edge
from headrace.workflow.expressions.template import has_expression
from headrace.workflow.graph import find_cycles
from headrace.workflow.names import closest
from headrace.workflow.outputs import output_names
from headrace.workflow.paths import at_index


def check_edges(subject: Subject) -> None:
    """UNKNOWN_STEP, DUPLICATE_EDGE, CYCLE, UNCONNECTED_STEP, and what a condition looks at."""
    document, add = subject.document, subject.reading.add
    seen: set[str] = set()
    known = set(subject.steps)
    for index, edge in enumerate(document.edges):
        path = at_index("edges", index)
        for end, key in (("from", edge.from_step), ("to", edge.to_step)):
            if key not in known:
                add(f"{path}.{end}", f"there is no step `{key}`", closest(key, known), "UNKNOWN_STEP")
        if repr(edge) in seen:
            add(path, "this edge is there twice", "Take one of the two away.", "DUPLICATE_EDGE")
        seen.add(repr(edge))
        if isinstance(edge.when, Condition):
            _check_condition(subject, edge, edge.when, f"{path}.when")
    for cycle in find_cycles(document):
        names = " -> ".join([*cycle[:20], cycle[0]])
        add("edges", f"steps wait for each other: {names}", "Take one of these edges away.", "CYCLE")
    if document.edges and len(document.steps) > 1:
        touched = {key for edge in document.edges for key in (edge.from_step, edge.to_step)}
        for index, step in enumerate(document.steps):
            if step.key not in touched:
                mend = "Add an edge to or from it. With edges, nothing follows from the order of the steps."
                add(subject.place(index), "no edge touches this step", mend, "UNCONNECTED_STEP")


def _check_condition(subject: Subject, edge: Edge, when: Condition, path: str) -> None:
    if isinstance(when.value, str) and has_expression(when.value):
        mend = "Compare with a plain value; let a transform step compute what is compared."
        subject.reading.add(
            f"{path}.value", "expressions are not evaluated here", mend, "EXPRESSION_NOT_ALLOWED"
        )
    step = subject.steps.get(edge.from_step)
    root, *names = when.field.split(".")
    known = output_names(step) if step is not None else None
    if root == "output" and names and known is not None and names[0] not in known:
        message = f"the output of `{edge.from_step}` has no `{names[0][:63]}`"
        subject.reading.add(f"{path}.field", message, closest(names[0], known), "UNKNOWN_OUTPUT")
