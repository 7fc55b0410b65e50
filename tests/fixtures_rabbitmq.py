"""A RabbitMQ server for tests, and a namespace on it per test."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import servers
from headrace.bus.names import Names
from rabbitmq_queues import PARTITIONS, delete_queues


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """HEADRACE_TEST_RABBITMQ_URL, else Debian's server run from deploy/local, else a container."""
    with servers.running("rabbitmq", _container) as url:
        yield url


@pytest.fixture
async def rabbitmq_namespace(rabbitmq_url: str) -> AsyncIterator[str]:
    """For `open_bus(rabbitmq_url, namespace=...)` with up to `PARTITIONS` partitions; emptied afterwards."""
    namespace = f"test-{uuid.uuid4().hex[:12]}."
    yield namespace
    await delete_queues(rabbitmq_url, Names(PARTITIONS, namespace))


@contextlib.contextmanager
def _container() -> Iterator[str]:
    from testcontainers.rabbitmq import RabbitMqContainer

    with RabbitMqContainer("rabbitmq:4") as container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(5672)
        yield f"amqp://guest:guest@{host}:{port}/%2F"
