"""Messages that a renewal brought while a take-over waited at the barrier."""

from typing import Any

import pytest
from headrace.workflow.document import Document, Signal, Step
from headrace.workflow.state import Message, MessageKind, RunState, RunStatus, StepState, StepStatus
from headrace_runner.steps.waits import SignalStep
from rpds import HashTrieMap

from tests.unit.runner.engines import advanced, step_services

PAID = Message(1, MessageKind.SIGNAL, None, "paid", {"payload": "first"})
AGAIN = Message(2, MessageKind.SIGNAL, None, "paid", {"payload": "second"})


@pytest.mark.parametrize(
    ("told", "kinds"),
    [((PAID,), ["waiting", "parked"]), ((PAID, AGAIN), ["waiting", "completed", "finished"])],
)
async def test_what_the_last_holder_used_up_is_not_used_again(
    told: tuple[Message, ...], kinds: list[str]
) -> None:
    """rule inbox_behind_the_barrier"""
    steps = tuple(Step(key, "signal", signal=Signal("paid")) for key in ("a", "b"))
    used = StepState(StepStatus.SUCCESS, output="first", done=(1, 2))
    # The checkpoint: `a` used the first message up, and it is the last that the row knew of.
    state = RunState(RunStatus.RUNNING, HashTrieMap({"a": used}), inbox_seen=1)
    document = Document("w", steps)
    async with (
        step_services() as services,
        advanced(services, {"signal": SignalStep(services)}, document, {}, state, told) as run,
    ):
        events = await run.to_its_end()
    assert [kind for kind, _, _ in events] == kinds
    last: Any = events[-1][2]
    assert last.get("inboxSeen") == {"parked": 1, "finished": None}[kinds[-1]]
