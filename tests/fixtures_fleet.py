"""A deployment per test, or per module of tests, on both profiles."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import pytest_asyncio
import warm_start
from databases import fresh_database
from fixtures_rabbitmq import delete_queues
from fleet import Backends, Fleet
from headrace.bus.names import Names
from pymongo import MongoClient
from target import Target

PARTITIONS = 2
PROFILES = ["embedded", "production"]


@pytest.fixture(params=PROFILES)
async def backends(request: pytest.FixtureRequest, database: str) -> AsyncIterator[Backends]:
    """Where a deployment of this test keeps things: a fresh database, and a namespace on shared servers."""
    async with backends_of(request, request.param, database) as backends:
        yield backends


@pytest.fixture
async def fleet(request: pytest.FixtureRequest, backends: Backends, tmp_path: Path) -> AsyncIterator[Fleet]:
    """A bare deployment: the test starts its services."""
    measured = request.node.get_closest_marker("bench") is not None
    warm = warm_start.possible() and not measured
    async with Fleet(backends, tmp_path, _settings(), warm=warm) as fleet:
        yield fleet


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PROFILES)
async def module_fleet(
    request: pytest.FixtureRequest, postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    """A bare deployment for all tests of a module, which starts its services and runs in the module's loop."""
    async with (
        fresh_database(postgres, template) as database,
        backends_of(request, request.param, database) as backends,
        Fleet(backends, tmp_path_factory.mktemp("fleet"), _settings()) as fleet,
    ):
        yield fleet


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with Target() as target:
        yield target


def _settings() -> dict[str, str]:
    return {"HEADRACE_PARTITIONS": str(PARTITIONS)}


@contextlib.asynccontextmanager
async def backends_of(request: pytest.FixtureRequest, profile: str, database: str) -> AsyncIterator[Backends]:
    """Where a deployment of `profile` keeps things; its queues and its log store are removed afterwards."""
    if profile == "embedded":
        yield Backends("embedded", database, database, database)
        return
    rabbitmq_url = request.getfixturevalue("rabbitmq_url")
    mongodb_url = request.getfixturevalue("mongodb_url")
    namespace = f"e2e-{uuid.uuid4().hex[:12]}."
    logs = f"{namespace[:-1].replace('-', '_')}_logs"
    parts = urlsplit(mongodb_url)
    log_store_url = urlunsplit(parts._replace(path=f"/{logs}"))
    try:
        yield Backends("production", database, rabbitmq_url, log_store_url, namespace)
    finally:
        await delete_queues(rabbitmq_url, Names(PARTITIONS, namespace, ("eu",)))
        with MongoClient(mongodb_url) as client:
            client.drop_database(logs)
