"""What goes wrong without a death at a bad moment: answers and jobs lost or doubled, slowness, clocks, leaving."""

import asyncio
from uuid import UUID

import aio_pika
import asyncpg
import pytest
from aiohttp import web
from headrace.bus.names import Names
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, Outgoing
from headrace.ids import new_id
from headrace.messages import Job
from target import Call

from tests.faults.fault import Fault, Name, What, When
from tests.faults.kills import ONCE
from tests.faults.ledger import Wanted
from tests.faults.scene import Scene

pytestmark = pytest.mark.asyncio(loop_scope="session")

production = pytest.mark.parametrize("scene", ["production"], indirect=True)
both = pytest.mark.parametrize("scene", ["production", "embedded"], indirect=True)

BEFORE, AFTER = When.BEFORE, When.AFTER
RABBITMQ = "headrace.bus.rabbitmq.bus:RabbitmqBus.publish"
CLAIMS = "headrace_runner.control_plane:ControlPlane.claims"
RENEW = "headrace_runner.lease:Lease.renew"
PUBLISH = "headrace_runner.reporting:Reporting._publish"
LEAVE = "headrace.postgres.pool:commit"
CANCEL = "headrace_control.runs.service:RunService.cancel"
UNAVAILABLE = "headrace.errors:Unavailable"
BUS_UNAVAILABLE = "headrace.errors:BusUnavailable"


def lost(service: Name, place: str, error: str, *given: str) -> Fault:
    """It was done, and who asked for it does not hear so."""
    return Fault(service, place, AFTER, 1, What.RAISE, given, error=error)


UNSENT = Fault(
    Name.RUNNER, RABBITMQ, BEFORE, 1, What.RAISE, ("events.", '"completed"'), error=BUS_UNAVAILABLE
)


@production
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lost(Name.RUNNER, CLAIMS, UNAVAILABLE), id="answer to a claim"),
        pytest.param(lost(Name.RUNNER, RABBITMQ, BUS_UNAVAILABLE, '"started"'), id="confirm of a start"),
        pytest.param(lost(Name.RUNNER, RABBITMQ, BUS_UNAVAILABLE, '"completed"'), id="confirm of a result"),
        pytest.param(lost(Name.RUNNER, RABBITMQ, BUS_UNAVAILABLE, '"finished"'), id="confirm of the end"),
        pytest.param(UNSENT, id="result"),
        pytest.param(lost(Name.CONTROL_PLANE, RABBITMQ, BUS_UNAVAILABLE), id="confirm of a job"),
    ],
)
async def test_something_is_lost_on_its_way_back(
    scene: Scene, fault: Fault, request: pytest.FixtureRequest
) -> None:
    what = request.node.callspec.id.partition("-production")[0].removeprefix("production-")
    async with scene.scenario(f"lost: {what}") as scenario:
        scenario.arm(fault)
        scenario.begin(count=3, wanted=Wanted(calls=ONCE))
        await scenario.struck(fault)
        await scenario.settle()


@production
async def test_jobs_that_the_broker_lost_are_sent_again(scene: Scene) -> None:
    async with scene.scenario("sent jobs lost by the broker") as scenario:
        await scenario.kill(Name.RUNNER)
        scenario.begin(count=5, wanted=Wanted(calls=ONCE))
        await scenario.begun()
        backends = scene.fleet.backends
        queue = Names(2, backends.namespace).outside(JOBS)
        async with await aio_pika.connect(backends.bus_url) as connection:
            jobs = await (await connection.channel()).declare_queue(queue, passive=True)
            purged = 0
            while purged < 5:
                purged += (await jobs.purge()).message_count or 0
        await scenario.now_under_way()
        await scene.begin(Name.RUNNER)
        await scenario.settle()


@both
async def test_jobs_come_doubled_stale_and_out_of_order(scene: Scene) -> None:
    async with scene.scenario("jobs doubled, stale and reordered") as scenario:
        scenario.hold("two")
        scenario.begin(count=5, wanted=Wanted(calls=ONCE))
        await scenario.called("two", 5)
        runs = await scenario.begun()
        await scene.begin(Name.RUNNER)  # beside the one that holds them
        await scenario.now_under_way()
        await send_copies(scene, runs)
        scenario.release("two")
        await scenario.arrived()
        await send_copies(scene, runs[::-1])
        scenario.begin(count=2, wanted=Wanted(calls=ONCE))
        await scenario.settle()


async def send_copies(scene: Scene, runs: list[str]) -> None:
    """Ten jobs of every run, half of them of no dispatch that there is."""
    backends = scene.fleet.backends
    database = await asyncpg.connect(backends.database_url)
    rows = await database.fetch(
        "SELECT id, tenant_id, dispatch_id FROM runs WHERE id = ANY($1)", [UUID(run_id) for run_id in runs]
    )
    await database.close()
    jobs = [
        Job(row["tenant_id"], row["id"], row["dispatch_id"] if n % 2 else new_id())
        for n in range(10)
        for row in rows
    ]
    bus = await open_bus(backends.bus_url, partitions=2, namespace=backends.namespace)
    await bus.publish([Outgoing(JOBS, job.encode()) for job in jobs])
    await bus.close()


@production
@pytest.mark.parametrize(
    "renewed", [pytest.param(Fault(Name.RUNNER, RENEW, AFTER, 8, What.DELAY), id="renewals")]
)
async def test_a_slow_target_costs_nobody_the_lease(scene: Scene, renewed: Fault) -> None:
    async with scene.scenario("target slower than two leases") as scenario:
        await scenario.in_the_call(wanted=Wanted(calls=ONCE))
        await scene.begin(Name.RUNNER)  # there is another that would take it
        scenario.arm(renewed)
        await scenario.struck(renewed)
        scenario.release("two")
        await scenario.settle()


def unavailable_at_first(scene: Scene, step: str) -> None:
    """The first call of each run is answered with 503."""
    seen: set[bytes] = set()

    async def answer(call: Call) -> web.StreamResponse:
        first = call.body not in seen
        seen.add(call.body)
        return web.json_response({}, status=503 if first else 200)

    scene.target.answers[f"/{step}"] = answer


@production
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(Name.RUNNER, PUBLISH, BEFORE, given=('"parked"',)), id="before"),
        pytest.param(Fault(Name.RUNNER, PUBLISH, AFTER, given=('"parked"',)), id="after"),
    ],
)
async def test_a_runner_is_killed_as_its_run_parks(scene: Scene, fault: Fault) -> None:
    # Before: that the first attempt failed may be lost with its runner.
    calls = {"one": 1, "three": 1} if fault.when is BEFORE else {"one": 1, "two": 2, "three": 1}
    async with scene.scenario(f"runner killed {fault.when} its park is published") as scenario:
        unavailable_at_first(scene, "two")
        scenario.arm(fault)
        scenario.begin("later", wanted=Wanted(calls=calls))
        await scenario.struck(fault)
        await scene.begin(Name.RUNNER)
        await scenario.settle()


@production
@pytest.mark.parametrize(
    "fault", [pytest.param(Fault(Name.CONTROL_PLANE, LEAVE, AFTER, within=CANCEL), id="cancel")]
)
async def test_a_cancel_outlives_the_control_plane_and_the_runner(scene: Scene, fault: Fault) -> None:
    async with scene.scenario("control plane killed after a cancel's commit, then the runner") as scenario:
        wanted = Wanted("CANCELED", calls={"one": 1, "two": 1, "three": 0})
        run_id = await scenario.in_the_call(wanted=wanted)
        scenario.arm(fault)
        asking = asyncio.create_task(ask_to_cancel(scene, run_id))
        await scenario.struck(fault)
        await asyncio.gather(asking, return_exceptions=True)
        await scenario.kill(Name.RUNNER)
        await scene.begin(Name.CONTROL_PLANE)
        await scene.begin(Name.RUNNER)
        await scenario.settle()


async def ask_to_cancel(scene: Scene, run_id: str) -> None:
    await scene.fleet.graphql("mutation ($id: ID!) { cancelRun(id: $id) { __typename } }", id=run_id)


@both
async def test_a_runner_that_leaves_hands_its_runs_over(scene: Scene) -> None:
    async with scene.scenario("runner asked to leave in the middle of runs") as scenario:
        scenario.hold("two")
        scenario.begin(count=5, wanted=Wanted(calls=ONCE))
        await scenario.called("two", 5)
        leaving = scene.services[Name.RUNNER]
        # Before the first one is asked: what is left of its time to leave is for its calls alone.
        await scene.begin(Name.RUNNER)
        ended = asyncio.create_task(leaving.stop())
        await scenario.now_under_way()
        scenario.release("two")
        assert await ended == 0
        await scenario.settle()


@production
async def test_a_runner_that_may_not_wait_any_longer_leaves_its_calls(scene: Scene) -> None:
    async with scene.scenario("runner whose time to leave runs out in a call") as scenario:
        await scene.services.pop(Name.RUNNER).stop()
        await scene.begin(Name.RUNNER, HEADRACE_DRAIN_SECONDS="0.5")
        await scenario.in_the_call(wanted=Wanted(calls={"one": 1, "two": 2, "three": 1}))
        leaving = scene.services.pop(Name.RUNNER)
        await scenario.now_under_way()
        assert await leaving.stop() == 0
        await scene.begin(Name.RUNNER)
        scenario.release("two")
        await scenario.settle()


@production
async def test_two_relays_share_the_work_and_one_dies(scene: Scene) -> None:
    async with scene.scenario("two relays at once, one killed") as scenario:
        await scene.fleet.another_control_plane()
        other = scene.fleet.services[-1]
        scenario.begin(count=40, wanted=Wanted(calls=ONCE))
        await scenario.called("one", 5)
        await other.kill()
        await scenario.now_under_way()
        await scenario.settle()


@production
async def test_the_clock_is_set_forward(scene: Scene) -> None:
    """By two hours, under everybody's feet: every lease is over, and every timer due."""
    async with scene.scenario("clock set forward by two hours") as scenario:
        unavailable_at_first(scene, "three")
        scenario.begin("in-an-hour", wanted=Wanted(calls={"one": 1, "two": 1, "three": 2}))
        (sleeper,) = await scenario.begun()
        async with asyncio.timeout(30):
            while (await scene.designer.run(sleeper))["status"] != "WAITING":
                await asyncio.sleep(0.1)  # nothing tells that it has parked
        scene.target.answers.clear()
        # Its lease is over before its time, and it may be taken over: by its own runner, from the same call.
        await scenario.in_the_call(wanted=Wanted(calls={"one": 1}))
        await scenario.now_under_way()
        await set_forward(scene)
        scenario.release("two")
        await scenario.settle()


async def set_forward(scene: Scene) -> None:
    """The database's clock, for every session: those that there are end, and the services open new ones."""
    database = await asyncpg.connect(scene.fleet.backends.database_url)
    name = await database.fetchval("SELECT current_database()")
    await database.execute(f"ALTER DATABASE \"{name}\" SET headrace.clock_offset = '2 hours'")
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await database.close()
