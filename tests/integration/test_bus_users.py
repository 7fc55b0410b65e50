"""The broker's users as deploy/compose defines them: each service does its work, and nothing of another's."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import aio_pika
import pytest
from aiormq.exceptions import ChannelAccessRefused
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, LOGS, Delivery, Outgoing, events_queue, holds_jobs, jobs_queue
from servers import local, missing

DEFINITIONS = Path(__file__).parents[2] / "deploy" / "compose" / "rabbitmq-definitions.json"
SERVICES = ("control-plane", "runner", "reporter")


@pytest.fixture
def urls(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """The address of a broker for each service."""
    rabbitmq = local("rabbitmq")
    if not rabbitmq.program():
        missing("no rabbitmq server: python deploy/local install rabbitmq")
    written = DEFINITIONS.read_text()
    for service in SERVICES:
        written = written.replace(f"@{service}@", f"password-of-{service}")
    (tmp_path / "definitions.json").write_text(written)
    with rabbitmq.running(data=tmp_path / "data") as url:
        rabbitmq.control(tmp_path / "data", "import_definitions", str(tmp_path / "definitions.json"))
        place = url.partition("@")[2]
        yield {service: f"amqp://{service}:password-of-{service}@{place}" for service in SERVICES}


async def heard(queue: str, reader: str, writer: str) -> bytes:
    """What a service hears in `queue` when another one publishes there."""
    body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def one(delivery: Delivery) -> None:
        body.set_result(delivery.body)

    async def batch(deliveries: Sequence[Delivery]) -> None:
        body.set_result(deliveries[0].body)

    reading, writing = await open_bus(reader, partitions=1), await open_bus(writer, partitions=1)
    consumption = await (
        reading.consume(queue, one, 1)
        if queue == LOGS or holds_jobs(queue)
        else reading.consume_batches(queue, batch, 1)
    )
    await writing.publish([Outgoing(queue, b"hello")])
    async with asyncio.timeout(20):
        said = await body
    await consumption.close(5)
    await reading.close()
    await writing.close()
    return said


@pytest.mark.rabbitmq
async def test_each_service_does_its_own_work_and_no_others(urls: Mapping[str, str]) -> None:
    control_plane, runner, reporter = (urls[service] for service in SERVICES)
    maker = await open_bus(control_plane, partitions=1)  # makes the queues
    await maker.add_pool("eu")
    await maker.close()
    for queue, reader, writer in (
        (JOBS, runner, control_plane),
        (jobs_queue("eu"), runner, control_plane),
        (events_queue(0), reporter, runner),
        (LOGS, reporter, runner),
    ):
        assert await heard(queue, reader, writer) == b"hello"
    for url, foreign in ((runner, (LOGS, "dead", events_queue(0))), (reporter, (JOBS, "dead"))):
        connection = await aio_pika.connect(url)
        for queue in foreign:
            channel = await connection.channel()
            with pytest.raises(ChannelAccessRefused):
                await (await channel.get_queue(queue, ensure=False)).get(fail=False)
            channel = await connection.channel()
            with pytest.raises(ChannelAccessRefused):
                await channel.queue_delete(queue)
        for name in ("made-up", JOBS):
            channel = await connection.channel()
            with pytest.raises(ChannelAccessRefused):
                await channel.declare_queue(name, durable=True)
        await connection.close()
