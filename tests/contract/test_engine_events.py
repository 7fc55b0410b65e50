"""What a real engine writes, held to the schema of events: beside samples, the code's own habits."""

import asyncio
from itertools import pairwise

import orjson
from headrace.workflow.document import Document, Edge, OnError, RetryPolicy, Step
from headrace.workflow.state import Failure
from headrace_runner.steps.protocol import Failed, InDoubt, Outcome, Prepared, StepContext, Succeeded

from tests.contract.message_schemas import validator
from tests.unit.runner.engines import advanced, step_services

OOPS = Failure("HTTP_503", "the target answered 503")
DETAIL = {"httpStatus": 503, "address": "127.0.0.1"}


class Every:
    """Each step does what its key says."""

    def __init__(self) -> None:
        self._attempts: dict[str, int] = {}

    def prepare(self, context: StepContext) -> Prepared | Failure:
        if context.step.key == "unprepared":
            return Failure("EXPRESSION_FAILED", "steps[0].input: it has no value")
        unsafe = context.step.key == "doubt"
        return Prepared({"n": 1}, side_effect=False, unsafe=unsafe, retry=RetryPolicy(), work=None)

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        key = context.step.key
        number = self._attempts[key] = self._attempts.get(key, 0) + 1
        match key:
            case "doubt":
                return InDoubt(OOPS, dict(DETAIL))
            case "again" if number == 1:
                return Failed(OOPS, next_delay=lambda _: 0.0, detail=dict(DETAIL))
            case "later":
                return Failed(OOPS, next_delay=lambda _: 600.0, detail=dict(DETAIL))
            case "fails":
                return Failed(OOPS, output={"body": None}, detail=dict(DETAIL))
            case _:
                return Succeeded({"id": [1]}, {"httpStatus": 200})


async def kinds_written(*keys: str, cancel: bool = False) -> list[str]:
    """Run these steps one after another; every message is held to its schema."""
    steps = tuple(Step(key, "every", on_error=OnError.CONTINUE) for key in keys)
    edges = tuple(Edge(one, other) for one, other in pairwise(keys))
    document = Document("w", steps, edges, result={"all": "good"})
    async with step_services() as services, advanced(services, {"every": Every()}, document, {}) as run:
        if cancel:
            run.held.tell(canceled=True)
        async with asyncio.timeout(20):
            events = await run.to_its_end()
        for message in run.bus.messages:
            if message.queue == "events.0":
                validator("event_batch.json").validate(orjson.loads(message.body))
    return [kind for kind, _, _ in events]


async def test_steps_that_succeed_fail_and_are_tried_again() -> None:
    kinds = await kinds_written("unprepared", "works", "again", "fails", "last")
    assert kinds.count("started") == 5
    assert kinds[-1] == "finished"


async def test_parks() -> None:
    assert await kinds_written("works", "later") == ["started", "completed", "started", "attempted", "parked"]
    assert await kinds_written("doubt") == ["started", "completed", "parked"]


async def test_a_cancel() -> None:
    assert await kinds_written("works", cancel=True) == ["canceled"]
