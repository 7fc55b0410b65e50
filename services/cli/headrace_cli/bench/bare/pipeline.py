"""The way of a run without a product around it: a job, three calls, a durable status after each, rows in Postgres.

    python -m headrace_cli.bench.bare.pipeline runner BUS NAMESPACE TARGET
    python -m headrace_cli.bench.bare.pipeline reporter BUS NAMESPACE DSN

As quick as these servers let it be: quorum queues, statuses of many runs in one message, one flush in flight, many
acknowledged at once, rows written with unnest. A step begins when the status of the one before is confirmed. There are
no tenants, claims, epochs, credentials, schemas, expressions or logs.
"""

import asyncio
import sys
from dataclasses import dataclass

import aio_pika
import aiohttp
import asyncpg
import orjson
import uvloop
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

JOBS, STATUSES = "bare.jobs", "bare.statuses"
TABLE = "CREATE TABLE bare_steps (run bigint, step int, output jsonb, PRIMARY KEY (run, step))"
DONE_CHANNEL = "bare_done"
READY = "ready"
_RUNNER_HOLDS, _REPORTER_HOLDS = 200, 200
_STEPS = ("one", "two", "three")
_WRITE = """WITH written AS (INSERT INTO bare_steps SELECT run, step, output::jsonb
    FROM unnest($1::bigint[], $2::int[], $3::text[]) AS s (run, step, output) ON CONFLICT DO NOTHING)
    SELECT pg_notify($4, '')"""


class Acks:
    """Acknowledges deliveries of one channel up to the last one before which nothing is under way."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self._done: set[int] = set()
        self._last = self._sent = 0

    def done(self, message: AbstractIncomingMessage) -> None:
        self._done.add(message.delivery_tag or 0)
        while self._last + 1 in self._done:
            self._last += 1
            self._done.discard(self._last)

    async def send(self) -> None:
        if self._last > self._sent:
            self._sent = self._last
            underlay = await self._channel.get_underlay_channel()
            await underlay.basic_ack(self._last, multiple=True)


@dataclass(slots=True)
class _Status:
    row: tuple[int, int, str]
    confirmed: asyncio.Future[None]


class Statuses:
    """Publishes what has gathered while the flush before was under way."""

    def __init__(self, channel: AbstractChannel, queue: str, acks: Acks) -> None:
        self._channel, self._queue, self._acks = channel, queue, acks
        self._gathered: list[_Status] = []
        self._some = asyncio.Event()

    async def add(self, run: int, step: int, output: str) -> None:
        """Returns when the broker has it for good."""
        status = _Status((run, step, output), asyncio.get_running_loop().create_future())
        self._gathered.append(status)
        self._some.set()
        await status.confirmed

    async def flush(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            batch, self._gathered = self._gathered, []
            if batch:
                message = aio_pika.Message(
                    orjson.dumps([status.row for status in batch]),
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                )
                await self._channel.default_exchange.publish(message, self._queue)
                for status in batch:
                    status.confirmed.set_result(None)
            await self._acks.send()

    def wake(self) -> None:
        self._some.set()


async def runner(bus: str, namespace: str, target: str) -> None:
    connection = await aio_pika.connect(bus)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=_RUNNER_HOLDS)
    jobs = await channel.get_queue(namespace + JOBS)
    acks = Acks(channel)
    statuses = Statuses(channel, namespace + STATUSES, acks)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(target, connector=connector) as http:

        async def run(message: AbstractIncomingMessage) -> None:
            job = orjson.loads(message.body)
            n = job["n"]
            for place, name in enumerate(_STEPS, start=1):
                async with http.post(f"/0/0/{name}", data=orjson.dumps({"n": n})) as answer:
                    body = orjson.loads(await answer.read())
                n = body["n"]
                await statuses.add(
                    job["run"], place, orjson.dumps({"status": answer.status, "body": body}).decode()
                )
            acks.done(message)
            statuses.wake()

        await jobs.consume(run)
        _say_ready()
        await statuses.flush()


async def reporter(bus: str, namespace: str, dsn: str) -> None:
    db = await asyncpg.connect(dsn)
    connection = await aio_pika.connect(bus)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=_REPORTER_HOLDS)
    acks = Acks(channel)
    gathered: list[AbstractIncomingMessage] = []
    some = asyncio.Event()

    async def take(message: AbstractIncomingMessage) -> None:
        gathered.append(message)
        some.set()

    await (await channel.get_queue(namespace + STATUSES)).consume(take)
    _say_ready()
    while True:
        await some.wait()
        some.clear()
        batch, gathered = gathered, []
        rows = [row for message in batch for row in orjson.loads(message.body)]
        await db.execute(_WRITE, *(list(column) for column in zip(*rows, strict=True)), DONE_CHANNEL)
        for message in batch:
            acks.done(message)
        await acks.send()


def _say_ready() -> None:
    sys.stdout.write(orjson.dumps({"event": READY, "level": "info"}).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run({"runner": runner, "reporter": reporter}[sys.argv[1]](*sys.argv[2:5]))
