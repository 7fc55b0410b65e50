"""The network drops every packet between two processes for a while; both ends believe the other is there."""

import pytest
from proxy import dialler, proxied, through

from tests.faults.fault import Fault, Name, What, When
from tests.faults.kills import ONCE
from tests.faults.ledger import Wanted
from tests.faults.scene import Scene

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("scene", ["production"], indirect=True),
]

# Four renewals take longer than a lease lasts.
RENEWED = pytest.mark.parametrize(
    "renewed",
    [
        pytest.param(
            Fault(Name.RUNNER, "headrace_runner.lease:Lease.renew", When.AFTER, 4, What.DELAY), id="lease"
        )
    ],
)


async def test_a_runner_that_can_not_reach_the_control_plane(scene: Scene) -> None:
    async with scene.scenario("network stalls between runner and control plane") as scenario:
        url = f"http://127.0.0.1:{scene.fleet.internal_port}"
        async with proxied(dialler(url)) as proxy:
            await scene.services.pop(Name.RUNNER).stop()
            cut_off = await scene.begin(Name.RUNNER, HEADRACE_CONTROL_PLANE_URL=through(url, proxy.port))
            await scenario.in_the_call(wanted=Wanted(calls={**ONCE, "two": 2}))
            proxy.stall()
            await scenario.now_under_way()
            await scene.begin(Name.RUNNER)
            await scenario.called("two", 2)
            # Its own call is answered now, and it goes no further: by its own clock its lease is over.
            scenario.release("two")
            await scenario.arrived()
            proxy.flow()
            assert await cut_off.stop() == 0
            scenario.begin(count=2, wanted=Wanted(calls=ONCE))
            await scenario.settle()


@RENEWED
async def test_a_runner_that_can_not_reach_the_broker(scene: Scene, renewed: Fault) -> None:
    async with scene.scenario("network stalls between runner and broker") as scenario:
        url = scene.fleet.backends.bus_url
        async with proxied(dialler(url)) as proxy:
            await scene.services.pop(Name.RUNNER).stop()
            await scene.begin(Name.RUNNER, HEADRACE_BUS_URL=through(url, proxy.port))
            await scenario.in_the_call(wanted=Wanted(calls=ONCE))
            proxy.stall()
            await scenario.now_under_way()
            scenario.release("two")
            scenario.arm(renewed)
            await scenario.struck(renewed)
            # What was not confirmed holds the run where it is.
            assert not (await scenario.accounts())[scenario.first].calls.get("three")
            proxy.flow()
            await scenario.settle()
            await scene.services.pop(Name.RUNNER).stop()


@RENEWED
async def test_a_call_that_can_not_be_repeated_waits_for_the_broker(scene: Scene, renewed: Fault) -> None:
    async with scene.scenario("broker out of reach before a call that can not be repeated") as scenario:
        url = scene.fleet.backends.bus_url
        async with proxied(dialler(url)) as proxy:
            await scene.services.pop(Name.RUNNER).stop()
            await scene.begin(Name.RUNNER, HEADRACE_BUS_URL=through(url, proxy.port))
            scenario.hold("one")
            scenario.begin("unsafe", wanted=Wanted(calls={"one": 2, "two": 1, "three": 1}))
            await scenario.called("one")
            await scenario.begun()
            proxy.stall()
            scenario.release("one")
            scenario.arm(renewed)
            await scenario.struck(renewed)
            # Whatever it has done by now, nobody will hear of it.
            await scenario.kill(Name.RUNNER)
        await scene.begin(Name.RUNNER)
        await scenario.settle()


@RENEWED
async def test_a_reporter_that_can_not_reach_postgres(scene: Scene, renewed: Fault) -> None:
    async with scene.scenario("network stalls between reporter and Postgres") as scenario:
        url = scene.fleet.backends.database_url
        async with proxied(dialler(url)) as proxy:
            await scene.services.pop(Name.REPORTER).stop()
            await scene.begin(Name.REPORTER, HEADRACE_DATABASE_URL=through(url, proxy.port))
            await scenario.in_the_call(wanted=Wanted(calls=ONCE))
            proxy.stall()
            await scenario.now_under_way()
            scenario.release("two")
            await scenario.called("three")
            scenario.arm(renewed)
            await scenario.struck(renewed)
            proxy.flow()
            await scenario.settle()
            await scene.services.pop(Name.REPORTER).stop()
