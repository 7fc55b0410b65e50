"""A step whose connection may not be called now: it waits, and no attempt is used up."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from headrace.workflow.commands import Compensate
from headrace.workflow.decide import decide
from headrace.workflow.document import Compensation, Document, Step
from headrace.workflow.state import Failure, RunState, RunStatus, StepState, StepStatus
from headrace_runner.gate import Gate
from headrace_runner.policy import Held
from headrace_runner.retry import retries_of
from headrace_runner.steps.protocol import Failed, Outcome, Prepared, StepContext, Succeeded
from rpds import HashTrieMap

from tests.unit.runner.engines import Advanced, advanced, step_services
from tests.unit.runner.scripted import Scripted, again_after, giving, run_of, told


class Blocked(Scripted):
    """Its attempts are let through after some refusals, each for so many seconds."""

    def __init__(self, *attempts: Callable[[], Awaitable[Outcome]], refusals: list[float]) -> None:
        super().__init__(*attempts)
        self._refusals = refusals

    def prepare(self, context: StepContext) -> Prepared | Failure:
        prepared = super().prepare(context)
        return replace(prepared, admit=self._admit) if isinstance(prepared, Prepared) else prepared

    async def _admit(self) -> float | None:
        return self._refusals.pop(0) if self._refusals else None


async def test_a_blocked_step_parks_the_run_without_an_attempt() -> None:
    handler = Blocked(refusals=[600])
    async with run_of(Step("a", "x"), x=handler) as run:
        events = await run.to_its_end()
    assert told(events) == ["waiting a", "parked"]
    waiting, parked = events[0][2], events[1][2]
    assert isinstance(waiting, dict)
    assert isinstance(parked, dict)
    assert waiting["wait"] == {"kind": "BLOCKED", "until": parked["resumeAt"]}
    assert parked["reason"] == "BLOCKED"
    assert handler.made == 0
    assert run.engine.history.state.step("a").attempts == 0


async def test_it_begins_when_it_is_let_through() -> None:
    handler = Blocked(giving(Succeeded(1)), refusals=[])
    async with run_of(Step("a", "x"), x=handler) as run:
        events = await run.to_its_end()
    assert told(events) == ["started a", "completed a", "finished"]


def test_a_retry_budget_counts_what_was_granted_beyond_each_first_attempt() -> None:
    steps = {
        "done": StepState(StepStatus.SUCCESS, attempts=3),  # two
        "failed": StepState(StepStatus.FAILED, attempts=1),
        "waiting": StepState(StepStatus.WAITING, attempts=2),  # its third attempt is granted: two
        "running": StepState(StepStatus.RUNNING, attempts=1),  # one
        "first": StepState(StepStatus.RUNNING),
        "polled": StepState(StepStatus.SUCCESS, attempts=6, round=4),  # five rounds, one retry
        "loop[0]": StepState(StepStatus.SUCCESS, attempts=2),  # one
        "done.undo": StepState(StepStatus.SUCCESS, attempts=9),  # what undoes is not counted
    }
    assert {key: retries_of(key, row) for key, row in steps.items()} == {
        **dict.fromkeys(steps, 0),
        "done": 2,
        "waiting": 2,
        "running": 1,
        "polled": 1,
        "loop[0]": 1,
    }


@pytest.mark.parametrize("budget", [None, 2, 5])
async def test_what_is_left_of_a_budget_is_kept_up_as_retries_are_granted(budget: int | None) -> None:
    left: list[int | None] = []

    def asking(outcome: Outcome) -> Callable[[], Awaitable[Outcome]]:
        async def attempt() -> Outcome:
            left.append(run.engine.history.retries_left(budget))
            return outcome

        return attempt

    handler = Scripted(*[asking(again_after(0))] * 3, asking(Succeeded(1)), asking(Succeeded(2)))
    async with run_of(Step("a", "x"), Step("b", "x"), x=handler) as run:
        await run.to_its_end()
    assert left == ([None] * 5 if budget is None else [max(budget - used, 0) for used in (0, 1, 2, 3, 3)])


@pytest.mark.parametrize(("code", "unanswered"), [("TIMEOUT", True), ("HTTP_503", None)])
async def test_a_call_that_nobody_answered_is_asked_again_however_it_is_put_off(
    code: str, unanswered: bool | None
) -> None:
    """Put off by a limit, twice; canceled meanwhile: what may have been done is found out, and then undone."""
    lost = Failed(Failure(code, "late"), next_delay=lambda _: 0)
    handler = Blocked(giving(lost), refusals=[])
    step = Step("a", "x", compensate=Compensation("a/b"))
    async with run_of(step, x=handler) as run:
        admitted = handler.attempt

        async def attempt(context: StepContext, prepared: Prepared) -> Outcome:
            handler._refusals.append(600)
            return await admitted(context, prepared)

        handler.attempt = attempt  # type: ignore[method-assign]
        events = await run.to_its_end()
        assert told(events) == ["started a", "attempted a", "waiting a", "parked"]
        waiting: Any = events[2][2]
        assert waiting["wait"].get("unanswered") is unanswered
        state = run.engine.history.state
    later = state._replace(cancel=True)
    (turn,) = decide(run.engine.run.graph, later, datetime.now(UTC))
    assert isinstance(turn, Compensate) == bool(unanswered)


class Refusing:
    """A control plane that wants a person's approval of whatever is not made unattended."""

    def __init__(self) -> None:
        self.asked: list[tuple[bool, bool]] = []

    async def approval(
        self, run_pass: Any, row: str, digest: str, *, token: str | None, begun: bool, unattended: bool
    ) -> dict[str, Any]:
        self.asked.append((begun, unattended))
        return {"allowed": unattended, "by": None, "code": "APPROVAL_NEEDED"}


class Showing(Scripted):
    def prepare(self, context: StepContext) -> Prepared | Failure:
        prepared = super().prepare(context)
        return replace(prepared, shown=lambda: {"url": "x"}) if isinstance(prepared, Prepared) else prepared


async def test_a_call_that_nobody_answered_is_asked_again_although_it_waits_for_an_approval() -> None:
    """Its runner died in it, the next one is told to ask a person, and the run is canceled meanwhile."""
    step = Step("a", "action", action="s/do", compensate=Compensation("s/undo"))
    begun = RunState(RunStatus.RUNNING, HashTrieMap({"a": StepState(StepStatus.RUNNING)}))
    refusing = Refusing()

    @asynccontextmanager
    async def held(state: RunState) -> AsyncIterator[Advanced]:
        handler = Showing(*[giving(Succeeded(n)) for n in range(2)])
        async with step_services() as services:
            document = Document("w", (step,))
            async with advanced(services, {"action": handler}, document, {}, state) as run:
                run.engine.run = replace(run.engine.run, policy={"s/do": Held("B"), "s/undo": Held("B")})
                run.engine.parts = replace(run.engine.parts, gate=Gate(refusing))
                yield run

    async with held(begun) as run:
        events = await run.to_its_end()
        assert told(events) == ["waiting a", "parked"]
        state = run.engine.history.state
    assert refusing.asked == [(True, False)]
    async with held(state._replace(cancel=True)) as run:
        events = await run.to_its_end()
    assert [kind for kind in told(events) if kind.startswith(("started", "compensating", "canceled"))] == [
        "compensating",
        "started a",
        "started a.undo",
        "canceled",
    ]
    assert refusing.asked[1:] == [(True, True), (False, True)]
