"""The relay when the world moves while it publishes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from fixtures_claims import World
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, Bus, Depth, Outgoing
from headrace.ids import new_id
from headrace.messages import Event, Job
from headrace.postgres.listen import DISPATCH_CHANNEL, ROOM, Listener
from headrace.workflow.state import EventKind
from headrace_control.dispatch.relay import KNOWN_SECONDS, Relay


class ParkingBus:
    """The real bus; before it confirms the first job to the relay, the run has been claimed and has parked."""

    def __init__(self, bus: Bus, world: World, tenant: UUID) -> None:
        self._bus, self._world, self._tenant = bus, world, tenant
        self.sent: list[UUID] = []
        self.confirmed = asyncio.Event()

    async def depth(self, queue: str) -> Depth:
        return await self._bus.depth(queue)

    async def publish(self, messages: Sequence[Outgoing], timeout: float = 10.0) -> None:
        await self._bus.publish(messages, timeout)
        jobs = [Job.decode(message.body) for message in messages]
        self.sent += [job.dispatch_id for job in jobs]
        for job in jobs:
            claim = (await self._world.claim(new_id(), (job.run_id, job.dispatch_id)))["claims"][0]
            assert claim["outcome"] == "GRANTED"
            now = await self._world.admin.fetchval("SELECT now()")
            data = {"reason": "RETRY", "resumeAt": "2031-01-01T00:00:00+00:00"}
            parked = Event(self._tenant, job.run_id, 1, 1, EventKind.PARKED, now, None, data)
            await self._world.applier.apply([parked])
        self.confirmed.set()


async def test_a_park_before_the_confirm_keeps_its_own_dispatch(world: World, database: str) -> None:
    """rule relay_deletes_what_it_sent: by dispatch id; marked by run, the run would never be looked at again."""
    tenant = await world.tenant("one")
    run, dispatch = await world.queued(tenant, sent=False)
    bus = await open_bus(database, partitions=1)
    listener = Listener(database)
    parking = ParkingBus(bus, world, tenant)
    relay = Relay(world.pool, parking, listener, 10)  # type: ignore[arg-type]
    await listener.start()
    task = asyncio.create_task(relay.run())
    try:
        async with asyncio.timeout(20):
            await parking.confirmed.wait()
            # The relay's next cycle takes its turn after the commit of this one.
            async with world.pool.acquire() as db, db.transaction():
                await db.execute("SELECT pg_advisory_xact_lock(hashtext('headrace_relay'))")
                rows = await db.fetch("SELECT id, sent_at FROM dispatches WHERE run_id = $1", run)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await listener.close()
        await bus.close()
    assert parking.sent == [dispatch]
    ((current, sent_at),) = rows
    assert current != dispatch
    assert sent_at is None


class AskedBus:
    """The real bus; counts how often the relay asks for its depth."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.asked = 0
        self._news = asyncio.Event()
        self.published = asyncio.Queue[UUID]()

    async def asked_again(self, times: int) -> None:
        """Wait until the depth was asked for so often more."""
        wanted = self.asked + times
        while self.asked < wanted:
            self._news.clear()
            await self._news.wait()

    async def depth(self, queue: str) -> Depth:
        self.asked += 1
        self._news.set()
        return await self._bus.depth(queue)

    async def publish(self, messages: Sequence[Outgoing], timeout: float = 10.0) -> None:
        await self._bus.publish(messages, timeout)
        for message in messages:
            self.published.put_nowait(Job.decode(message.body).run_id)


@contextlib.asynccontextmanager
async def relaying(world: World, database: str, window: int) -> AsyncIterator[AskedBus]:
    bus = await open_bus(database, partitions=1)
    listener = Listener(database)
    asked = AskedBus(bus)
    # Of a bus, the relay asks and publishes alone.
    relay = Relay(world.pool, asked, listener, window)  # type: ignore[arg-type]
    await listener.start()
    task = asyncio.create_task(relay.run())
    try:
        async with asyncio.timeout(20):
            await asked.asked_again(1)  # its first cycle finds nothing to send
            yield asked
            ready = (await bus.depth(JOBS)).ready
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await listener.close()
        await bus.close()
    assert ready <= window


async def start(world: World, tenant: UUID) -> UUID:
    run, _ = await world.queued(tenant, sent=False)
    await world.admin.execute("SELECT pg_notify($1, '')", DISPATCH_CHANNEL)
    return run


async def test_runs_that_come_one_by_one_do_not_wait_for_the_depth(world: World, database: str) -> None:
    tenant = await world.tenant("one")
    async with relaying(world, database, window=200) as bus:
        before, began = bus.asked, asyncio.get_running_loop().time()
        for _ in range(20):
            run = await start(world, tenant)
            assert await bus.published.get() == run
        lasted = asyncio.get_running_loop().time() - began
        assert bus.asked - before <= 1 + lasted / KNOWN_SECONDS


async def test_a_window_that_nobody_takes_from_is_not_overrun_one_by_one(world: World, database: str) -> None:
    tenant = await world.tenant("one")
    async with relaying(world, database, window=4) as bus:
        for _ in range(3):
            run = await start(world, tenant)
            assert await bus.published.get() == run
        for _ in range(5):
            await start(world, tenant)
        await bus.asked_again(3)  # it looks again and again, and sends nothing
        assert bus.published.empty()


async def test_a_free_place_begins_no_cycle_while_nothing_waits_for_one(world: World, database: str) -> None:
    tenant = await world.tenant("one", in_flight=1)
    async with relaying(world, database, window=200) as bus:
        first = await start(world, tenant)
        assert await bus.published.get() == first
        async with world.pool.acquire() as db, db.transaction():  # behind the commit of that cycle
            await db.execute("SELECT pg_advisory_xact_lock(hashtext('headrace_relay'))")
        # Not told: only a cycle that something else begins would find it.
        second, _ = await world.queued(tenant, sent=False)
        await world.admin.execute("DELETE FROM dispatches WHERE run_id = $1", first)
        await world.admin.execute("SELECT pg_notify($1, $2)", DISPATCH_CHANNEL, ROOM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                raise AssertionError(await bus.published.get())
        await world.admin.execute("SELECT pg_notify($1, '')", DISPATCH_CHANNEL)
        assert await bus.published.get() == second
        third = await start(world, tenant)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                raise AssertionError(await bus.published.get())
        # Held back by the tenant's limit, and the relay knows: now a place is news.
        await world.admin.execute("DELETE FROM dispatches WHERE run_id = $1", second)
        await world.admin.execute("SELECT pg_notify($1, $2)", DISPATCH_CHANNEL, ROOM)
        assert await bus.published.get() == third
