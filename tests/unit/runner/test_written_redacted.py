"""What a runner writes of its runs is searched for their secrets once more where it is written, whoever made it: the
answers of a plug-in come by no client of ours, and what a run is told comes from outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from headrace.json_types import Json
from headrace.workflow.document import Document, OnError, Signal, Step, StepType
from headrace.workflow.state import Failure, Message, MessageKind
from headrace_runner.steps.protocol import Failed, InDoubt, Outcome, StepHandler, Succeeded
from headrace_runner.steps.registry import load_handlers

from tests.unit.runner.engines import Advanced, Told, advanced, step_services
from tests.unit.runner.scripted import Scripted, giving

SECRET = "the-secret-of-this-run"
WITH_IT = f"it said {SECRET}"
WITHOUT = "it said [***]"


@asynccontextmanager
async def knowing(
    document: Document, *told: Message, given: Json = None, x: Outcome | None = None
) -> AsyncIterator[Advanced]:
    """A run that was given the secret."""
    async with step_services() as services:
        handlers: dict[str, StepHandler] = dict(load_handlers(services))
        if x is not None:
            handlers["x"] = Scripted(giving(x))
        async with advanced(services, handlers, document, given, told=told) as run:
            run.engine.secrets.learn([SECRET])
            yield run


async def written(run: Advanced) -> list[Told]:
    """Every event, of which none holds the secret; nor does a log record, or what a later step would see."""
    events = await run.to_its_end()
    await run.reporting.drained(5)
    assert SECRET.encode() not in b"".join(message.body for message in run.bus.messages)
    assert SECRET not in str(run.engine.history.state)
    return events


@pytest.mark.parametrize(
    ("came", "where"),
    [
        (Succeeded({"said": [WITH_IT]}), ("output", {"said": [WITHOUT]})),
        (Succeeded({SECRET: 1}), ("output", {"[***]": 1})),
        (Failed(Failure("NO", WITH_IT), output=WITH_IT), ("error", {"code": "NO", "message": WITHOUT})),
        (InDoubt(Failure("NO", WITH_IT)), ("error", {"code": "NO", "message": WITHOUT})),
    ],
)
async def test_what_a_handler_answers(came: Outcome, where: tuple[str, Json]) -> None:
    async with knowing(Document("w", (Step("a", "x", on_error=OnError.CONTINUE),)), x=came) as run:
        (completed,) = [data for kind, _, data in await written(run) if kind == "completed"]
    assert isinstance(completed, dict)
    assert completed[where[0]] == where[1]


async def test_what_a_run_is_told() -> None:
    document = Document("w", (Step("go", StepType.SIGNAL, signal=Signal("go")),))
    message = Message(1, MessageKind.SIGNAL, None, "go", {"payload": WITH_IT})
    async with knowing(document, message) as run:
        events = await written(run)
    assert WITHOUT in orjson.dumps(events).decode()
    assert events[-1][0] == "finished"


async def test_what_a_run_answers() -> None:
    document = Document("w", (Step("a", "x"),), result={"said": "it said {{ input.said }}"})
    async with knowing(document, given={"said": SECRET}, x=Succeeded(None)) as run:
        events = await written(run)
    assert events[-1] == ("finished", None, {"status": "SUCCESS", "result": {"said": WITHOUT}})
