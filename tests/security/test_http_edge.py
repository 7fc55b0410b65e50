"""Whatever is sent to an HTTP face: what answers, answers in one shape, and nothing gets past the door."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from fixtures_edge import RUNNER_TOKEN, Edge
from headrace.health import HealthServer
from headrace_control.body_limit import BodyLimit
from headrace_control.unexpected import AnswerUnexpected
from headrace_control.web import server
from headrace_control.web.headers import SecurityHeaders
from starlette.applications import Starlette
from starlette.types import Message

pytestmark = pytest.mark.asyncio(loop_scope="module")

HARDENED = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error, which must have the shape that all have."""
    assert answer.headers["content-type"].startswith("application/json")
    (error,) = answer.json()["errors"]
    assert re.fullmatch("[0-9a-f]{32}", error["extensions"]["correlationId"])
    assert error["message"]
    return answer.status_code, error["extensions"]["code"]


async def raw(port: int, sent: bytes, *, end: bool = True) -> bytes:
    """All that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    came = b""
    # A server that has heard enough closes; what is still under way is answered by a reset then.
    with contextlib.suppress(OSError):
        writer.write(sent)
        if end:
            writer.write_eof()
        while more := await reader.read(65_536):
            came += more
    writer.close()
    return came


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


async def test_a_body_that_does_not_come_is_not_waited_for_without_end() -> None:
    async def never() -> Message:
        return await asyncio.get_running_loop().create_future()

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"5")]}
    await BodyLimit(Starlette(), most=10, seconds=0.01)(scope, never, send)
    assert sent[0]["status"] == 408
    assert orjson.loads(sent[1]["body"])["errors"][0]["extensions"]["code"] == "REQUEST_TIMEOUT"


async def test_who_leaves_in_the_middle_of_a_body_is_forgotten() -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def reached(*_: Any) -> None:
        raise AssertionError("half a body is none")

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await BodyLimit(reached, most=10)(scope, receive, reached)


SPELLINGS = [
    "/internal/claims",
    "/internal/claims/",
    "/internal/claims/x",
    "/internal/claims.json",
    "/internal/claims;x=1",
    "/internal/claims.",
    "/internal/claims%00",
    "/internal/claims%20",
    "/internal/claims?x=/health",
    "/internal/claims%3fx",
    "/internal/claims%23",
    "//internal/claims",
    "/internal//claims",
    "/internal/./claims",
    "/internal/x/../claims",
    "/health/../internal/claims",
    "/health/..%2finternal/claims",
    "/%69nternal/claims",
    "/internal%2fclaims",
    "/internal%5cclaims",
    "/internal\\claims",
    "/INTERNAL/CLAIMS",
    "/Internal/Claims",
    "/internal/claim%73",
    "/internal",
    "/",
    "*",
    "http://127.0.0.1/internal/claims",
    "http://internal/internal/claims",
    "/health",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/internal/openapi.json",
]
METHODS = ["POST", "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "POSTX", "post"]


async def test_no_spelling_of_a_path_and_no_method_passes_the_door(edge: Edge) -> None:
    for path in SPELLINGS:
        for method in METHODS:
            asked = (
                f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
            )
            answer = await raw(edge.internal_port, asked.encode("latin-1"), end=False)
            assert answer.startswith(b"HTTP/1.1 401 "), (method, path, answer[:80])


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["authorization: "],
        ["authorization: Bearer"],
        ["authorization: Bearer "],
        ["authorization: Bearer hr_00000000_" + "x" * 43],
        [f"authorization: {RUNNER_TOKEN}"],
        [f"authorization: Bearer {RUNNER_TOKEN}"],
        ["authorization: Basic {session}"],
        ["authorization: Bearer {half}"],
        ["authorization: Bearer {session}x"],
        ["authorization: Bearer {session}, Bearer {session}"],
        ["authorization: Bearer {session}", "authorization: Bearer x"],
        ["authorization: Bearer x", "authorization: Bearer {session}"],
        ["authorization: Bearer \xe9\xff"],
        ["x-authorization: Bearer {session}"],
        ["proxy-authorization: Bearer {session}"],
        ["cookie: authorization=Bearer {session}"],
        ["x-forwarded-for: 127.0.0.1", "x-original-url: /health", "x-rewrite-url: /health"],
    ],
)
async def test_nothing_but_a_session_opens_the_door(edge: Edge, headers: list[str]) -> None:
    session = edge.internal.headers["authorization"].removeprefix("Bearer ")
    lines = "".join(f"{line.format(session=session, half=session[:-1])}\r\n" for line in headers)
    asked = f"POST /internal/releases HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}content-length: 2\r\n\r\n{{}}"
    assert (await raw(edge.internal_port, asked.encode("latin-1"), end=False)).startswith(b"HTTP/1.1 401 ")


async def test_a_session_opens_it_and_a_websocket_does_not(edge: Edge) -> None:
    assert (await edge.internal.post("/internal/heartbeats", json={})).status_code == 422
    handshake = (
        "GET /internal/claims HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert (await raw(edge.internal_port, handshake.encode(), end=False)).startswith(b"HTTP/1.1 403 ")


async def test_a_route_without_a_check_of_its_own_stands_behind_the_door_too(edge: Edge) -> None:
    async def reached() -> None:
        pass

    edge.internal_app.add_api_route("/new", reached)
    assert refused(await edge.internal.get("/new", headers={"authorization": "none"})) == (
        401,
        "UNAUTHENTICATED",
    )
    assert (await edge.internal.get("/new")).status_code == 200


GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"\x00" * 1_000,
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    b"POST /graphql HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"POST /graphql HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"\r\n" * 40_000,
    "GET /canary-é HTTP/1.1\r\n\r\n".encode(),
]


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


@pytest_asyncio.fixture(loop_scope="module")
async def health() -> AsyncIterator[int]:
    async def ill() -> None:
        raise ConnectionError("postgres://user:canary@host")

    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    serving = HealthServer("127.0.0.1", port, {"bus": ill}, lambda: b"")
    await serving.start()
    yield port
    await serving.close()


async def test_the_health_port_of_runner_and_reporter_tells_no_more(health: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{health}", trust_env=False) as http:
        assert (await http.get("/health")).status_code == 200
        assert refused(await http.get("/canary")) == (404, "NOT_FOUND")
        assert refused(await http.post("/health")) == (405, "METHOD_NOT_ALLOWED")
        ready = await http.get("/ready")
        assert ready.json()["checks"] == {"bus": "failing (ConnectionError)"}
        for answer in (ready, await http.get("/nowhere"), await http.get("/metrics")):
            assert {name: answer.headers.get(name) for name in HARDENED} == HARDENED
            assert answer.headers["server"] == "headrace"
    for sent in GARBAGE:
        answer = await raw(health, sent)
        assert b"canary" not in answer
        assert b"Traceback" not in answer
        if answer:
            assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["errors"][0]["extensions"]["code"]


async def test_a_health_check_that_breaks_is_answered_without_its_words() -> None:
    def broken() -> bytes:
        raise KeyError("canary")

    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    serving = HealthServer("127.0.0.1", port, {}, broken)
    await serving.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        answer = await http.get("/metrics")
    await serving.close()
    assert refused(answer) == (500, "INTERNAL")
    assert "canary" not in answer.text
