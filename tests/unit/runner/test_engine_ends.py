"""Which of several ends of a run counts: the engine with handlers that do as they are told."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from headrace.json_types import JsonMapping, JsonObject
from headrace.workflow.document import (
    Condition,
    Document,
    Edge,
    EdgeOn,
    Expression,
    ForEach,
    RetryPolicy,
    Signal,
    Step,
    StepType,
    When,
)
from headrace.workflow.expressions.limits import MAX_WORK, Budget
from headrace.workflow.state import Failure, RunState, RunStatus, StepState, StepStatus, WaitKind
from headrace_runner.steps.protocol import Failed, Outcome, Prepared, StepContext, Succeeded
from rpds import HashTrieMap

from tests.unit.runner.engines import Told, advanced, step_services
from tests.unit.runner.scripted import OOPS, Scripted, giving, run_of, told


def data_of(events: list[Told], kind: str, step: str | None) -> JsonObject:
    (data,) = [data for k, s, data in events if (k, s) == (kind, step)]
    assert isinstance(data, dict)
    return data


async def test_what_fails_after_a_succeed_step_was_reached_changes_nothing() -> None:
    reached = asyncio.Event()

    async def fails_late() -> Outcome:
        await reached.wait()
        return Failed(OOPS)

    async def reaches() -> Outcome:
        asyncio.get_running_loop().call_later(0.01, reached.set)
        return Succeeded(None)

    async with run_of(
        Step("start", "x"),
        Step("slow", "y"),
        Step("done", StepType.SUCCEED),
        edges=(Edge("start", "slow"), Edge("start", "done")),
        x=Scripted(giving(Succeeded(None))),
        y=Scripted(fails_late),
        succeed=Scripted(reaches),
    ) as run:
        events = await run.to_its_end()
    assert told(events)[-3:] == ["completed done", "completed slow", "finished"]
    assert data_of(events, "finished", None)["status"] == "SUCCESS"
    assert "unhandled" not in data_of(events, "completed", "slow"), "a dead letter of a run that succeeded"


async def test_no_succeed_step_is_reached_after_a_failure() -> None:
    done = Scripted(giving(Succeeded(None)))
    async with run_of(
        Step("start", "x"),
        Step("fails", "y"),
        Step("done", StepType.SUCCEED),
        edges=(Edge("start", "fails"), Edge("start", "done")),
        x=Scripted(giving(Succeeded(None))),
        y=Scripted(giving(Failed(OOPS))),
        succeed=done,
    ) as run:
        events = await run.to_its_end()
    assert done.made == 0
    assert told(events)[-3:] == ["started fails", "completed fails", "finished"]
    assert data_of(events, "completed", "fails")["unhandled"] is True
    assert data_of(events, "finished", None)["status"] == "FAILED"


async def fails_after(event: asyncio.Event) -> Outcome:
    await event.wait()
    return Failed(OOPS)


def fails_and_sets(event: asyncio.Event) -> Callable[[], Awaitable[Outcome]]:
    async def attempt() -> Outcome:
        asyncio.get_running_loop().call_later(0.01, event.set)
        return Failed(Failure("FIRST", "it failed first"))

    return attempt


async def test_of_two_failures_the_first_gives_the_error_of_the_run() -> None:
    failed = asyncio.Event()
    async with run_of(
        Step("start", "x"),
        Step("north", "y"),
        Step("south", "z"),
        edges=(Edge("start", "north"), Edge("start", "south")),
        x=Scripted(giving(Succeeded(None))),
        y=Scripted(lambda: fails_after(failed)),
        z=Scripted(fails_and_sets(failed)),
    ) as run:
        events = await run.to_its_end()
    assert told(events)[-3:] == ["completed south", "completed north", "finished"]
    assert events[-1][2] == {
        "status": "FAILED",
        "error": {"code": "FIRST", "message": "step south failed: it failed first"},
    }


class CutOff:
    """A handler whose attempt takes all the time that it has."""

    def prepare(self, context: StepContext) -> Prepared | Failure:
        return Prepared(None, side_effect=False, unsafe=False, retry=RetryPolicy(), work=None)

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        await asyncio.sleep(context.timeout_seconds() or 0)
        return Failed(OOPS)


async def test_what_the_time_limit_of_the_run_cuts_off_is_not_what_failed_it() -> None:
    document = Document("w", (Step("slow", "x"),), timeout_ms=100)
    async with step_services() as services, advanced(services, {"x": CutOff()}, document, {}) as run:
        events = await run.to_its_end()
    assert told(events) == ["started slow", "finished"]
    assert data_of(events, "finished", None)["error"] == {
        "code": "RUN_TIMEOUT",
        "message": "the run passed its time limit",
    }


async def test_of_two_items_that_fail_the_first_gives_the_error_of_the_loop() -> None:
    failed = asyncio.Event()
    async with run_of(
        Step("each", "x", for_each=ForEach([1, 2])),
        x=Scripted(lambda: fails_after(failed), fails_and_sets(failed)),
    ) as run:
        events = await run.to_its_end()
    completed = data_of(events, "completed", "each")
    assert completed["error"] == {"code": "FIRST", "message": "item 1 failed: it failed first"}


async def test_of_two_succeed_steps_the_first_gives_the_result() -> None:
    async with run_of(
        Step("start", "x"),
        Step("b", StepType.SUCCEED, input="b"),
        Step("a", StepType.SUCCEED, input="a"),
        edges=(Edge("start", "b"), Edge("start", "a")),
        x=Scripted(giving(Succeeded(None))),
        succeed=Scripted(giving(Succeeded("b")), giving(Succeeded("a"))),
    ) as run:
        events = await run.to_its_end()
    assert told(events)[-2:] == ["completed b", "finished"]
    assert events[-1][2] == {"status": "SUCCESS", "result": "b"}


def fallback_for(code: str) -> tuple[Edge, ...]:
    """`ship` follows `pay`, and `fallback` does when it fails by this code."""
    return (
        Edge("pay", "ship"),
        Edge("pay", "fallback", Condition("error.code", "eq", code), EdgeOn.ERROR),
    )


@pytest.mark.parametrize(
    ("when", "dealt"),
    [
        (Condition("error.code", "eq", "OOPS"), True),
        (Condition("error.code", "eq", "HTTP_404"), False),
        (Expression("{{ error.code == 'OOPS' and steps.pay.status == 'FAILED' }}"), True),
        (Expression("{{ steps.pay.status != 'FAILED' }}"), False),
        (Expression("{{ error.code.nothing == 1 }}"), False),
    ],
)
async def test_an_error_edge_deals_with_a_failure_when_its_condition_holds(when: When, dealt: bool) -> None:
    edges = (Edge("pay", "ship"), Edge("pay", "fallback", when, EdgeOn.ERROR))
    async with run_of(
        Step("pay", "x"),
        Step("ship", "y"),
        Step("fallback", "z"),
        edges=edges,
        x=Scripted(giving(Failed(OOPS))),
        y=Scripted(),
        z=Scripted(giving(Succeeded(None))),
    ) as run:
        events = await run.to_its_end()
    assert data_of(events, "completed", "pay").get("unhandled", False) is not dealt
    finished = data_of(events, "finished", None)
    if dealt:
        assert data_of(events, "completed", "ship")["status"] == "SKIPPED"
        assert data_of(events, "completed", "fallback")["status"] == "SUCCESS"
        assert finished["status"] == "SUCCESS"
    else:
        assert told(events) == ["started pay", "completed pay", "finished"]
        assert (finished["status"], "OOPS" in str(finished["error"])) == ("FAILED", True)


async def test_a_condition_that_can_not_be_answered_is_told_of_in_the_end() -> None:
    when = Expression("{{ error.code.nothing == 1 }}")
    async with run_of(
        Step("pay", "x"),
        Step("fallback", "z"),
        edges=(Edge("pay", "fallback", when, EdgeOn.ERROR),),
        x=Scripted(giving(Failed(OOPS))),
    ) as run:
        events = await run.to_its_end()
    words = str(data_of(events, "finished", None)["error"])
    assert "step pay failed: it failed; the condition of the edge from `pay` to `fallback`: " in words


async def test_others_have_their_turn_between_failures_whose_conditions_take_long() -> None:
    """Three waits whose time is past: without that they would end within one turn of the engine."""
    waits = tuple(Step(f"w{n}", StepType.SIGNAL, signal=Signal("go")) for n in range(3))
    ends = tuple(Step(f"e{n}", "x") for n in range(3))
    edges = [Edge(f"w{n}", f"e{n}", Expression("costly"), EdgeOn.ERROR) for n in range(3)]
    past = datetime.now(UTC) - timedelta(minutes=1)
    waiting = StepState(StepStatus.WAITING, retry_at=past, wait={"kind": WaitKind.SIGNAL, "name": "go"})
    state = RunState(RunStatus.RUNNING, HashTrieMap({step.key: waiting for step in waits}))
    asked, seen = [], []

    def costly(text: str, own: JsonMapping, budget: Budget) -> bool:
        asked.append(text)
        budget.spend(MAX_WORK)
        return True

    handlers = {"x": Scripted(*[giving(Succeeded(n)) for n in range(3)])}
    document = Document("w", (*waits, *ends), tuple(edges))
    async with step_services() as services, advanced(services, handlers, document, {}, state) as run:
        run.engine.history.evaluate = costly

        async def look_again_and_again() -> None:
            while True:
                seen.append(len(asked))
                await asyncio.sleep(0)

        looking = asyncio.create_task(look_again_and_again())
        events = await run.to_its_end()
        looking.cancel()
    assert data_of(events, "finished", None)["status"] == "SUCCESS"
    assert set(seen) >= {1, 2, 3}
    assert len(asked) == 3


@pytest.mark.parametrize(("code", "dealt"), [("OOPS", True), ("HTTP_404", False)])
async def test_a_loop_tells_at_its_end_whether_its_failure_is_dealt_with(code: str, dealt: bool) -> None:
    async with run_of(
        Step("pay", "x", for_each=ForEach([1])),
        Step("ship", "y"),
        Step("fallback", "z"),
        edges=fallback_for(code),
        x=Scripted(giving(Failed(OOPS))),
        z=Scripted(giving(Succeeded(None))),
    ) as run:
        events = await run.to_its_end()
    assert "unhandled" not in data_of(events, "completed", "pay[0]")
    assert data_of(events, "completed", "pay").get("unhandled", False) is not dealt
    assert data_of(events, "finished", None)["status"] == ("SUCCESS" if dealt else "FAILED")


async def test_a_failure_that_is_dealt_with_keeps_no_succeed_step_from_being_reached() -> None:
    async with run_of(
        Step("pay", "x"),
        Step("ship", "y"),
        Step("fallback", StepType.SUCCEED),
        edges=fallback_for("OOPS"),
        x=Scripted(giving(Failed(OOPS))),
        succeed=Scripted(giving(Succeeded(None))),
    ) as run:
        events = await run.to_its_end()
    assert data_of(events, "finished", None)["status"] == "SUCCESS"
