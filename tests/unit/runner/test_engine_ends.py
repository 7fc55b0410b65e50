"""Which of several ends of a run counts: the engine with handlers that do as they are told."""

import asyncio

from headrace.json_types import JsonObject
from headrace.workflow.document import Edge, Step, StepType
from headrace_runner.steps.protocol import Failed, Outcome, Succeeded

from tests.unit.runner.engines import Told
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
