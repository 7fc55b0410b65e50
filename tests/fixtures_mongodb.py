"""A MongoDB-protocol server for tests, and a fresh database on it per test."""

import contextlib
import uuid
from collections.abc import Iterator

import pytest
import servers
from pymongo import MongoClient


@pytest.fixture(scope="session")
def mongodb_url() -> Iterator[str]:
    """HEADRACE_TEST_MONGODB_URL, else mongod or the FerretDB of deploy/local, else a container."""
    with servers.running("mongodb", _container) as url:
        yield url


@pytest.fixture
def mongodb_database(mongodb_url: str) -> Iterator[str]:
    """The URL of a database of this test alone."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    base, _, options = mongodb_url.partition("?")
    # FerretDB reads whole collections: on a busy machine ten seconds can be too few.
    yield f"{base.rstrip('/')}/{name}?{options or 'timeoutMS=60000'}"
    with MongoClient[dict[str, object]](mongodb_url) as client:
        client.drop_database(name)


@contextlib.contextmanager
def _container() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    ready = LogMessageWaitStrategy("Waiting for connections")
    with DockerContainer("mongo:7").with_exposed_ports(27017).waiting_for(ready) as container:
        yield f"mongodb://{container.get_container_host_ip()}:{container.get_exposed_port(27017)}/"
