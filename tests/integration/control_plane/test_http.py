"""The API's HTTP face: what it takes, what it refuses, and whether it is well."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from graphql import parse
from headrace_control.app import create_app
from headrace_control.compose import Composed
from headrace_control.graphql.documents import KnownDocuments
from headrace_control.graphql.schema import schema_sdl
from headrace_control.graphql.view import MAX_BODY

from tests.integration.control_plane.conftest import Client


async def test_operations_come_by_post_and_json_alone(http: httpx.AsyncClient, admin: Client) -> None:
    key = {"authorization": f"Bearer {admin.key}"}
    query = "{ tenant { name } }"
    assert (await http.get("/graphql", params={"query": query}, headers=key)).status_code == 405
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await http.post(
            "/graphql", content=orjson.dumps({"query": query}), headers={**key, "content-type": content_type}
        )
        assert answer.status_code == 415
    assert (await admin.http.post("/graphql", json=[{"query": query}] * 2, headers=key)).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'{"query": 1}',
        b'{"query": "{a}", "variables": []}',
        b'{"query": "{a}", "variables": {"a": NaN}}',
        b'{"query": "{a}", "variables": {"n": 12345678901234567890, "a": '
        + b"[" * 1010
        + b"]" * 1010
        + b"}}",
        b"\xff",
    ],
)
async def test_a_body_that_is_no_operation_is_refused(
    http: httpx.AsyncClient, admin: Client, body: bytes
) -> None:
    headers = {"authorization": f"Bearer {admin.key}", "content-type": "application/json"}
    answer = await http.post("/graphql", content=body, headers=headers)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "BAD_QUERY"
    assert error["message"]


async def test_a_body_above_the_cap_is_refused_before_it_is_read(
    http: httpx.AsyncClient, admin: Client
) -> None:
    headers = {"authorization": f"Bearer {admin.key}", "content-type": "application/json"}
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    answer = await http.post("/graphql", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert sent <= MAX_BODY + 2 * 65_536
    answer = await http.post("/graphql", content=b" " * (MAX_BODY + 1), headers=headers)
    assert answer.status_code == 413


async def test_health_and_readiness_tell_the_truth(composed: Composed) -> None:
    away = asyncio.Event()

    async def well() -> None:
        return

    async def ill() -> None:
        raise ConnectionError("postgres://user:canary@host")

    async def silent() -> None:
        await away.wait()

    checks = {"postgres": well, "bus": ill, "log_store": silent}
    app = create_app(composed.services, composed.authenticator, checks)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        assert (await http.get("/health")).status_code == 200
        answer = await http.get("/ready")
        assert answer.status_code == 503
        assert answer.json()["checks"] == {
            "postgres": "ok",
            "bus": "failing (ConnectionError)",
            "log_store": "no answer in time",
        }
        assert "canary" not in answer.text
        assert (await http.get("/metrics")).status_code == 404


def test_the_schema_speaks_in_our_words() -> None:
    sdl = schema_sdl()
    assert "scalar DateTime" in sdl
    assert "type PageInfo" in sdl
    assert "ConnectionPage" in sdl
    assert "edges" not in sdl
    assert "node:" not in sdl


async def test_a_query_that_was_answered_before_is_refused_all_the_same_once_its_variables_cost_too_much(
    admin: Client,
) -> None:
    query = "query ($n: Int!) { runs(first: $n) { items { events(first: $n) { items { kind seq at step data } } } } }"
    for _ in range(2):
        assert await admin(query, n=1) == {"runs": {"items": []}}
        assert (await admin.error(query, n=100))["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_a_query_with_a_text_in_it_is_not_remembered() -> None:
    known = KnownDocuments()
    for query in ('{ app(key: "not-to-be-kept") { id } }', "{ apps { items { id } } }"):
        known.keep(query, parse(query))
    assert known.find('{ app(key: "not-to-be-kept") { id } }') is None
    assert known.find("{ apps { items { id } } }") is not None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'[{"query": "{ me { role } }"}]', "operations come one by one"),
        (b'{"query": "\\ud800"}', "surrogate"),
        (b'{"query": "{ me { role } }"', "unexpected end"),
    ],
)
async def test_a_body_that_can_not_be_read_is_told_why(
    http: httpx.AsyncClient, admin: Client, body: bytes, words: str
) -> None:
    headers = {"authorization": f"Bearer {admin.key}", "content-type": "application/json"}
    (error,) = (await http.post("/graphql", content=body, headers=headers)).json()["errors"]
    assert words in error["message"]


@pytest.mark.parametrize("name", [None, "second", "third"])
async def test_of_several_operations_one_is_named(
    http: httpx.AsyncClient, admin: Client, name: str | None
) -> None:
    first, second = [f'{word} {{ deleteApp(name: "shop") {{ __typename }} }}' for word in ("first", "second")]
    asked = {"query": f"mutation {first} mutation {second}", "operationName": name}
    headers = {"authorization": f"Bearer {admin.key}"}
    # What was asked before is remembered, and refused as before.
    for _ in range(2):
        body = (await http.post("/graphql", json=asked, headers=headers)).json()
        if name == "second":
            assert body == {"data": {"deleteApp": {"__typename": "NotFound"}}}
        else:
            assert body.get("data") is None
            assert body["errors"][0]["extensions"]["code"] == "BAD_QUERY"
