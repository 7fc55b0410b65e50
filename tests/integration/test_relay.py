"""The relay when the world moves while it publishes."""

import asyncio
import contextlib
from collections.abc import Sequence
from uuid import UUID

from fixtures_claims import World
from headrace.bus.open import open_bus
from headrace.bus.port import Bus, Depth, Outgoing
from headrace.ids import new_id
from headrace.messages import Event, Job
from headrace.postgres.listen import Listener
from headrace.workflow.state import EventKind
from headrace_control.dispatch.relay import Relay


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
