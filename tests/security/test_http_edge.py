"""Whatever is sent to an HTTP face: what answers, answers in one shape, and nothing gets past the door."""

import asyncio
import re
from typing import Any

import httpx
import orjson
import pytest
from fixtures_edge import Edge, listening
from headrace_control.unexpected import AnswerUnexpected
from headrace_control.web import server
from headrace_control.web.headers import SecurityHeaders
from starlette.applications import Starlette

from tests.security.http_answers import GARBAGE, HARDENED, raw, refused

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_answer_carries_the_headers(edge: Edge) -> None:
    json = {"content-type": "application/json"}
    answers = [
        await edge.http.get("/health"),
        await edge.http.get("/ready"),
        await edge.http.get("/nowhere"),
        await edge.http.get("/graphql"),
        await edge.admin.post("{ tenant { name } }"),
        await edge.http.post("/graphql", content=b"{", headers=json),
        await edge.http.post("/callbacks/hrc_nonsense"),
        await edge.http.post("/webhooks/nonsense"),
        await edge.http.post("/graphql", content=b"x", headers={"content-encoding": "gzip"}),
        await edge.internal.post("/internal/claims"),
        await edge.internal.post("/internal/claims", headers={"authorization": "none"}),
        await edge.internal.get("/nowhere"),
    ]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HARDENED} == HARDENED, answer.request.url
        assert "server" not in answer.headers


async def test_transport_security_is_announced_when_it_is_set() -> None:
    for seconds, expected in ((0, None), (600, "max-age=600; includeSubDomains")):
        app = SecurityHeaders(Starlette(), hsts_seconds=seconds)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
            assert (await http.get("/")).headers.get("strict-transport-security") == expected


async def test_an_answer_to_the_unexpected_carries_the_headers_and_none_of_its_words() -> None:
    async def broken(*_: Any) -> None:
        raise KeyError("canary-1f2e")

    app = SecurityHeaders(AnswerUnexpected(broken))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        answer = await http.get("/")
    assert refused(answer) == (500, "INTERNAL")
    assert "canary" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_health_may_be_asked_for_its_head_alone(edge: Edge) -> None:
    for path in ("/health", "/ready"):
        answer = await edge.http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


async def test_refusals_have_one_shape_and_quote_nothing(edge: Edge) -> None:
    json = {"content-type": "application/json"}
    cases = [
        (await edge.http.get("/canary"), (404, "NOT_FOUND")),
        (await edge.http.get("/health/"), (404, "NOT_FOUND")),
        (await edge.http.delete("/health"), (405, "METHOD_NOT_ALLOWED")),
        (await edge.http.get("/graphql"), (405, "METHOD_NOT_ALLOWED")),
        (await edge.http.request("TRACE", "/graphql"), (405, "METHOD_NOT_ALLOWED")),
        (await edge.internal.get("/internal/claims"), (405, "METHOD_NOT_ALLOWED")),
        (await edge.internal.post("/internal/canary"), (404, "NOT_FOUND")),
        (await edge.internal.post("/internal/claims", json={"runner_id": "canary"}), (422, "INVALID_INPUT")),
        (
            await edge.internal.post("/internal/claims", content=b"canary", headers=json),
            (422, "INVALID_INPUT"),
        ),
        (
            await edge.internal.post("/internal/claims", content=b"\xff\xfe", headers=json),
            (422, "INVALID_INPUT"),
        ),
    ]
    for answer, expected in cases:
        assert refused(answer) == expected, answer.request.url
        assert "canary" not in answer.text


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "x-anything", "GZip"])
async def test_a_compressed_body_is_refused(edge: Edge, coding: str) -> None:
    for http, path in (
        (edge.http, "/graphql"),
        (edge.http, "/callbacks/x"),
        (edge.http, "/webhooks/x"),
        (edge.internal, "/internal/claims"),
    ):
        answer = await http.post(path, content=b"\x1f\x8b", headers={"content-encoding": coding})
        assert refused(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("sent", GARBAGE, ids=range(len(GARBAGE)))
async def test_what_is_no_request_is_refused_and_forgotten(edge: Edge, sent: bytes) -> None:
    for port in (edge.port, edge.internal_port):
        answer = await raw(port, sent)
        if answer:
            head, _, body = answer.partition(b"\r\n\r\n")
            assert re.match(b"HTTP/1.1 40[014] ", head)
            assert orjson.loads(body)["errors"][0]["extensions"]["code"] in (
                "BAD_REQUEST",
                "NOT_FOUND",
                "UNAUTHENTICATED",
            )
            assert b"canary" not in answer
    assert (await edge.http.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "begun", [b"", b"GET / HTTP/1.1\r\nx", b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /he"]
)
async def test_a_head_that_does_not_come_ends_the_connection(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.05)
    async with asyncio.timeout(30):
        await raw(edge.port, begun, end=False)


async def test_much_that_is_sent_ahead_of_an_answer_ends_the_connection() -> None:
    async def never(*_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    async with listening(never) as port, asyncio.timeout(30):
        assert await raw(port, request * (server.MAX_HEAD_BYTES // len(request) + 2), end=False) == b""


async def test_a_few_requests_sent_ahead_are_answered_in_turn(edge: Edge) -> None:
    ahead = [b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n"] * 9
    last = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answers = await raw(edge.port, b"".join([*ahead, last]), end=False)
    assert re.findall(rb"HTTP/1.1 (\d+) ", answers) == [b"404"] * 9 + [b"200"]


HANDSHAKE = (
    b"host: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /graphql?" + b"y" * 9_000 + b" HTTP/1.1\r\n" + HANDSHAKE + b"\r\n", 414),
        (b"GET /graphql HTTP/1.1\r\nx: " + b"y" * 9_000 + b"\r\n" + HANDSHAKE + b"\r\n", 431),
        (b"GET /graphql HTTP/1.1\r\n" + b"x: y\r\n" * 200 + HANDSHAKE + b"\r\n", 431),
        (b"GET /graphql HTTP/1.1\r\n" + HANDSHAKE + b"content-length: 5\r\n\r\nhello", 400),
        (b"POST /graphql HTTP/1.1\r\n" + HANDSHAKE + b"content-length: 0\r\n\r\n", 405),
        (b"GET /graphql HTTP/1.1\r\n" + HANDSHAKE.replace(b"dGhl", b"canary") + b"\r\n", 400),
        (b"GET /graphql HTTP/1.1\r\n" + HANDSHAKE.replace(b"13", b"canary") + b"\r\n", 400),
        (b"GET /canary HTTP/1.1\r\n" + HANDSHAKE + b"\r\n", 403),
    ],
    ids=range(8),
)
async def test_a_handshake_that_is_none_is_refused_as_any_request(
    edge: Edge, sent: bytes, status: int
) -> None:
    async with asyncio.timeout(30):
        answer = await raw(edge.port, sent, end=False)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert orjson.loads(body)["errors"][0]["extensions"]["correlationId"]
    assert b"canary" not in answer
    assert b"nosniff" in head
