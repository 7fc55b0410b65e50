"""The health port of runner and reporter: it answers as the other faces do, and tells no more."""

import socket
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
import pytest_asyncio
from headrace.health import HealthServer

from tests.security.http_answers import GARBAGE, HARDENED, raw, refused

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
