"""A call that a dead runner announced is in doubt, whatever else is true of its run."""

from datetime import UTC, datetime

import pytest
from headrace.workflow.commands import Doubt
from headrace.workflow.decide import decide
from headrace.workflow.graph import Graph
from headrace.workflow.parse import parse_document
from headrace.workflow.state import RunState, RunStatus, StepState, StepStatus
from rpds import HashTrieMap

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("why", ["nothing", "cancel", "deadline", "sibling"])
def test_doubt_comes_before_every_end(why: str) -> None:
    steps = [{"key": key, "type": "transform", "input": {}} for key in ("a", "b")]
    states = {"a": StepState(StepStatus.RUNNING, in_flight=True)}
    if why == "sibling":
        states["b"] = StepState(StepStatus.FAILED, 1)
    state = RunState(RunStatus.RUNNING, HashTrieMap(states), cancel=why == "cancel")
    graph = Graph.of(parse_document({"workflow": "w", "steps": steps}))
    deadline = NOW if why == "deadline" else None
    assert list(decide(graph, state, NOW, (), deadline)) == [Doubt("a")]
