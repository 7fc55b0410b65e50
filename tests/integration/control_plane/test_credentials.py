"""OAuth2 tokens: one refresh for all who ask at once, and no refresh token spent twice."""

import asyncio
import base64
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from headrace.errors import NotFound
from headrace.ids import new_id
from headrace.postgres.listen import Listener
from headrace.postgres.pool import API, Pool, open_pool
from headrace_control.compose import Composed, compose
from headrace_control.connections.credentials import CredentialService
from headrace_control.connections.model import CredentialUnreadable, RunCredential, TokenRefused
from headrace_control.settings import ControlPlaneSettings
from headrace_control.vault.keys import create_key_file
from no_signals import no_signals

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.designs import ROTATE, TEST_CONNECTION, create_app, create_connection
from tests.integration.control_plane.tokens import Ledger, TokenEndpoint, token
from tests.target import Call, Target


async def test_a_credential_that_does_not_open_is_not_one_that_is_gone(
    settings: ControlPlaneSettings, composed: Composed, admin: Client, ledger: Ledger, tmp_path: Path
) -> None:
    """The wrong master key: the connection is there, and opens again with the right one."""
    create_key_file(tmp_path / "other")
    wrong = settings.model_copy(update={"key_file": tmp_path / "other"})
    gone = new_id()
    async with await open_pool(settings.database_url, API) as pool:
        whole = compose(
            wrong, pool, pool, Listener(settings.database_url), composed.services.logs._store, no_signals()
        )
        found = await whole.refreshes.current(ledger.tenant_id, [ledger.connection_id, gone])
        refreshed = await whole.refreshes.refresh(ledger.tenant_id, ledger.connection_id, 0)
        await whole.close()
    assert found.keys() == {ledger.connection_id}
    assert isinstance(found[ledger.connection_id], CredentialUnreadable)
    assert isinstance(refreshed, CredentialUnreadable)
    right = await composed.refreshes.current(ledger.tenant_id, [ledger.connection_id])
    assert isinstance(right[ledger.connection_id], RunCredential)


async def test_twenty_who_ask_at_once_share_one_refresh(
    credentials: CredentialService,
    other_process: CredentialService,
    ledger: Ledger,
    target: Target,
    endpoint: TokenEndpoint,
) -> None:
    endpoint.gate.clear()
    asking = [
        asyncio.create_task(service.refresh(ledger.tenant_id, ledger.connection_id, 0))
        for service in (credentials, other_process)
        for _ in range(10)
    ]
    await target.called("/token")
    endpoint.gate.set()
    answers = await asyncio.gather(*asking)
    assert {token(answer) for answer in answers} == {"access-canary-1"}
    assert len(endpoint.asked) == 1


async def test_a_claim_gets_the_token_that_lasts(
    credentials: CredentialService, ledger: Ledger, endpoint: TokenEndpoint
) -> None:
    before = (await credentials.current(ledger.tenant_id, [ledger.connection_id]))[ledger.connection_id]
    assert before.credential.fields == {}
    refreshed = await credentials.refresh(ledger.tenant_id, ledger.connection_id, before.version)
    after = (await credentials.current(ledger.tenant_id, [ledger.connection_id]))[ledger.connection_id]
    assert after == refreshed
    assert after.version == before.version + 1
    assert after.credential.expires_at is not None
    # Who saw the older one gets the newer one, without a call; who saw the newest one causes a call.
    assert await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0) == after
    assert len(endpoint.asked) == 1
    assert token(await credentials.refresh(ledger.tenant_id, ledger.connection_id, 1)) == "access-canary-2"
    assert [form["refresh_token"] for form in endpoint.asked] == ["refresh-canary-0", "refresh-canary-1"]


async def test_the_request_is_what_the_standard_says(
    credentials: CredentialService, ledger: Ledger, endpoint: TokenEndpoint
) -> None:
    await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0)
    assert endpoint.asked == [
        {"grant_type": "refresh_token", "refresh_token": "refresh-canary-0", "scope": "a b"}
    ]
    assert endpoint.authorizations == ["Basic " + base64.b64encode(b"client:s3cret").decode()]


@pytest.mark.parametrize(("expires_in", "handed_out"), [(3600, True), (None, True), (10, False)])
async def test_a_token_that_will_not_last_is_not_handed_out(
    credentials: CredentialService,
    ledger: Ledger,
    endpoint: TokenEndpoint,
    expires_in: float | None,
    handed_out: bool,
) -> None:
    endpoint.expires_in = expires_in
    assert token(await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0))
    found = (await credentials.current(ledger.tenant_id, [ledger.connection_id]))[ledger.connection_id]
    assert ("access_token" in found.credential.fields) is handed_out


async def test_a_spent_grant_is_remembered_until_the_secret_is_rotated(
    credentials: CredentialService, ledger: Ledger, endpoint: TokenEndpoint, admin: Client
) -> None:
    endpoint.refresh_token = "somebody-else-spent-it"
    for _ in range(3):
        answer = await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0)
        assert isinstance(answer, TokenRefused)
        assert answer.code == "invalid_grant"
        assert "error" in answer.as_json()
    assert len(endpoint.asked) == 1
    seen = (await admin('{ connection(name: "ledger-main") { tokenError } }'))["connection"]
    assert seen["tokenError"] == "invalid_grant"
    rotated = await admin(ROTATE, name="ledger-main", secrets={"refreshToken": "somebody-else-spent-it"})
    assert rotated["rotateConnectionSecret"]["tokenError"] is None
    version = rotated["rotateConnectionSecret"]["tokenVersion"]
    assert token(await credentials.refresh(ledger.tenant_id, ledger.connection_id, version))


async def test_a_rotated_token_is_stored_when_the_one_who_asked_has_left(
    credentials: CredentialService, ledger: Ledger, target: Target, endpoint: TokenEndpoint
) -> None:
    endpoint.gate.clear()
    asking = asyncio.create_task(credentials.refresh(ledger.tenant_id, ledger.connection_id, 0))
    await target.called("/token")
    asking.cancel()
    await asyncio.wait([asking])
    endpoint.gate.set()
    await credentials.close()
    found = (await credentials.current(ledger.tenant_id, [ledger.connection_id]))[ledger.connection_id]
    assert found.credential.fields["access_token"] == "access-canary-1"
    assert token(await credentials.refresh(ledger.tenant_id, ledger.connection_id, 1)) == "access-canary-2"


async def test_a_connection_test_refreshes_a_token_that_was_refused(
    credentials: CredentialService, ledger: Ledger, target: Target, endpoint: TokenEndpoint, admin: Client
) -> None:
    async def entries(call: Call) -> web.StreamResponse:
        well = call.headers.get("authorization") == "Bearer access-canary-2"
        return web.json_response({}, status=200 if well else 401)

    target.answers["/entries"] = entries
    tested = await admin(TEST_CONNECTION, name="ledger-main", method="GET", path="/entries")
    assert tested["testConnection"]["ok"]
    assert len(endpoint.asked) == 2


async def test_a_token_endpoint_that_stalls_delays_its_own_tenant_alone(
    credentials: CredentialService,
    admin: Client,
    stranger: Client,
    owner: Pool,
    target: Target,
    endpoint: TokenEndpoint,
) -> None:
    endpoint.gate.clear()
    stalled, quick = TokenEndpoint(f"{target.url}/token"), TokenEndpoint(f"{target.url}/quick")
    quick.gate.set()
    target.answers["/quick"] = quick.answer
    given = {"config": {"clientId": "c"}, "secrets": {"clientSecret": "s"}}
    tenants = {row["name"]: row["id"] for row in await owner.fetch("SELECT id, name FROM tenants")}
    await create_app(admin, "pay", baseUrl=target.url, auth={"kind": "OAUTH2", "tokenUrl": stalled.url})
    asking = []
    for number in range(6):
        made = await create_connection(admin, f"pay-{number}", "pay", **given)
        task = credentials.refresh(tenants["acme"], UUID(made["id"]), 0)
        asking.append(asyncio.create_task(task))
    await target.called("/token")
    await create_app(stranger, "pay", baseUrl=target.url, auth={"kind": "OAUTH2", "tokenUrl": quick.url})
    made = await create_connection(stranger, "pay-main", "pay", **given)
    assert token(await credentials.refresh(tenants["stranger"], UUID(made["id"]), 0)) == "access-canary-1"
    assert len(target.of("/token")) == 1
    endpoint.gate.set()
    assert len({token(answer) for answer in await asyncio.gather(*asking)}) == 6


async def test_client_credentials_of_other_proofs(
    credentials: CredentialService, admin: Client, owner: Pool, target: Target, endpoint: TokenEndpoint
) -> None:
    auth = {"kind": "OAUTH2", "tokenUrl": endpoint.url, "clientAuth": "POST", "extra": {"audience": "api"}}
    await create_app(admin, "pay", baseUrl=target.url, auth=auth)
    made = await create_connection(
        admin, "pay-main", "pay", config={"clientId": "c", "scopes": ["own"]}, secrets={"clientSecret": "s"}
    )
    tenant_id = await owner.fetchval("SELECT id FROM tenants WHERE name = 'acme'")
    assert token(await credentials.refresh(tenant_id, UUID(made["id"]), 0)) == "access-canary-1"
    assert endpoint.asked == [
        {
            "grant_type": "client_credentials",
            "client_id": "c",
            "client_secret": "s",
            "scope": "own",
            "audience": "api",
        }
    ]


async def test_another_tenants_connection_is_not_there(
    credentials: CredentialService, ledger: Ledger, endpoint: TokenEndpoint
) -> None:
    stranger = new_id()
    assert await credentials.current(stranger, [ledger.connection_id]) == {}
    with pytest.raises(NotFound):
        await credentials.refresh(stranger, ledger.connection_id, 0)
    assert endpoint.asked == []


async def test_one_that_does_not_open_holds_up_no_other(
    credentials: CredentialService, admin: Client, owner: Pool, ledger: Ledger
) -> None:
    await create_app(admin)
    other = UUID((await create_connection(admin))["id"])
    await owner.execute(
        "UPDATE connection_secrets SET sealed = '\\x00' WHERE connection_id = $1", ledger.connection_id
    )
    found = await credentials.current(ledger.tenant_id, [ledger.connection_id, other])
    assert isinstance(found[other], RunCredential)
    assert isinstance(found[ledger.connection_id], CredentialUnreadable)
    answer = await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0)
    assert isinstance(answer, CredentialUnreadable)


async def test_a_run_gets_each_kind_as_the_runner_reads_it(
    composed: Composed, admin: Client, owner: Pool
) -> None:
    tenant_id = await owner.fetchval("SELECT id FROM tenants WHERE name = 'acme'")
    kinds: list[tuple[Any, Any, Any, Any]] = [
        ({"kind": "NONE"}, {}, {}, {}),
        (
            {"kind": "API_KEY", "in": "query", "name": "key"},
            {},
            {"apiKey": "k"},
            {"key": "k", "in": "query", "name": "key", "prefix": ""},
        ),
        ({"kind": "BASIC"}, {"username": "u"}, {"password": "p"}, {"username": "u", "password": "p"}),
        ({"kind": "CUSTOM_HEADER", "headers": ["X-A"]}, {}, {"X-A": "v"}, {"X-A": "v"}),
    ]
    for number, (auth, config, secrets, fields) in enumerate(kinds):
        limits = {"requestsPerSecond": 2} if number == 1 else None
        await create_app(admin, f"app-{number}", auth=auth, limits=limits)
        made = await create_connection(admin, f"c-{number}", f"app-{number}", config=config, secrets=secrets)
        connection_id = UUID(made["id"])
        given = (await composed.credentials.current(tenant_id, [connection_id]))[connection_id]
        changed_at = await owner.fetchval("SELECT updated_at FROM connections WHERE id = $1", connection_id)
        assert given == {
            "connection_id": str(connection_id),
            "kind": auth["kind"],
            "fields": fields,
            "hosts": ["shop.example:443"],
            "version": 0,
            "expires_at": None,
            "base_url": None,
            "limited": number == 1,
            "changed_at": changed_at.isoformat(),
        }
