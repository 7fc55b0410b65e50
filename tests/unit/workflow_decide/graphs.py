"""Graphs that hypothesis makes: acyclic, with conditions, both answers to an error, calls and transforms."""

from headrace.workflow.document import Condition, Document, Edge, OnError, Step
from headrace.workflow.graph import Graph
from hypothesis import strategies as st

MOST_STEPS = 6

_CONDITIONS = st.sampled_from(
    [
        None,
        None,
        Condition("status", "eq", "SUCCESS"),
        Condition("status", "eq", "FAILED"),
        Condition("output.n", "gt", 1),
        Condition("output.n", "exists"),
        Condition("error.code", "eq", "E"),
    ]
)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Up to `MOST_STEPS` steps in any order, any edges between them that make no cycle."""
    count = draw(st.integers(1, MOST_STEPS))
    keys = [f"s{n}" for n in range(count)]
    steps = tuple(
        Step(
            key=key,
            type=draw(st.sampled_from(["action", "transform"])),
            on_error=draw(st.sampled_from(list(OnError))),
        )
        for key in draw(st.permutations(keys))
    )
    pairs = [(one, other) for n, one in enumerate(keys) for other in keys[n + 1 :]]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return Graph.of(Document("w", steps, tuple(Edge(a, b, draw(_CONDITIONS)) for a, b in chosen)))
