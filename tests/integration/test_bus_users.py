"""The broker's users as deploy/compose defines them: each service does its work, and nothing of another's."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import aio_pika
import pytest
from aiormq.exceptions import ChannelAccessRefused
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, LOGS, Delivery, Outgoing, events_queue, holds_jobs, jobs_queue
from headrace.errors import BusUnavailable, Forbidden, ForeignQueues
from headrace.ids import new_id
from servers import local, missing

DEFINITIONS = Path(__file__).parents[2] / "deploy" / "compose" / "rabbitmq-definitions.json"
# Within the expressions of what may be configured, written and read.
MARK = r"|headrace\\.deployment(\\.[0-9a-f-]+)?"
SERVICES = ("control-plane", "runner", "reporter")


@pytest.fixture
def urls(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """The address of a broker for each service."""
    with broker_of(DEFINITIONS.read_text(), tmp_path) as urls:
        yield urls


@contextlib.contextmanager
def broker_of(definitions: str, folder: Path) -> Iterator[Mapping[str, str]]:
    rabbitmq = local("rabbitmq")
    if not rabbitmq.program():
        missing("no rabbitmq server: python deploy/local install rabbitmq")
    for service in SERVICES:
        definitions = definitions.replace(f"@{service}@", f"password-of-{service}")
    (folder / "definitions.json").write_text(definitions)
    with rabbitmq.running(data=folder / "data") as url:
        rabbitmq.control(folder / "data", "import_definitions", str(folder / "definitions.json"))
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


@pytest.mark.rabbitmq
async def test_the_control_plane_marks_whose_the_queues_are_and_the_others_go_by_it(
    urls: Mapping[str, str],
) -> None:
    control_plane, *others = (urls[service] for service in SERVICES)
    ours, theirs = new_id(), new_id()
    for url in others:
        with pytest.raises(BusUnavailable, match="a control plane makes it"):
            await open_bus(url, partitions=1, deployment=ours)
    opened = [await open_bus(url, partitions=1, deployment=ours) for url in (control_plane, *others)]
    for url in urls.values():
        with pytest.raises(ForeignQueues):
            await open_bus(url, partitions=1, deployment=theirs)
    for url in others:
        bus = await open_bus(url, partitions=1)
        with pytest.raises(Forbidden, match="the control plane's"):
            await bus.own(theirs, anyway=True)
        await bus.close()
    operator = await open_bus(control_plane, partitions=1)
    assert await operator.own(theirs, anyway=True)
    opened.append(operator)
    for url in others:
        opened.append(await open_bus(url, partitions=1, deployment=theirs))
        with pytest.raises(ForeignQueues):
            await open_bus(url, partitions=1, deployment=ours)
    await asyncio.gather(*(bus.close() for bus in opened))


@pytest.mark.rabbitmq
async def test_users_of_the_release_before_go_on_with_queues_that_are_not_marked(tmp_path: Path) -> None:
    """They have no permission for the mark."""
    with broker_of(DEFINITIONS.read_text().replace(MARK, ""), tmp_path) as urls:
        for url in urls.values():
            bus = await open_bus(url, partitions=1, deployment=(deployment := new_id()))
            assert not await bus.own(deployment)
            await bus.ping()
            await bus.close()
