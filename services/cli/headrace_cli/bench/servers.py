"""Where a measured deployment keeps things: the two profiles of it."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import aiormq
import asyncpg
from headrace.bus.names import Names
from headrace.errors import InvalidInput, Problem
from pymongo import AsyncMongoClient

from headrace_cli.bench.meter import DRIVER, Depths, listener
from headrace_cli.embedded_postgres import running_postgres

# As a deployment has it that says nothing else.
PARTITIONS = 4


class ProfileName(StrEnum):
    """Postgres alone, or Postgres with RabbitMQ and a MongoDB."""

    EMBEDDED = "embedded"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Servers:
    """Addresses, which may hold passwords; and the processes behind them that run on this machine."""

    profile: ProfileName
    database_url: str = field(repr=False)
    bus_url: str = field(repr=False)
    log_store_url: str = field(repr=False)
    namespace: str = ""
    pids: Mapping[str, int] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def servers(
    profile: ProfileName, bus_url: str | None, log_store_url: str | None, folder: Path
) -> AsyncIterator[Servers]:
    """A Postgres of our own and, in the production profile, a namespace on the broker and a database on the log store
    that were given; both are emptied afterwards. Raises `InvalidInput` where one of them was not."""
    if profile is ProfileName.PRODUCTION and not (bus_url and log_store_url):
        mend = (
            "pass --bus-url and --log-store-url, or run it by `python deploy/local run -- headrace bench ...`"
        )
        raise InvalidInput([Problem("profile", "the production profile needs RabbitMQ and MongoDB", mend)])
    with running_postgres(folder / "postgres") as dsn:
        postgres = int((folder / "postgres" / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        if profile is ProfileName.EMBEDDED or not (bus_url and log_store_url):
            yield Servers(ProfileName.EMBEDDED, dsn, dsn, dsn, pids={"postgres": postgres})
            return
        name = f"bench-{uuid.uuid4().hex[:12]}"
        store = urlunsplit(urlsplit(log_store_url)._replace(path=f"/{name}"))
        found = {
            "postgres": postgres,
            "rabbitmq": listener(bus_url),
            "log-store": listener(log_store_url),
        }
        pids = {name: pid for name, pid in found.items() if pid is not None}
        try:
            yield Servers(profile, dsn, bus_url, store, f"{name}.", pids)
        finally:
            await _delete_queues(bus_url, Names(PARTITIONS, f"{name}."))
            async with AsyncMongoClient[dict[str, object]](log_store_url) as client:
                await client.drop_database(name)


@contextlib.asynccontextmanager
async def depths(servers: Servers) -> AsyncIterator[Depths]:
    """Asks how many messages stand ready in each queue, and how many dispatches are due (`due`)."""
    async with contextlib.AsyncExitStack() as stack:
        db = await asyncpg.connect(servers.database_url, server_settings={"application_name": DRIVER})
        stack.push_async_callback(db.close)
        names = Names(PARTITIONS, servers.namespace)

        async def due() -> dict[str, int]:
            return {
                "due": await db.fetchval(
                    "SELECT count(*) FROM dispatches WHERE sent_at IS NULL AND due_at <= headrace_now()"
                )
            }

        if servers.profile is ProfileName.EMBEDDED:

            async def of_postgres() -> dict[str, int]:
                rows = await db.fetch("SELECT queue, count(*) FROM bus_messages GROUP BY queue")
                return {_kind(queue): count for queue, count in rows} | await due()

            yield of_postgres
            return
        connection = await stack.enter_async_context(await aio_pika.connect(servers.bus_url))
        channel = await connection.channel()

        async def of_rabbitmq() -> dict[str, int]:
            found: dict[str, int] = {}
            for queue in names.queues():
                declared = await channel.declare_queue(names.outside(queue), passive=True)
                ready = declared.declaration_result.message_count or 0
                found[_kind(queue)] = found.get(_kind(queue), 0) + ready
            return found | await due()

        yield of_rabbitmq


def _kind(queue: str) -> str:
    """Partitions of events count as one."""
    return queue.split(".", 1)[0]


async def _delete_queues(url: str, names: Names) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for queue in names.queues():
            with contextlib.suppress(aiormq.exceptions.ChannelClosed):
                await channel.queue_delete(names.outside(queue))
        await channel.exchange_delete(names.mark)
