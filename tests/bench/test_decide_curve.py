"""What deciding and folding cost per step, against the size of the graph: chains, wide fans, loops.

CPU time of this process, and ratios to the smallest graph of the same run, of which nothing is asserted; and the calls
of functions, which no machine changes, and which are.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import Any

import pytest
from headrace.workflow.commands import Collect, Finish, Start
from headrace.workflow.decide import decide, initial
from headrace.workflow.document import Document, Edge, ForEach, Step, StepType
from headrace.workflow.fold import Change, fold
from headrace.workflow.frontier import Frontier
from headrace.workflow.graph import Graph
from headrace.workflow.state import EventKind, StepStatus

NOW = datetime(2026, 11, 1, tzinfo=UTC)
# Of each figure the best of so many: what else the machine does can only add to it.
REPEATS = 5


def chain(size: int) -> Graph:
    return Graph.of(Document("w", tuple(Step(f"s{n}", StepType.TRANSFORM) for n in range(size))))


def fan(size: int) -> Graph:
    """One step, then all others side by side, then one that joins them."""
    keys = [f"s{n}" for n in range(size - 2)]
    steps = (Step("first"), *(Step(key) for key in keys), Step("last"))
    edges = (*(Edge("first", key) for key in keys), *(Edge(key, "last") for key in keys))
    return Graph.of(Document("w", steps, edges))


def loop(size: int) -> Graph:
    items = ForEach(list(range(size)), max_concurrency=20)
    return Graph.of(Document("w", (Step("each", StepType.TRANSFORM, for_each=items),)))


@pytest.mark.bench
def test_decide_and_fold_cost_per_step() -> None:
    report = {
        "chain": curve(chain, [10, 100, 1_000]),
        "fan": curve(fan, [10, 100, 1_000]),
        "forEach": curve(loop, [10, 100, 1_000, 10_000]),
    }
    print(json.dumps(report, indent=2))


def curve(graph_of: Callable[[int], Graph], sizes: list[int]) -> dict[str, dict[str, float]]:
    costs = {size: min(cost(graph_of(size), size) for _ in range(REPEATS)) for size in sizes}
    smallest = costs[sizes[0]]
    return {
        str(size): {"us_per_step": round(seconds * 1e6, 1), "ratio": round(seconds / smallest, 2)}
        for size, seconds in costs.items()
    }


def cost(graph: Graph, size: int) -> float:
    """CPU seconds per step, from the first decision to the last."""
    begun = time.process_time()
    play(graph, size)
    return (time.process_time() - begun) / size


def play(graph: Graph, size: int) -> None:
    """Decide and fold from the first step to the last, each succeeding at once."""
    state = initial()
    frontier = Frontier(graph, state)
    seq = ended = 0
    while True:
        commands = decide(graph, state, NOW, frontier=frontier)
        for command in commands:
            match command:
                case Start(key) if graph.steps[key.split("[")[0]].for_each and "[" not in key:
                    changes = [(EventKind.STARTED, key, {"attempt": 1, "items": size})]
                case Start(key):
                    done = {"status": StepStatus.SUCCESS, "attempt": {"number": 1}, "output": {"n": seq}}
                    changes = [
                        (EventKind.STARTED, key, {"attempt": 1, "unsafe": False}),
                        (EventKind.COMPLETED, key, done),
                    ]
                    ended += 1
                case Collect(key):
                    changes = [(EventKind.COMPLETED, key, {"status": StepStatus.SUCCESS})]
                case Finish():
                    assert ended == size
                    return
                case _:
                    raise AssertionError(command)
            for kind, step, data in changes:
                seq += 1
                state = fold(state, Change(kind, step, data, (1, seq)))
                frontier.changed(step, state)


def calls(work: Callable[[], None]) -> int:
    """How many functions `work` calls, Python's and C's."""
    counted = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counted


@pytest.mark.parametrize("graph_of", [chain, fan, loop])
def test_a_steps_decisions_take_few_calls_however_large_the_graph_is(
    graph_of: Callable[[int], Graph],
) -> None:
    few, many = (calls(partial(play, graph_of(size), size)) / size for size in (20, 200))
    # 135 to 155 when this was written, in all three.
    assert few < 310
    assert many < few * 1.2
