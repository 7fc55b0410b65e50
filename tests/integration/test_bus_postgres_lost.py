"""A bus on a Postgres that it loses, or that loses it, without a word."""

import asyncio
from collections.abc import Callable, Sequence

from fixtures_bus import LEASE
from headrace.bus.open import open_bus
from headrace.bus.port import Delivery, events_queue
from headrace.bus.postgres.statements import SQL
from headrace.ids import new_id
from proxy import Dial, dialler, proxied, through

EVENTS = events_queue(0)


def noticing(database: str, notice: Callable[[bytes], None]) -> Dial:
    """How to reach the database; `notice` sees what is sent to it, before it does."""

    async def dial() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await dialler(database)()

        def write(data: bytes, send: Callable[[bytes], None] = writer.write) -> None:
            notice(data)
            send(data)

        setattr(writer, "write", write)  # noqa: B010 - mypy takes no other method for it
        return reader, writer

    return dial


async def ignore(_: Sequence[Delivery]) -> None:
    """Takes all."""


async def test_what_a_lost_machine_consumed_goes_to_another(database: str) -> None:
    """A partition's lock ends with its session. Postgres asks after the machine at its end, not after hours."""
    begun: list[bytes] = []
    async with proxied(noticing(database, begun.append)) as proxy:
        bus = await open_bus(through(database, proxy.port), partitions=1, namespace=f"{new_id()}.")
        await bus.consume_batches(EVENTS, ignore, 1)
        while not (consuming := [data for data in begun if b":partition/" in data]):
            await asyncio.sleep(0.02)  # nothing tells of a session
        await bus.close()
    assert all(b"tcp_keepalives_idle\0" in data for data in consuming)


async def test_a_bus_closes_whose_server_falls_silent_as_it_looks_for_the_dead(database: str) -> None:
    silent = asyncio.Event()

    def fall_silent(data: bytes) -> None:
        if SQL.lock_lapsed_consumers.encode()[:60] in data:
            proxy.stall()
            silent.set()

    async with proxied(noticing(database, fall_silent)) as proxy:
        bus = await open_bus(
            through(database, proxy.port), partitions=1, namespace=f"{new_id()}.", lease=LEASE
        )
        await bus.consume_batches(EVENTS, ignore, 1)
        await silent.wait()
        closing = asyncio.create_task(bus._presence.close())
        for _ in range(3):
            await asyncio.sleep(0)  # it asks for the rollback
        proxy.cut()
        async with asyncio.timeout(30):
            await closing
        await proxy.stop()
        await bus.close()
