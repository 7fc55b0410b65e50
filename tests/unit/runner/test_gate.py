"""The gate before a call: what the control plane's word makes of it."""

from dataclasses import replace
from typing import Any

import pytest
from headrace.workflow.document import Document, Step
from headrace_runner.gate import Gate
from headrace_runner.policy import Held
from headrace_runner.steps.protocol import Prepared, StepContext, Succeeded

from tests.unit.runner.engines import advanced, step_services
from tests.unit.runner.scripted import Scripted, giving, told


class ControlPlane:
    """Answers with the same each time; keeps what it was asked."""

    def __init__(self, **answer: Any) -> None:
        self._answer = {"allowed": False, "by": None, "code": None} | answer
        self.asked = 0

    async def approval(self, *_: Any, **__: Any) -> dict[str, Any]:
        self.asked += 1
        return self._answer


class Shown(Scripted):
    """Makes one call, which can be shown to who approves it."""

    def __init__(self) -> None:
        super().__init__(giving(Succeeded(1)))

    def prepare(self, context: StepContext) -> Prepared:
        prepared = super().prepare(context)
        assert isinstance(prepared, Prepared)
        return replace(prepared, shown=lambda: {"body": "short"})


@pytest.mark.parametrize(
    ("held", "answer", "events", "asked"),
    [
        ("A", {}, ["started a", "completed a", "finished"], 0),
        ("B", {}, ["waiting a", "parked"], 0),
        ("C", {"code": "POLICY_FORBIDDEN"}, ["completed a", "finished"], 1),
        ("C", {"code": "NOT_APPROVED"}, ["waiting a", "parked"], 1),  # a rule was loosened since the claim
        ("C", {"allowed": True}, ["started a", "completed a", "finished"], 1),
    ],
)
async def test_a_call_is_made_when_nothing_holds_it(
    held: str, answer: dict[str, Any], events: list[str], asked: int
) -> None:
    """rule gate_before_call"""
    document = Document("w", (Step("a", "action", action="s/do"),))
    handler, control_plane = Shown(), ControlPlane(**answer)
    async with step_services() as services, advanced(services, {"action": handler}, document, {}) as run:
        run.engine.run = replace(run.engine.run, policy={"s/do": Held(held)})
        run.engine.parts = replace(run.engine.parts, gate=Gate(control_plane))
        assert told(await run.to_its_end()) == events
        error = run.engine.history.state.step("a").error
    assert (handler.made, control_plane.asked) == (int("started a" in events), asked)
    assert (error.code if error else None) == (
        "POLICY_FORBIDDEN" if answer.get("code") == "POLICY_FORBIDDEN" else None
    )
