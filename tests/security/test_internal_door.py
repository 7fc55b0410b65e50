"""The runners' face: nothing but a session passes its door, however a path is spelled."""

import pytest
from fixtures_edge import RUNNER_TOKEN, Edge

from tests.security.http_answers import raw, refused

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
