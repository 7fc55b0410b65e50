"""The control plane's application over a real database, asked over HTTP without a socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from headrace.logstore.open import open_log_store
from headrace.postgres.listen import Listener
from headrace.postgres.pool import API, WORKER, Pool, open_pool
from headrace_control.app import create_app
from headrace_control.auth.roles import Role
from headrace_control.compose import Composed, compose
from headrace_control.connections.credentials import CredentialService
from headrace_control.settings import ControlPlaneSettings
from headrace_control.tenants.service import bootstrap
from headrace_control.vault.keys import create_key_file
from no_signals import no_signals
from pydantic import SecretStr

from tests.integration.control_plane.designs import create_app as designed_app
from tests.integration.control_plane.designs import create_connection
from tests.integration.control_plane.tokens import Ledger, TokenEndpoint
from tests.target import Target


@dataclass(frozen=True)
class Client:
    """Speaks GraphQL with one key."""

    http: httpx.AsyncClient
    key: str

    async def post(self, query: str, **variables: Any) -> httpx.Response:
        return await self.http.post(
            "/graphql",
            json={"query": query, "variables": variables},
            headers={"authorization": f"Bearer {self.key}"},
        )

    async def __call__(self, query: str, **variables: Any) -> Any:
        """The data of an operation without errors."""
        body = (await self.post(query, **variables)).json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    async def error(self, query: str, **variables: Any) -> Any:
        """The first of an operation's errors."""
        return (await self.post(query, **variables)).json()["errors"][0]

    async def with_role(self, role: Role) -> "Client":
        """Another key of the same tenant."""
        made = await self(
            """
            mutation($role: Role!) {
              createApiKey(name: "test", role: $role) { ... on IssuedApiKey { key } }
            }
            """,
            role=role,
        )
        return Client(self.http, made["createApiKey"]["key"])


@pytest.fixture
async def owner(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database) as pool:
        yield pool


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, API, max_size=25) as opened:
        yield opened


@pytest.fixture
def settings(database: str, tmp_path: Path) -> ControlPlaneSettings:
    """Calls may go to this machine's loopback, as in the demo, and nowhere else inside."""
    policy = tmp_path / "egress.yaml"
    policy.write_text("allow: [127.0.0.0/8]")
    create_key_file(tmp_path / "key")
    return ControlPlaneSettings(
        database_url=database,
        bus_url=database,
        log_store_url=database,
        runner_token=SecretStr("r" * 32),
        key_file=tmp_path / "key",
        egress_policy_file=policy,
    )


@pytest.fixture
async def composed(settings: ControlPlaneSettings, pool: Pool) -> AsyncIterator[Composed]:
    store = await open_log_store(settings.log_store_url, retention=settings.log_retention)
    async with await open_pool(settings.database_url, WORKER) as workers:
        whole = compose(settings, pool, workers, Listener(settings.database_url), store, no_signals())
        yield whole
        await whole.close()
    await store.close()


@pytest.fixture
async def http(composed: Composed) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(composed.services, composed.authenticator, {})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.fixture
async def platform(http: httpx.AsyncClient, owner: Pool) -> Client:
    """The admin of the platform tenant."""
    return Client(http, (await bootstrap(owner, "platform")).key.text)


@pytest.fixture
async def admin(http: httpx.AsyncClient, platform: Client) -> Client:
    """The admin of an ordinary tenant."""
    return await new_tenant(platform, "acme")


@pytest.fixture
async def stranger(http: httpx.AsyncClient, platform: Client) -> Client:
    """The admin of another tenant."""
    return await new_tenant(platform, "stranger")


@pytest.fixture
def endpoint(target: Target) -> TokenEndpoint:
    made = TokenEndpoint(f"{target.url}/token")
    made.gate.set()
    target.answers["/token"] = made.answer
    return made


@pytest.fixture
async def ledger(admin: Client, owner: Pool, target: Target, endpoint: TokenEndpoint) -> Ledger:
    """A connection with a rotating refresh token."""
    auth = {"kind": "OAUTH2", "grant": "REFRESH_TOKEN", "tokenUrl": endpoint.url, "scopes": ["a", "b"]}
    await designed_app(admin, "ledger", baseUrl=target.url, auth=auth)
    made = await create_connection(
        admin,
        "ledger-main",
        "ledger",
        config={"clientId": "client"},
        secrets={"clientSecret": "s3cret", "refreshToken": endpoint.refresh_token},
    )
    tenant_id = await owner.fetchval("SELECT id FROM tenants WHERE name = 'acme'")
    return Ledger(tenant_id, UUID(made["id"]))


@pytest.fixture
def credentials(composed: Composed) -> CredentialService:
    return composed.refreshes


@pytest.fixture
async def other_process(
    settings: ControlPlaneSettings, composed: Composed
) -> AsyncIterator[CredentialService]:
    """The same service over a pool of its own, as a second control plane has it."""
    async with await open_pool(settings.database_url, API) as pool:
        whole = compose(
            settings, pool, pool, Listener(settings.database_url), composed.services.logs._store, no_signals()
        )
        yield whole.refreshes
        await whole.close()


async def new_tenant(platform: Client, name: str) -> Client:
    made = await platform(
        "mutation($name: String!) { createTenant(name: $name) { ... on NewTenant { issued { key } } } }",
        name=name,
    )
    return Client(platform.http, made["createTenant"]["issued"]["key"])
