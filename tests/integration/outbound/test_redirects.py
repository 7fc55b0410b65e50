"""Redirects are followed by us: same guard, RFC 9110's methods, no credential for another origin."""

import pytest
from headrace.outbound.auth import Credential
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.workflow.definition import AuthKind

from tests.journal_server import Exchange, JournalServer, Script, answering

TENANT = "0190a0a0-0000-7000-8000-000000000001"
LOOPBACK = frozenset({"127.0.0.1", "127.0.0.2"})
KEY = Credential(AuthKind.API_KEY, {"key": "secret-key-1", "name": "X-Api-Key"}, LOOPBACK)


def redirecting(location: str, status: int = 302) -> Script:
    """Redirects every path but `/end`."""

    async def script(exchange: Exchange) -> None:
        if exchange.request.path.startswith("/end"):
            await exchange.respond(200)
        else:
            await exchange.respond(status, b"", {"Location": location})

    return script


@pytest.mark.parametrize(
    ("status", "method", "second", "with_body"),
    [
        (301, "GET", "GET", False),
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (302, "PUT", "PUT", True),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (303, "HEAD", "HEAD", False),
        (307, "POST", "POST", True),
        (308, "PUT", "PUT", True),
        (308, "DELETE", "DELETE", False),
    ],
)
async def test_methods_after_a_redirect(
    client: OutboundClient, status: int, method: str, second: str, *, with_body: bool
) -> None:
    body = b"b" if method in ("POST", "PUT") else b""
    headers = (("Content-Type", "text/plain"), ("X-Kept", "1"))
    async with JournalServer(redirecting("/end", status)) as server:
        outcome = await client.send(
            OutboundCall(method, f"{server.url}/start", headers, body), tenant_id=TENANT, credential=KEY
        )
    assert isinstance(outcome, CallResult)
    _, last = server.requests
    assert (last.method, last.path, last.body) == (second, "/end", b"b" if with_body else b"")
    assert last.headers["x-api-key"] == "secret-key-1"
    assert last.headers["x-kept"] == "1"
    assert ("content-type" in last.headers) == (second == method)


@pytest.mark.parametrize("how", ["port", "host", "scheme"])
@pytest.mark.parametrize(
    "credential",
    [
        KEY,
        Credential(AuthKind.API_KEY, {"key": "secret-key-1", "name": "api_key", "in": "query"}, LOOPBACK),
        Credential(AuthKind.BASIC, {"username": "u", "password": "secret-key-1"}, LOOPBACK),
        Credential(AuthKind.OAUTH2, {"access_token": "secret-key-1"}, LOOPBACK),
        Credential(AuthKind.CUSTOM_HEADER, {"X-Custom": "secret-key-1"}, LOOPBACK),
    ],
    ids=lambda credential: credential.kind.value if isinstance(credential, Credential) else credential,
)
async def test_no_credential_follows_to_another_origin(
    client: OutboundClient, credential: Credential, how: str
) -> None:
    async with JournalServer(redirecting("/end"), host="127.0.0.1") as other:
        location = f"{other.url}/end"
        host, port = ("127.0.0.2", other.port) if how == "host" else ("127.0.0.1", 0)
        async with JournalServer(redirecting(location), host=host, port=port) as first:
            headers = (("X-Own", "own-secret"), ("Cookie", "own-secret"), ("Accept", "text/plain"))
            outcome = await client.send(
                OutboundCall("GET", f"{first.url}/start?q=own-secret", headers),
                tenant_id=TENANT,
                credential=credential,
            )
    assert isinstance(outcome, CallResult)
    assert b"secret" in first.requests[0].head or b"Authorization" in first.requests[0].head
    [seen] = other.requests
    assert b"secret" not in seen.head
    assert b"uthorization" not in seen.head
    assert seen.headers["accept"] == "text/plain"


async def test_a_credential_does_not_come_back_after_a_detour(client: OutboundClient) -> None:
    async with JournalServer(answering()) as other:

        async def script(exchange: Exchange) -> None:
            if exchange.request.path == "/end":
                await exchange.respond()
            else:
                await exchange.respond(302, b"", {"Location": f"{other.url}/"})

        async with JournalServer(script) as first:
            other.script = redirecting(f"{first.url}/end")
            await client.send(OutboundCall("GET", f"{first.url}/start"), tenant_id=TENANT, credential=KEY)
    assert first.paths == ["/start", "/end"]
    assert "x-api-key" not in first.requests[1].headers


@pytest.mark.parametrize("status", [307, 308])
async def test_a_body_does_not_follow_to_another_origin(client: OutboundClient, status: int) -> None:
    async with (
        JournalServer(answering()) as other,
        JournalServer(redirecting(f"{other.url}/end", status)) as first,
    ):
        outcome = await client.send(OutboundCall("POST", first.url, body=b"secret"), tenant_id=TENANT)
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.sent, outcome.status) == ("REDIRECT_REFUSED", True, status)
    assert other.requests == []


async def test_five_redirects_and_no_more(client: OutboundClient) -> None:
    async with JournalServer(redirecting("/again")) as server:
        outcome = await client.send(OutboundCall("GET", server.url), tenant_id=TENANT)
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.sent) == ("TOO_MANY_REDIRECTS", True)
    assert len(server.requests) == 6


async def test_redirects_can_be_left_alone(client: OutboundClient) -> None:
    async with JournalServer(redirecting("/end")) as server:
        outcome = await client.send(OutboundCall("GET", server.url, follow_redirects=False), tenant_id=TENANT)
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.status) == ("HTTP_302", 302)
    assert server.paths == ["/"]


async def test_a_redirect_without_location_is_an_answer(client: OutboundClient) -> None:
    async with JournalServer(answering(302, b"?")) as server:
        outcome = await client.send(OutboundCall("GET", server.url), tenant_id=TENANT)
    assert isinstance(outcome, CallFailure)
    assert outcome.code == "HTTP_302"


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://u:p@127.0.0.1/", "//[", "http://127.0.0.1:0/"]
)
async def test_a_location_that_is_no_target_is_refused(client: OutboundClient, location: str) -> None:
    async with JournalServer(redirecting(location)) as server:
        outcome = await client.send(OutboundCall("GET", server.url), tenant_id=TENANT)
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.sent) == ("REDIRECT_REFUSED", True)


async def test_a_failure_behind_a_redirect_counts_as_sent(client: OutboundClient) -> None:
    """The first request was carried out, whatever became of the second: known, and not to be repeated."""
    async with JournalServer(answering()) as gone:
        pass
    async with JournalServer(redirecting(f"{gone.url}/", 303)) as server:
        outcome = await client.send(OutboundCall("POST", server.url, body=b"pay"), tenant_id=TENANT)
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.sent, outcome.status) == ("CONNECT_FAILED", True, 303)


@pytest.mark.parametrize(("status", "answered"), [(303, 303), (307, None)])
async def test_a_redirected_request_that_is_not_answered(
    client: OutboundClient, status: int, answered: int | None
) -> None:
    """After 303 the rest is a GET; after 307 the request itself was sent again, and nobody knows."""

    async def script(exchange: Exchange) -> None:
        if exchange.request.path == "/end":
            exchange.close()
        else:
            await exchange.respond(status, b"", {"Location": "/end"})

    async with JournalServer(script) as server:
        outcome = await client.send(OutboundCall("POST", server.url, body=b"pay"), tenant_id=TENANT)
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.sent, outcome.status) == ("CONNECTION_LOST", True, answered)


@pytest.mark.parametrize(
    ("method", "status", "carried_out"),
    [("POST", 303, True), ("POST", 302, True), ("POST", 307, False), ("GET", 303, False)],
)
async def test_a_redirect_to_a_page_says_that_the_request_was_carried_out(
    client: OutboundClient, method: str, status: int, *, carried_out: bool
) -> None:
    async def script(exchange: Exchange) -> None:
        if exchange.request.path == "/end":
            await exchange.respond(503)
        else:
            await exchange.respond(status, b"", {"Location": "/end"})

    async with JournalServer(script) as server:
        outcome = await client.send(OutboundCall(method, server.url), tenant_id=TENANT)
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.status, outcome.carried_out) == ("HTTP_503", 503, carried_out)
