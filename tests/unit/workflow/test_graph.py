"""The graph of a document: order, what is upstream, cycles."""

import pytest
from headrace.errors import InvalidInput
from headrace.workflow.document import Document, Edge, Step
from headrace.workflow.graph import Graph, components, find_cycles
from hypothesis import given, settings
from hypothesis import strategies as st


def document(count: int, *pairs: tuple[int, int]) -> Document:
    return Document(
        "w",
        tuple(Step(f"s{n}", "transform") for n in range(count)),
        tuple(Edge(f"s{one}", f"s{other}") for one, other in pairs),
    )


def upstream(graph: Graph, of: str) -> set[str]:
    return {key for key in graph.steps if graph.is_upstream(key, of)}


def test_without_edges_steps_follow_one_another() -> None:
    graph = Graph.of(document(4))
    assert graph.order == ("s0", "s1", "s2", "s3")
    assert upstream(graph, "s3") == {"s0", "s1", "s2"}
    assert graph.roots == ("s0",)


def test_with_edges_only_they_count() -> None:
    graph = Graph.of(document(4, (0, 1), (0, 2), (1, 3), (2, 3)))
    assert upstream(graph, "s3") == {"s0", "s1", "s2"}
    assert graph.is_upstream("s0", "s3")
    assert not graph.is_upstream("s1", "s2")
    assert not graph.is_upstream("s3", "s3")
    assert [edge.from_step for edge in graph.incoming["s3"]] == ["s1", "s2"]
    assert [edge.to_step for edge in graph.outgoing["s0"]] == ["s1", "s2"]


def test_an_edge_without_its_step_and_a_cycle_are_refused() -> None:
    for pairs, code in [(((0, 9),), "UNKNOWN_STEP"), (((0, 1), (1, 0)), "CYCLE")]:
        with pytest.raises(InvalidInput) as caught:
            Graph.of(document(2, *pairs))
        assert caught.value.problems[0].code == code


def test_each_knot_shows_one_cycle() -> None:
    found = find_cycles(document(7, (0, 1), (1, 2), (2, 1), (3, 3), (4, 5), (5, 6), (6, 4), (2, 4)))
    assert sorted(len(cycle) for cycle in found) == [1, 2, 3]
    assert {frozenset(cycle) for cycle in found} == {
        frozenset({"s1", "s2"}),
        frozenset({"s3"}),
        frozenset({"s4", "s5", "s6"}),
    }


def test_five_hundred_steps_need_no_recursion() -> None:
    long = Graph.of(document(500))
    assert len(upstream(long, "s499")) == 499
    ring = document(500, *[(n, (n + 1) % 500) for n in range(500)])
    assert [len(cycle) for cycle in find_cycles(ring)] == [500]


edges = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25, min_size=1)


def reachable(pairs: list[tuple[int, int]], start: int) -> set[int]:
    found: set[int] = set()
    waiting = [start]
    while waiting:
        here = waiting.pop()
        for one, other in pairs:
            if one == here and other not in found:
                found.add(other)
                waiting.append(other)
    return found


@settings(deadline=None)
@given(edges)
def test_order_and_upstream_are_what_the_edges_say(pairs: list[tuple[int, int]]) -> None:
    whole = document(10, *pairs)
    cyclic = any(n in reachable(pairs, n) for n in range(10))
    assert bool(find_cycles(whole)) is cyclic
    for cycle in find_cycles(whole):
        for one, other in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert (int(one[1:]), int(other[1:])) in pairs
    if cyclic:
        return
    graph = Graph.of(whole)
    position = {key: index for index, key in enumerate(graph.order)}
    assert all(position[f"s{one}"] < position[f"s{other}"] for one, other in pairs)
    for n in range(10):
        assert {f"s{m}" for m in range(10) if n in reachable(pairs, m)} == upstream(graph, f"s{n}")


@settings(deadline=None)
@given(edges)
def test_components_come_after_what_they_lead_to(pairs: list[tuple[int, int]]) -> None:
    after = {str(n): [str(other) for one, other in pairs if one == n] for n in range(10)}
    found = components(list(after), after)
    where = {key: index for index, knot in enumerate(found) for key in knot}
    assert sorted(where) == sorted(after)
    for one, other in pairs:
        assert where[str(other)] <= where[str(one)]
        together = one == other or (one in reachable(pairs, other))
        assert (where[str(one)] == where[str(other)]) is together
