"""`decide` and `fold` from any graph, by any order of results, amid crashes, cancels, parks and time limits."""

from datetime import timedelta

from headrace.workflow.graph import Graph
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.workflow_decide.graphs import MOST_STEPS, graphs
from tests.unit.workflow_decide.world import BEGIN, World, check_end

ANSWERS = st.lists(st.integers(0, 60), max_size=80)
UNSAFE = st.frozensets(st.sampled_from([f"s{n}" for n in range(MOST_STEPS)]))
DEADLINES = st.none() | st.integers(1, 60).map(lambda seconds: BEGIN + timedelta(seconds=seconds))

thorough = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(graphs(), ANSWERS, UNSAFE)
def test_every_run_ends_and_its_end_is_stable(
    graph: Graph, answers: list[int], unsafe: frozenset[str]
) -> None:
    world = World(graph, answers, unsafe, None)
    world.live()
    check_end(world)


@thorough
@given(graphs(), ANSWERS, UNSAFE, DEADLINES)
def test_a_time_limit_wins(
    graph: Graph, answers: list[int], unsafe: frozenset[str], deadline: object
) -> None:
    world = World(graph, answers, unsafe, deadline)  # type: ignore[arg-type]
    world.live()
    check_end(world)


@thorough
@given(graphs())
def test_without_trouble_every_call_is_made_once_at_most(graph: Graph) -> None:
    world = World(graph, [], frozenset(), None)
    world.live()
    check_end(world)
    assert len(world.calls) == len(set(world.calls))
