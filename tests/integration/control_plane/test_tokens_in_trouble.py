"""Token endpoints that fail: asked once by all who ask, never hammered, and the connection says how it stands."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from headrace.errors import Unavailable
from headrace.postgres.pool import Pool
from headrace_control.connections import failures
from headrace_control.connections.credentials import CredentialService
from headrace_control.connections.model import TokenRefused
from headrace_control.settings import ControlPlaneSettings

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.designs import ROTATE, TEST_CONNECTION, create_connection
from tests.integration.control_plane.tokens import Ledger, TokenEndpoint, token
from tests.target import Target

SEEN = "query ($n: String!) { connection(name: $n) { status tokenError tokenTrouble tokenRetryAt } }"
SECRETS = {"clientSecret": "s3cret", "refreshToken": "refresh-canary-0"}


@pytest.fixture
def settings(settings: ControlPlaneSettings) -> ControlPlaneSettings:
    return settings.model_copy(update={"token_endpoint_seconds": 0.5})


async def seen(admin: Client, name: str = "ledger-main") -> Any:
    return (await admin(SEEN, n=name))["connection"]


async def later(owner: Pool, ledger: Ledger) -> None:
    """The time in which the endpoint is left alone goes by."""
    await owner.execute("UPDATE connections SET token_retry_at = now() WHERE id = $1", ledger.connection_id)


async def test_a_claim_never_pairs_a_token_with_another_ones_version(
    credentials: CredentialService, other_process: CredentialService, ledger: Ledger, endpoint: TokenEndpoint
) -> None:
    """Who is given a newer version with no token, or with an older one, asks for one that nobody needs."""
    done = asyncio.Event()

    async def read(service: CredentialService) -> None:
        while not done.is_set():
            found = (await service.current(ledger.tenant_id, [ledger.connection_id]))[ledger.connection_id]
            given = found.credential.fields.get("access_token")
            assert given == (f"access-canary-{found.version}" if found.version else None)

    async with asyncio.TaskGroup() as readers:
        for service in (credentials, other_process, other_process):
            readers.create_task(read(service))
        for version in range(60):
            await credentials.refresh(ledger.tenant_id, ledger.connection_id, version)
        done.set()
    assert len(endpoint.asked) == 60


TROUBLES: list[tuple[dict[str, Any], str, bool]] = [
    ({"status": 500}, "HTTP_500", False),
    ({"status": 503}, "HTTP_503", False),
    ({"status": 504}, "HTTP_504", True),
    ({"status": 524}, "HTTP_524", True),
    ({"garbage": b"{}"}, "BAD_RESPONSE", True),
    ({"garbage": b"\xff\x00<html>"}, "BAD_RESPONSE", True),
    ({"hang_up": True}, "CONNECTION_LOST", True),
    ({}, "TIMEOUT", True),
]


async def test_twenty_who_ask_at_once_share_a_failure(
    credentials: CredentialService,
    other_process: CredentialService,
    ledger: Ledger,
    target: Target,
    admin: Client,
    owner: Pool,
) -> None:
    """One request of them all; the connection says why, and the next request may be made when it says."""
    for number, (trouble, code, doubtful) in enumerate(TROUBLES):
        endpoint = TokenEndpoint(**trouble)
        if code != "TIMEOUT":
            endpoint.gate.set()
        target.answers["/token"] = endpoint.answer
        name = f"ledger-{number}"
        made = await create_connection(admin, name, "ledger", config={"clientId": "c"}, secrets=SECRETS)
        refreshes = (
            service.refresh(ledger.tenant_id, UUID(made["id"]), 0)
            for service in (credentials, other_process)
            for _ in range(10)
        )
        answers = await asyncio.gather(*refreshes, return_exceptions=True)
        assert {type(answer) for answer in answers} == {Unavailable}, trouble
        assert len(endpoint.asked) == 1, trouble
        shown = await seen(admin, name)
        assert (shown["status"], shown["tokenTrouble"], shown["tokenError"]) == ("FAILING", code, None)
        assert shown["tokenRetryAt"] is not None
        doubts = await owner.fetchval("SELECT token_doubts FROM connections WHERE id = $1", UUID(made["id"]))
        assert doubts == int(doubtful), trouble
        endpoint.gate.set()


async def test_a_failure_is_over_with_the_next_token(
    credentials: CredentialService, ledger: Ledger, endpoint: TokenEndpoint, admin: Client, owner: Pool
) -> None:
    endpoint.status = 503
    for times in (1, 2):
        with pytest.raises(Unavailable):
            await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0)
        tested = await admin(TEST_CONNECTION, name="ledger-main", method="GET", path="/entries")
        assert tested["testConnection"]["errorCode"] == "TOKEN_UNAVAILABLE"
        assert len(endpoint.asked) == times, "too early to ask again"
        await later(owner, ledger)
    endpoint.status = 200
    assert token(await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0)) == "access-canary-3"
    assert await seen(admin) == {
        "status": "READY",
        "tokenError": None,
        "tokenTrouble": None,
        "tokenRetryAt": None,
    }


async def test_a_lost_answer_to_a_rotation_is_followed_by_one_more_request(
    credentials: CredentialService, ledger: Ledger, endpoint: TokenEndpoint, admin: Client, owner: Pool
) -> None:
    """The endpoint has rotated, and nobody knows the new token: its next answer says so, and then nobody asks."""
    endpoint.hang_up = True
    with pytest.raises(Unavailable):
        await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0)
    endpoint.hang_up = False
    await later(owner, ledger)
    for _ in range(3):
        answer = await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0)
        assert isinstance(answer, TokenRefused)
        assert answer.code == "invalid_grant"
    assert [form["refresh_token"] for form in endpoint.asked] == ["refresh-canary-0"] * 2
    assert (await seen(admin))["status"] == "NEEDS_AUTHORIZATION"


async def test_an_endpoint_that_never_answers_is_not_asked_for_ever(
    credentials: CredentialService, ledger: Ledger, endpoint: TokenEndpoint, admin: Client, owner: Pool
) -> None:
    endpoint.status = 504
    for _ in range(failures.MOST_DOUBTS - 1):
        with pytest.raises(Unavailable):
            await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0)
        await later(owner, ledger)
    for _ in range(2):
        answer = await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0)
        assert isinstance(answer, TokenRefused)
        assert "may be spent" in answer.message
    assert len(endpoint.asked) == failures.MOST_DOUBTS
    shown = await seen(admin)
    assert (shown["status"], shown["tokenError"]) == ("NEEDS_AUTHORIZATION", failures.ANSWER_LOST)
    endpoint.status = 200
    rotated = await admin(ROTATE, name="ledger-main", secrets={"refreshToken": endpoint.refresh_token})
    version = rotated["rotateConnectionSecret"]["tokenVersion"]
    assert token(await credentials.refresh(ledger.tenant_id, ledger.connection_id, version))
    assert (await seen(admin))["status"] == "READY"


async def test_a_client_that_is_refused_is_not_sent_again_and_again(
    credentials: CredentialService, ledger: Ledger, endpoint: TokenEndpoint, admin: Client
) -> None:
    endpoint.status = 401
    for _ in range(3):
        answer = await credentials.refresh(ledger.tenant_id, ledger.connection_id, 0)
        assert isinstance(answer, TokenRefused)
        assert answer.code == "HTTP_401"
    assert len(endpoint.asked) == 1
    endpoint.status = 200
    # Another secret is another client, and need not wait.
    rotated = await admin(ROTATE, name="ledger-main", secrets={"clientSecret": "the right one"})
    version = rotated["rotateConnectionSecret"]["tokenVersion"]
    assert token(await credentials.refresh(ledger.tenant_id, ledger.connection_id, version))


async def test_who_waited_for_a_short_lived_token_gets_it(
    credentials: CredentialService, other_process: CredentialService, ledger: Ledger, endpoint: TokenEndpoint
) -> None:
    endpoint.expires_in = 0
    answers = await asyncio.gather(
        *(
            service.refresh(ledger.tenant_id, ledger.connection_id, 0)
            for service in (credentials, other_process)
            for _ in range(10)
        )
    )
    assert {token(answer) for answer in answers} == {"access-canary-1"}
    assert len(endpoint.asked) == 1
