"""What a person says to a run in the moment in which its park is applied: it waits for that, and is heard after it."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.integration.control_plane_runs.acting import Client, Fleet, publish, started
from tests.integration.control_plane_runs.signaling import DOCUMENT, signal
from tests.integration.control_plane_runs.stopping import ask


async def said_while_it_parks(fleet: Fleet, run: str, said: Awaitable[Any]) -> Any:
    """The answer to `said`, which comes when the run is still held, and its park, until later, is being written."""
    async with fleet.admin.transaction():
        await fleet.park(run, "SIGNAL", seconds=3600)
        saying = asyncio.ensure_future(said)
        while not await fleet.admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not saying.done(), "it did not wait for the run's row"
            await asyncio.sleep(0.01)  # nothing tells of a lock that is waited for
    return await saying


@pytest.fixture
async def held(acme: Client, fleet: Fleet) -> str:
    await publish(acme, DOCUMENT)
    run = await started(acme, input={})
    await fleet.claim(run)
    return run


async def test_a_signal_that_meets_the_park_wakes_its_run(acme: Client, fleet: Fleet, held: str) -> None:
    """rule inbox_locks_the_run: whoever looked before the park would wake nobody."""
    sent = await said_while_it_parks(fleet, held, signal(acme, held, payload={"amount": 3}))
    assert sent["seq"] == 1
    assert await fleet.dispatches(held) == [(True, False, True)]


async def test_a_pause_that_meets_the_park_pauses_its_run(acme: Client, fleet: Fleet, held: str) -> None:
    answer = await said_while_it_parks(fleet, held, ask(acme, "pauseRun", held))
    assert (answer["status"], answer["pauseRequested"]) == ("PAUSED", True)
    assert await fleet.dispatches(held) == []


async def test_a_cancel_that_meets_the_park_wakes_its_run(acme: Client, fleet: Fleet, held: str) -> None:
    answer = await said_while_it_parks(fleet, held, ask(acme, "cancelRun", held))
    assert (answer["status"], answer["cancelRequested"]) == ("WAITING", True)
    assert await fleet.dispatches(held) == [(True, False, True)]
