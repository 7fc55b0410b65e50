"""A run whose steps call nothing, and a bus that does not keep up with it."""

import asyncio
from collections.abc import Sequence

import pytest
from headrace.bus.port import Outgoing
from headrace.workflow.document import Edge, Step
from headrace_runner import reporting
from headrace_runner.steps.protocol import Succeeded

from tests.unit.runner.engines import Advanced
from tests.unit.runner.scripted import Scripted, giving, run_of

CHAIN = (Step("a", "steps"), Step("b", "steps"), Step("c", "last"))
EDGES = (Edge("a", "b"), Edge("b", "c"))


class Silent:
    """A bus that takes messages and confirms nothing until it is allowed to."""

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []
        self.gate = asyncio.Event()

    async def publish(self, messages: Sequence[Outgoing], timeout: float = 10.0) -> None:
        await self.gate.wait()
        self.messages += messages


def silenced(run: Advanced) -> Silent:
    bus = Silent()
    run.reporting._bus = bus  # type: ignore[assignment]
    return bus


async def made(handler: Scripted, times: int) -> None:
    """Wait until so many attempts were made, and then until nothing else can be on its way."""
    async with asyncio.timeout(20):
        while handler.made < times:
            await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_step_that_calls_nothing_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "BEHIND_BYTES", 3_000)
    steps = Scripted(*[giving(Succeeded({"text": "x" * 1_500}))] * 2)
    last = Scripted(giving(Succeeded({})))
    async with run_of(*CHAIN, edges=EDGES, steps=steps, last=last) as run:
        bus = silenced(run)
        ending = asyncio.create_task(run.engine.advance())
        await made(steps, 2)
        assert last.made == 0
        bus.gate.set()
        async with asyncio.timeout(20):
            await ending
    assert last.made == 1
