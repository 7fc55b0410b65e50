"""Credentials on the wire: four kinds, bound to their hosts, refreshed once."""

import base64
from dataclasses import replace

import pytest
from headrace.outbound.auth import Credential, bound_host
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.workflow.definition import AuthKind

from tests.journal_server import Exchange, JournalServer, Script, answering

TENANT = "0190a0a0-0000-7000-8000-000000000001"
HOSTS = frozenset({"127.0.0.1"})


def api_key(**fields: str) -> Credential:
    return Credential(
        AuthKind.API_KEY, {"key": "se/cret key+é" if "in" in fields else "secret", **fields}, HOSTS
    )


@pytest.mark.parametrize(
    ("credential", "header", "value"),
    [
        (api_key(), "x-api-key", "secret"),
        (api_key(name="Authorization", prefix="Token "), "authorization", "Token secret"),
        (
            Credential(AuthKind.BASIC, {"username": "üser", "password": "p:w"}, HOSTS),
            "authorization",
            "Basic " + base64.b64encode("üser:p:w".encode()).decode(),
        ),
        (Credential(AuthKind.OAUTH2, {"access_token": "t.o.k"}, HOSTS), "authorization", "Bearer t.o.k"),
        (
            Credential(AuthKind.OAUTH2, {"access_token": "t", "token_type": "bearer"}, HOSTS),
            "authorization",
            "Bearer t",
        ),
        (Credential(AuthKind.CUSTOM_HEADER, {"X-A": "1", "X-B": "2"}, HOSTS), "x-b", "2"),
    ],
)
async def test_headers(client: OutboundClient, credential: Credential, header: str, value: str) -> None:
    async with JournalServer(answering()) as server:
        call = OutboundCall("GET", server.url, ((header, "of the step"),))
        outcome = await client.send(call, tenant_id=TENANT, credential=credential)
    assert isinstance(outcome, CallResult)
    assert server.requests[0].headers[header] == value
    assert server.requests[0].head.lower().count(header.encode() + b":") == 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a", "/a?api_key=se%2Fcret%20key%2B%C3%A9"),
        ("/a?b=1&c", "/a?b=1&c&api_key=se%2Fcret%20key%2B%C3%A9"),
        ("/a?api_key=forged&b=1&api%5Fkey=x", "/a?b=1&api_key=se%2Fcret%20key%2B%C3%A9"),
    ],
)
async def test_query(client: OutboundClient, path: str, expected: str) -> None:
    credential = api_key(**{"in": "query", "name": "api_key"})
    async with JournalServer(answering()) as server:
        await client.send(OutboundCall("GET", server.url + path), tenant_id=TENANT, credential=credential)
    assert server.paths == [expected]


@pytest.mark.parametrize(
    "hosts", [frozenset(), frozenset({"example.com"}), frozenset({"127.0.0.1:1"}), frozenset({"0.0.1"})]
)
async def test_a_credential_goes_to_its_own_hosts_only(client: OutboundClient, hosts: frozenset[str]) -> None:
    async with JournalServer(answering()) as server:
        outcome = await client.send(
            OutboundCall("GET", server.url), tenant_id=TENANT, credential=replace(api_key(), hosts=hosts)
        )
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.sent) == ("CREDENTIAL_UNUSABLE", False)
    assert server.requests == []


@pytest.mark.parametrize(
    "fields",
    [
        {"key": ""},
        {"key": "a\r\nX-Injected: 1"},
        {"key": "a\0"},
        {"key": "é"},
        {"name": "X Key"},
        {"name": "X\r\nY"},
        {"in": "cookie"},
    ],
)
async def test_a_credential_that_does_not_fit_is_not_sent(
    client: OutboundClient, fields: dict[str, str]
) -> None:
    credential = Credential(AuthKind.API_KEY, {"key": "secret", **fields}, HOSTS)
    async with JournalServer(answering()) as server:
        outcome = await client.send(OutboundCall("GET", server.url), tenant_id=TENANT, credential=credential)
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.sent) == ("CREDENTIAL_UNUSABLE", False)
    assert server.requests == []


def test_bound_host_is_canonical() -> None:
    assert bound_host("https://API.example.com/v1/") == "api.example.com:443"
    assert bound_host("http://0x7f.1:8080") == "127.0.0.1:8080"


def test_repr_shows_no_field() -> None:
    assert "secret" not in repr(api_key())


def token(text: str, version: int = 0) -> Credential:
    return Credential(AuthKind.OAUTH2, {"access_token": text}, HOSTS, "connection", version)


def accepting(good: str) -> Script:
    async def script(exchange: Exchange) -> None:
        ok = exchange.request.headers.get("authorization") == f"Bearer {good}"
        await exchange.respond(200 if ok else 401, exchange.request.head)

    return script


async def test_a_refused_token_is_refreshed_once_and_redacted(client: OutboundClient) -> None:
    asked: list[Credential] = []

    async def refresh(used: Credential) -> Credential | None:
        asked.append(used)
        return token("new-token-123", 1)

    async with JournalServer(accepting("new-token-123")) as server:
        outcome = await client.send(
            OutboundCall("POST", server.url, body=b"pay"),
            tenant_id=TENANT,
            credential=token("old-token-123"),
            refresh=refresh,
        )
    assert isinstance(outcome, CallResult)
    assert outcome.credential == token("new-token-123", 1)
    assert [seen.body for seen in server.requests] == [b"pay", b"pay"]
    assert asked == [token("old-token-123")]
    assert "Bearer [***]" in str(outcome.body)
    assert "token-123" not in str(outcome.body)


async def test_a_token_refused_twice_is_a_failure(client: OutboundClient) -> None:
    asked: list[Credential] = []

    async def refresh(used: Credential) -> Credential | None:
        asked.append(used)
        return token(f"token-{len(asked)}", len(asked))

    async with JournalServer(answering(401)) as server:
        outcome = await client.send(
            OutboundCall("GET", server.url), tenant_id=TENANT, credential=token("old"), refresh=refresh
        )
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.sent, len(server.requests), len(asked)) == ("HTTP_401", True, 2, 1)


async def test_a_repeated_request_that_is_not_answered_is_in_doubt(client: OutboundClient) -> None:
    async def refresh(used: Credential) -> Credential | None:
        return token("new", 1)

    async def script(exchange: Exchange) -> None:
        if exchange.request.headers["authorization"] == "Bearer new":
            exchange.close()
        else:
            await exchange.respond(401)

    async with JournalServer(script) as server:
        outcome = await client.send(
            OutboundCall("POST", server.url, body=b"pay"),
            tenant_id=TENANT,
            credential=token("old"),
            refresh=refresh,
        )
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, outcome.sent, outcome.status) == ("CONNECTION_LOST", True, None)


@pytest.mark.parametrize("newer", [None, token("old")])
async def test_without_a_newer_token_nothing_is_sent_again(
    client: OutboundClient, newer: Credential | None
) -> None:
    async def refresh(used: Credential) -> Credential | None:
        return newer

    async with JournalServer(answering(401, b"no")) as server:
        outcome = await client.send(
            OutboundCall("GET", server.url), tenant_id=TENANT, credential=token("old"), refresh=refresh
        )
    assert isinstance(outcome, CallFailure)
    assert (outcome.code, len(server.requests)) == ("HTTP_401", 1)
    assert outcome.response is not None
    assert outcome.response["body"] == "no"


async def test_other_kinds_are_not_refreshed(client: OutboundClient) -> None:
    async def refresh(used: Credential) -> Credential | None:
        raise AssertionError

    async with JournalServer(answering(401)) as server:
        outcome = await client.send(
            OutboundCall("GET", server.url), tenant_id=TENANT, credential=api_key(), refresh=refresh
        )
    assert isinstance(outcome, CallFailure)
    assert len(server.requests) == 1
