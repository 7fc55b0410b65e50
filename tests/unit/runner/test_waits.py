"""A step that waits for a time: the one that its text spells, or no wait at all."""

from typing import Any

import pytest
from headrace.json_types import Json
from headrace.workflow.document import Document, Step, Wait
from headrace_runner.steps.waits import WaitStep

from tests.unit.runner.engines import Told, advanced, step_services
from tests.unit.runner.scripted import told


async def waited(until: Json) -> list[Told]:
    """The events of a run that waits for a time of its input."""
    document = Document("w", (Step("a", "wait", wait=Wait(until="{{ input.until }}")),))
    async with (
        step_services() as services,
        advanced(services, {"wait": WaitStep(services)}, document, {"until": until}) as run,
    ):
        return await run.to_its_end()


async def test_a_wait_is_for_the_time_that_its_text_spells() -> None:
    events = await waited("9999-12-31T23:59:59Z")
    assert told(events) == ["waiting a", "parked"]
    waiting: Any = events[0][2]
    assert waiting["wait"] == {"kind": "TIMER", "until": "9999-12-31T23:59:59Z"}


@pytest.mark.parametrize(
    "until",
    ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59.9999999Z", "soon", 7],
)
async def test_what_is_no_time_to_wait_for_fails_the_step(until: Json) -> None:
    events = await waited(until)
    assert told(events) == ["completed a", "finished"]
    completed: Any = events[0][2]
    assert (completed["status"], completed["error"]["code"]) == ("FAILED", "NOT_A_TIME")
