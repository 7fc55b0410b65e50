"""Both HTTP faces of the control plane on real sockets of this process, over one database for a module's tests."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest_asyncio
from databases import fresh_database
from fastapi import FastAPI
from headrace.ids import new_id
from headrace.logstore.open import open_log_store
from headrace.postgres.listen import Listener
from headrace.postgres.pool import API, WORKER, Pool, open_pool
from headrace_control.app import create_app
from headrace_control.auth.roles import Role
from headrace_control.compose import Composed, compose
from headrace_control.dry_runs.taking import DryRunHandover
from headrace_control.graphql.view import MAX_BODY
from headrace_control.internal_api.app import create_internal_app
from headrace_control.internal_api.barrier import Barrier
from headrace_control.internal_api.calls import Calls
from headrace_control.internal_api.checkpoints import Checkpoints
from headrace_control.internal_api.claims import Claims
from headrace_control.internal_api.handover import Handover
from headrace_control.internal_api.leases import Leases
from headrace_control.internal_api.results import CachedResults
from headrace_control.internal_api.sessions import RunnerSessions
from headrace_control.settings import ControlPlaneSettings
from headrace_control.tenants.service import bootstrap
from headrace_control.throttle.service import Throttles
from headrace_control.vault.keys import create_key_file
from headrace_control.web.server import http_server
from loopback import loopback
from no_signals import no_signals
from pydantic import SecretStr

RUNNER_TOKEN = "t" * 32


@dataclass(frozen=True, slots=True)
class Keyed:
    """Speaks GraphQL with one key."""

    http: httpx.AsyncClient
    key: str

    async def post(self, query: str, **variables: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}"}
        return await self.http.post(
            "/graphql", json={"query": query, "variables": variables}, headers=headers
        )

    async def __call__(self, query: str, **variables: Any) -> Any:
        body = (await self.post(query, **variables)).json()
        assert "errors" not in body, body["errors"]
        return body["data"]


@dataclass(frozen=True, slots=True)
class Edge:
    """`http` speaks to the public face, `internal` to the internal one with a runner's session. `keys` holds a key of
    the tenant acme for each role; `stranger` is another tenant's admin, `platform` the platform tenant's."""

    composed: Composed
    pool: Pool
    owner: asyncpg.Connection
    public_app: FastAPI
    internal_app: FastAPI
    http: httpx.AsyncClient
    internal: httpx.AsyncClient
    port: int
    internal_port: int
    platform: Keyed
    stranger: Keyed
    keys: dict[Role, Keyed] = field(default_factory=dict)

    @property
    def admin(self) -> Keyed:
        return self.keys[Role.ADMIN]


@contextlib.asynccontextmanager
async def listening(app: Any, **more: Any) -> AsyncIterator[int]:
    """The application behind the server that the service uses; yields its port."""
    with loopback() as listener:
        server = http_server(app, "127.0.0.1", 0, max_message=MAX_BODY, **more)
        task = asyncio.create_task(server._serve(sockets=[listener]))
        try:
            # Who connects before the server is up waits in the socket's backlog.
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def issue(admin: Keyed, role: Role) -> Keyed:
    made = await admin(
        'mutation($r: Role!) { createApiKey(name: "test", role: $r) { ... on IssuedApiKey { key } } }', r=role
    )
    return replace(admin, key=made["createApiKey"]["key"])


async def tenant(platform: Keyed, name: str) -> Keyed:
    made = await platform(
        "mutation($name: String!) { createTenant(name: $name) { ... on NewTenant { issued { key } } } }",
        name=name,
    )
    return replace(platform, key=made["createTenant"]["issued"]["key"])


@contextlib.asynccontextmanager
async def opened_edge(database: str, folder: Path) -> AsyncIterator[Edge]:
    folder.joinpath("egress.yaml").write_text("allow: [127.0.0.0/8]")
    create_key_file(folder / "key")
    settings = ControlPlaneSettings(
        database_url=database,
        bus_url=database,
        log_store_url=database,
        runner_token=SecretStr(RUNNER_TOKEN),
        key_file=folder / "key",
        egress_policy_file=folder / "egress.yaml",
    )
    async with contextlib.AsyncExitStack() as stack:
        store = await open_log_store(database, retention=timedelta(days=1))
        stack.push_async_callback(store.close)
        pool = await stack.enter_async_context(await open_pool(database, API, max_size=10))
        workers = await stack.enter_async_context(await open_pool(database, WORKER, max_size=10))
        owner = await asyncpg.connect(database)
        stack.push_async_callback(owner.close)
        listener = Listener(database)
        await listener.start()
        stack.push_async_callback(listener.close)
        composed = compose(settings, pool, workers, listener, store, no_signals())
        stack.push_async_callback(composed.close)
        public = create_app(composed.services, composed.authenticator, {})
        handover = Handover(workers, composed.credentials, composed.services.callbacks)
        claims = Claims(workers, handover, settings.lease, composed.refusals.note)
        checkpoints = Checkpoints(workers, handover, Barrier(listener))
        leases = Leases(workers, composed.credentials, settings.lease, lambda: None)
        sessions = RunnerSessions(workers, RUNNER_TOKEN, timedelta(hours=1), composed.refusals.note)
        calls = Calls(workers, composed.approvals)
        dry_runs = DryRunHandover(workers, pool, composed.output_keys)
        internal = create_internal_app(
            claims,
            checkpoints,
            leases,
            Throttles(workers),
            sessions,
            calls,
            composed.refusals,
            dry_runs,
            CachedResults(workers, pool, composed.output_keys),
            new_id(),
        )
        ports = [await stack.enter_async_context(listening(app)) for app in (public, internal)]
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60)
            )
            for port in ports
        ]
        session = f"hrs_{secrets.token_urlsafe(32)}"
        opened = await clients[1].post(
            "/internal/sessions",
            json={"runner_id": str(new_id()), "session": session},
            headers={"authorization": f"Bearer {RUNNER_TOKEN}"},
        )
        assert opened.status_code == 200
        clients[1].headers["authorization"] = f"Bearer {session}"
        owner_pool = await open_pool(database)
        platform = Keyed(clients[0], (await bootstrap(owner_pool, "platform")).key.text)
        await owner_pool.close()
        acme, stranger = (
            await tenant(platform, "acme"),
            await tenant(platform, f"stranger-{secrets.token_hex(2)}"),
        )
        keys = {role: acme if role is Role.ADMIN else await issue(acme, role) for role in Role}
        yield Edge(composed, pool, owner, public, internal, *clients, *ports, platform, stranger, keys)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(postgres: str, template: str, tmp_path_factory: Any) -> AsyncIterator[Edge]:
    async with (
        fresh_database(postgres, template) as database,
        opened_edge(database, tmp_path_factory.mktemp("edge")) as opened,
    ):
        yield opened
