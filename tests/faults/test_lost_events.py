"""Somebody empties the queues of events: what stood there was confirmed, and nobody will ever apply it."""

import asyncio

import aio_pika
import pytest
from headrace.bus.names import Names
from headrace.bus.port import events_queue

from tests.faults.fault import Fault, Name, What, When
from tests.faults.kills import ONCE
from tests.faults.ledger import Wanted
from tests.faults.scene import SETTINGS, Scenario, Scene

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("scene", ["production"], indirect=True),
]
PARTITIONS = int(SETTINGS["HEADRACE_PARTITIONS"])
BARRIER = Fault(
    Name.RUNNER, "headrace_runner.control_plane:ControlPlane.checkpoints", When.BEFORE, 1, What.DELAY
)


async def emptied(scene: Scene) -> int:
    """How many messages are gone."""
    backends = scene.fleet.backends
    names = Names(PARTITIONS, backends.namespace)
    gone = 0
    async with await aio_pika.connect(backends.bus_url) as connection:
        channel = await connection.channel()
        for partition in range(PARTITIONS):
            queue = await channel.declare_queue(names.outside(events_queue(partition)), passive=True)
            gone += (await queue.purge()).message_count or 0
    return gone


async def metrics(scene: Scene) -> bytes:
    answer = await scene.fleet.http.get(f"{scene.services[Name.RUNNER].health}/metrics")
    return answer.content


async def in_the_second_call(scenario: Scenario, wanted: Wanted | None = None) -> None:
    """The first run is in the call of its second step, and all events before that are applied; then nobody applies."""
    await scenario.in_the_call(wanted=wanted)
    async with asyncio.timeout(30):
        while "two" not in (await scenario.accounts())[scenario.first].steps:
            await asyncio.sleep(0.05)  # asked from outside: nothing tells
    await scenario.kill(Name.REPORTER)


async def test_a_run_that_goes_on_behind_lost_events_is_set_aside(scene: Scene) -> None:
    async with scene.scenario("events lost under a run that goes on") as scenario:
        await in_the_second_call(scenario)
        scenario.hold("three")
        scenario.release("two")
        await scenario.called("three")
        assert await emptied(scene)
        await scene.begin(Name.REPORTER)
        scenario.release("three")
        account = (await scenario.arrived())[scenario.first]
        assert (account.run["status"], account.run["wait_reason"]) == ("WAITING", "DEAD_LETTER")
        assert {key: len(keys) for key, keys in account.calls.items()} == ONCE


@pytest.mark.parametrize("barrier", [pytest.param(BARRIER, id="barrier")])
async def test_a_take_over_whose_mark_is_lost_goes_on(scene: Scene, barrier: Fault) -> None:
    async with scene.scenario("mark of a take-over lost") as scenario:
        await in_the_second_call(scenario, Wanted(calls={**ONCE, "two": 2}))
        await scenario.kill(Name.RUNNER)
        scenario.arm(barrier)
        await scene.begin(Name.RUNNER)
        await scenario.struck(barrier)
        assert await emptied(scene)
        async with asyncio.timeout(30):
            while b"headrace_barrier_wait_seconds_count 0.0" in await metrics(scene):
                await asyncio.sleep(0.1)  # nothing tells but the metric, while it waits: an alert looks at it
        await scene.begin(Name.REPORTER)
        scenario.release("two")
        await scenario.settle()
