"""`decide` and `fold` from any graph, by any order of results, messages and news, amid crashes, pauses, cancels,
parks and time limits."""

from datetime import datetime, timedelta

from headrace.workflow.graph import Graph
from headrace.workflow.state import RunStatus
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.workflow_decide.answers import ANSWERS, UNSAFE, many, thorough
from tests.unit.workflow_decide.ends import check_end
from tests.unit.workflow_decide.graphs import graphs, racing, risky
from tests.unit.workflow_decide.world import BEGIN, World

GATED = UNSAFE
DEADLINES = st.integers(1, 60).map(lambda seconds: BEGIN + timedelta(seconds=seconds))


@thorough
@given(graphs(), ANSWERS, UNSAFE)
def test_every_run_ends_and_its_end_is_stable(
    graph: Graph, answers: list[int], unsafe: frozenset[str]
) -> None:
    world = World(graph, answers, unsafe)
    world.live()
    check_end(world)


@thorough
@given(graphs() | risky(), ANSWERS, UNSAFE, GATED)
def test_what_needs_an_approval_is_called_with_one(
    graph: Graph, answers: list[int], unsafe: frozenset[str], gated: frozenset[str]
) -> None:
    world = World(graph, answers, unsafe, gated=gated)
    world.live()
    check_end(world)


@thorough
@given(graphs(), ANSWERS, UNSAFE, DEADLINES)
def test_a_time_limit_wins(
    graph: Graph, answers: list[int], unsafe: frozenset[str], deadline: datetime
) -> None:
    world = World(graph, answers, unsafe, deadline)
    world.live()
    check_end(world)


@thorough
@given(graphs())
def test_without_trouble_every_call_is_made_once_at_most(graph: Graph) -> None:
    world = World(graph, [])
    world.live()
    check_end(world)
    assert len(world.calls) == len(set(world.calls))


@thorough
@given(risky(), st.integers(0, 2**32).map(many), UNSAFE)
def test_what_may_have_been_done_is_asked_about_and_undone(
    graph: Graph, answers: list[int], unsafe: frozenset[str]
) -> None:
    world = World(graph, answers, unsafe)
    world.live()
    check_end(world)


@thorough
@given(racing(), ANSWERS, UNSAFE)
def test_of_a_success_and_a_failure_the_first_stands(
    graph: Graph, answers: list[int], unsafe: frozenset[str]
) -> None:
    world = World(graph, answers, unsafe)
    world.live()
    check_end(world)


@thorough
@given(graphs(calm=True), ANSWERS, UNSAFE, ANSWERS)
def test_a_run_that_undoes_another_undoes_all_of_it(
    graph: Graph, answers: list[int], unsafe: frozenset[str], undoing: list[int]
) -> None:
    origin = World(graph, answers[:30], unsafe)
    origin.live()
    assume(origin.table.status is RunStatus.SUCCESS)
    world = World(graph, undoing, unsafe, origin=origin.table.steps)
    world.live()
    check_end(world)
