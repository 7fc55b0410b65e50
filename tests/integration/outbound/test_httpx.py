"""The transport under httpx's own client, as services use it for their own addresses."""

import httpx
import pytest
from headrace.outbound.failures import CallCode, TransportFailure
from headrace.outbound.transport import trusted_transport

from tests.journal_server import Exchange, JournalServer, answering


async def test_requests_and_answers() -> None:
    async with (
        JournalServer(answering(201, b'{"ok": true}', {"Content-Type": "application/json"})) as server,
        httpx.AsyncClient(transport=trusted_transport(), base_url=server.url) as client,
    ):
        answer = await client.post("/a%20b", json={"c": 1}, params={"d": "é"}, headers={"X-E": "f"})
    assert (answer.status_code, answer.json()) == (201, {"ok": True})
    [seen] = server.requests
    assert (seen.line, seen.body) == ("POST /a%20b?d=%C3%A9 HTTP/1.1", b'{"c":1}')
    assert seen.headers["x-e"] == "f"
    assert seen.headers["content-type"] == "application/json"


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
async def test_its_read_limit_is_kept(head: bytes) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(head)
        await exchange.forever()

    async with (
        JournalServer(script) as server,
        httpx.AsyncClient(transport=trusted_transport(), timeout=httpx.Timeout(5, read=0.1)) as client,
    ):
        with pytest.raises(httpx.TransportError) as caught:
            await client.get(server.url)
    assert isinstance(caught.value, TransportFailure)
    assert (caught.value.reason, caught.value.sent) == (CallCode.TIMEOUT, True)
    assert caught.value.request.url == server.url


async def test_a_connection_that_fails_is_one_of_its_errors() -> None:
    async with JournalServer(answering()) as gone:
        pass
    async with httpx.AsyncClient(transport=trusted_transport()) as client:
        with pytest.raises(httpx.TransportError) as caught:
            await client.get(f"{gone.url}/?key=canary")
    assert isinstance(caught.value, TransportFailure)
    assert (caught.value.reason, caught.value.sent) == (CallCode.CONNECT_FAILED, False)
    assert "canary" not in str(caught.value)


async def test_streams_are_sent_whole_with_their_length() -> None:
    async def pieces():  # type: ignore[no-untyped-def]
        yield b"ab"
        yield b"cd"

    async with (
        JournalServer(answering()) as server,
        httpx.AsyncClient(transport=trusted_transport()) as client,
    ):
        await client.put(server.url, content=pieces())
    assert server.requests[0].body == b"abcd"
    assert "transfer-encoding" not in server.requests[0].headers
