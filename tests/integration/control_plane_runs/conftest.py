"""The whole public application over a real database, asked over HTTP and websockets on loopback."""

import asyncio
import base64
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import uvicorn
from databases import migrated_database, with_database
from fastapi import FastAPI
from headrace.logstore.open import open_log_store
from headrace.logstore.port import LogStore
from headrace.postgres.listen import Listener
from headrace.postgres.pool import API, WORKER, open_pool
from headrace.refusals.audit import Refusals
from headrace_control.app import create_app
from headrace_control.callbacks.service import CallbackService
from headrace_control.compose import compose
from headrace_control.settings import ControlPlaneSettings
from headrace_control.tenants.service import bootstrap
from headrace_control.vault.keys import OwnKeys
from headrace_control.vault.vault import Vault
from headrace_control.waits.payloads import Payloads
from headrace_reporter.apply import Applier
from loopback import loopback
from no_signals import no_signals
from pydantic import SecretStr

from tests.integration.control_plane_runs.acting import Client, Fleet, design, new_tenant

# Made once: reading the authorities takes longer than many a test.
_TLS = httpx.create_ssl_context()


@pytest.fixture
async def log_store(database: str) -> AsyncIterator[LogStore]:
    store = await open_log_store(database, retention=timedelta(days=1))
    yield store
    await store.close()


@pytest.fixture(scope="session")
def keys() -> dict[str, str]:
    """The API keys of the tenants in the template, by tenant."""
    return {}


@pytest.fixture(scope="session")
def master_key() -> bytes:
    return secrets.token_bytes(32)


@pytest.fixture(scope="session")
def postgres(older_postgres: str) -> str:
    """What these tests ask for is nearly all of the API's SQL. They have the older server, all others the newest."""
    return older_postgres


@pytest.fixture(scope="session")
def template(postgres: str, keys: dict[str, str], master_key: bytes) -> str:
    """A database with the newest schema and two tenants, each with apps, actions, connections and a secret."""

    async def make() -> str:
        name = await migrated_database(postgres)
        dsn = with_database(postgres, name)
        store = await open_log_store(dsn, retention=timedelta(days=1))
        async with serving(dsn, store, master_key) as http, await open_pool(dsn) as owner:
            platform = Client(http, (await bootstrap(owner, "platform")).key.text)
            keys["platform"] = platform.key
            for tenant in ("acme", "stranger"):
                client = await new_tenant(platform, tenant)
                await design(client)
                keys[tenant] = client.key
        await store.close()
        return name

    return asyncio.run(make())


@pytest.fixture
def egress() -> Path | None:
    """The operator's egress policy."""
    return None


@pytest.fixture
async def http(
    database: str, log_store: LogStore, master_key: bytes, egress: Path | None
) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(database, log_store, master_key, egress) as client:
        yield client


@contextlib.asynccontextmanager
async def serving(
    database: str, log_store: LogStore, key: bytes, egress: Path | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which listens on loopback."""
    pool, listener = await open_pool(database, API, max_size=25), Listener(database)
    workers = await open_pool(database, WORKER, max_size=2)
    composed = compose(_settings(database, key, egress), pool, workers, listener, log_store, no_signals())
    app = create_app(composed.services, composed.authenticator, {})
    await listener.start()
    with loopback() as listening:
        async with _served(app, listening):
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, verify=_TLS) as client:
                yield client
    await composed.close()
    await listener.close()
    await workers.close()
    await pool.close()


@contextlib.asynccontextmanager
async def _served(app: FastAPI, listening: socket.socket) -> AsyncIterator[None]:
    """uvicorn without its loop, which looks ten times a second whether it is to end: so would every test."""
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="websockets-sansio")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])
    yield
    for accepting in server.servers:
        accepting.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    while server.server_state.tasks:
        await asyncio.wait(server.server_state.tasks)


def _settings(database: str, key: bytes, egress: Path | None) -> ControlPlaneSettings:
    return ControlPlaneSettings(
        database_url=database,
        bus_url=database,
        log_store_url=database,
        runner_token=SecretStr(secrets.token_hex(16)),
        key=SecretStr(base64.b64encode(key).decode()),
        egress_policy_file=egress,
    )


@pytest.fixture
async def admin(database: str) -> AsyncIterator[asyncpg.Connection]:
    """The database's owner, for what no API does."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def fleet(database: str, admin: asyncpg.Connection) -> AsyncIterator[Fleet]:
    pool = await open_pool(database, WORKER)
    yield Fleet(admin, Applier(pool, Refusals(pool).note))
    await pool.close()


@pytest.fixture
def acme(http: httpx.AsyncClient, keys: dict[str, str]) -> Client:
    """The admin of a tenant that has what the document `orders` refers to."""
    return Client(http, keys["acme"])


@pytest.fixture
def platform(http: httpx.AsyncClient, keys: dict[str, str]) -> Client:
    """The platform's first key, an admin's."""
    return Client(http, keys["platform"])


@pytest.fixture
def stranger(http: httpx.AsyncClient, keys: dict[str, str]) -> Client:
    """The admin of another such tenant."""
    return Client(http, keys["stranger"])


@pytest.fixture
async def refusals(database: str) -> AsyncIterator[Refusals]:
    async with await open_pool(database, API) as pool:
        yield Refusals(pool)


@pytest.fixture
async def callbacks(database: str, master_key: bytes, refusals: Refusals) -> Any:
    """As the internal API has it, beside the application under test."""
    pool = await open_pool(database, API)
    base = "https://headrace.example.com"
    yield CallbackService(pool, Vault(OwnKeys([master_key])), Payloads(), base, refusals.note)
    await pool.close()
