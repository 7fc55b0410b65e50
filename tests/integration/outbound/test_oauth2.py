"""Tokens are asked for by RFC 6749, and what comes back is told apart."""

import json
from collections.abc import Mapping
from urllib.parse import parse_qs

import pytest
from headrace.outbound.client import OutboundClient
from headrace.outbound.oauth2 import (
    ClientAuth,
    Grant,
    TokenFailure,
    TokenFailureKind,
    TokenGrant,
    TokenRequest,
    request_token,
)

from tests.journal_server import Exchange, JournalServer, answering

TENANT = "0190a0a0-0000-7000-8000-000000000001"
JSON = {"Content-Type": "application/json"}


def answer(status: int, body: object, headers: Mapping[str, str] = JSON) -> JournalServer:
    return JournalServer(answering(status, json.dumps(body).encode(), headers))


async def test_client_credentials_with_basic(client: OutboundClient) -> None:
    body = {"access_token": "at", "token_type": "bearer", "expires_in": 3600, "scope": "a b"}
    async with answer(200, body) as server:
        outcome = await request_token(
            client,
            TokenRequest(
                f"{server.url}/token",
                Grant.CLIENT_CREDENTIALS,
                "id:1",
                "s e/c",
                scope="a b",
                extra={"audience": "https://api", "grant_type": "forged"},
            ),
            tenant_id=TENANT,
        )
    assert outcome == TokenGrant("at", "bearer", 3600.0, None, "a b")
    [seen] = server.requests
    assert seen.line == "POST /token HTTP/1.1"
    # RFC 6749, 2.3.1: both are form-encoded before they are joined.
    assert seen.headers["authorization"] == "Basic aWQlM0ExOnMrZSUyRmM="
    assert parse_qs(seen.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["a b"],
        "audience": ["https://api"],
    }


async def test_refresh_with_secret_in_the_body_and_rotation(client: OutboundClient) -> None:
    async with answer(200, {"access_token": "new", "refresh_token": "rotated", "expires_in": "60"}) as server:
        outcome = await request_token(
            client,
            TokenRequest(
                server.url,
                Grant.REFRESH_TOKEN,
                "id",
                "secret",
                ClientAuth.POST,
                refresh_token="old",
            ),
            tenant_id=TENANT,
        )
    assert outcome == TokenGrant("new", "Bearer", 60.0, "rotated", None)
    [seen] = server.requests
    assert "authorization" not in seen.headers
    assert parse_qs(seen.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["old"],
        "client_id": ["id"],
        "client_secret": ["secret"],
    }


async def test_a_public_client_sends_no_secret(client: OutboundClient) -> None:
    async with answer(200, {"access_token": "new"}) as server:
        request = TokenRequest(server.url, Grant.REFRESH_TOKEN, "id", "s3cret", ClientAuth.NONE, "rt")
        outcome = await request_token(client, request, tenant_id=TENANT)
    assert outcome == TokenGrant("new")
    assert b"s3cret" not in server.requests[0].head + server.requests[0].body


def plain(server: JournalServer, timeout: float = 30) -> TokenRequest:
    return TokenRequest(server.url, Grant.CLIENT_CREDENTIALS, "id", "secret", timeout=timeout)


K = TokenFailureKind


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, {"error": "invalid_grant", "error_description": "canary"}, K.INVALID_GRANT, "invalid_grant"),
        (200, {"error": "invalid_grant"}, K.INVALID_GRANT, "invalid_grant"),
        (401, {"error": "invalid_client"}, K.REJECTED, "invalid_client"),
        (400, {"error": "canary"}, K.REJECTED, "HTTP_400"),
        (403, "canary", K.REJECTED, "HTTP_403"),
        (429, {"error": "slow_down"}, K.UNAVAILABLE, "HTTP_429"),
        (500, {"error": "invalid_grant"}, K.UNAVAILABLE, "HTTP_500"),
        (503, None, K.UNAVAILABLE, "HTTP_503"),
        (302, None, K.UNAVAILABLE, "HTTP_302"),
        (200, {"token": "x"}, K.UNAVAILABLE, "BAD_RESPONSE"),
        (200, {"access_token": ""}, K.UNAVAILABLE, "BAD_RESPONSE"),
        (200, {"access_token": 5}, K.UNAVAILABLE, "BAD_RESPONSE"),
        (200, ["access_token"], K.UNAVAILABLE, "BAD_RESPONSE"),
    ],
)
async def test_failures_are_told_apart(
    client: OutboundClient, status: int, body: object, kind: TokenFailureKind, code: str
) -> None:
    async with answer(status, body, {**JSON, "Location": "/elsewhere"}) as server:
        outcome = await request_token(client, plain(server), tenant_id=TENANT)
    assert isinstance(outcome, TokenFailure)
    assert (outcome.kind, outcome.code, outcome.sent) == (kind, code, True)
    assert "canary" not in repr(outcome)
    assert len(server.requests) == 1


async def test_a_request_that_was_sent_and_not_answered_says_so(client: OutboundClient) -> None:
    async with JournalServer(Exchange.forever) as server:
        outcome = await request_token(client, plain(server, timeout=1), tenant_id=TENANT)
    assert outcome == TokenFailure(
        K.UNAVAILABLE, "TIMEOUT", "the token endpoint: the call took longer than its time limit", sent=True
    )


async def test_the_guard_stands_before_token_endpoints_too(client: OutboundClient) -> None:
    request = TokenRequest("http://10.0.0.1/token", Grant.CLIENT_CREDENTIALS, "id", "secret")
    outcome = await request_token(client, request, tenant_id=TENANT)
    assert isinstance(outcome, TokenFailure)
    assert (outcome.kind, outcome.code, outcome.sent) == (K.REJECTED, "EGRESS_DENIED", False)


@pytest.mark.parametrize("expires", [None, True, -1, "soon", 1e400, [], float("nan")])
async def test_an_expiry_that_makes_no_sense_is_unknown(client: OutboundClient, expires: object) -> None:
    async with answer(200, {"access_token": "at", "expires_in": expires}) as server:
        assert await request_token(client, plain(server), tenant_id=TENANT) == TokenGrant("at")


def test_repr_shows_no_secret() -> None:
    shown = repr(
        TokenRequest("https://u/", Grant.REFRESH_TOKEN, "id", "s1", refresh_token="s2", extra={"a": "s3"})
    )
    shown += repr(TokenGrant("s4", refresh_token="s5"))
    assert not any(f"s{number}" in shown for number in range(1, 6))
