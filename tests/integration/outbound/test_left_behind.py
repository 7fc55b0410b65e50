"""What a failed call leaves: nothing that knows its request, whose body and credential would stay in memory."""

import gc
import sys

import pytest
from aiohttp.streams import StreamReader
from headrace.outbound.call import OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.pools import OutboundPools

from tests.journal_server import Exchange, JournalServer, Script, answering, writing
from tests.loopback import loopback
from tests.outbound_calls import failing


async def half_an_answer(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nno")
    exchange.writer.close()


async def no_answer(exchange: Exchange) -> None:
    exchange.writer.close()


async def uses_left(client: OutboundClient, url: str, code: str) -> int:
    """By how many more the body is known after the call than before, without the collector's help."""
    body = bytes(1000)
    before = sys.getrefcount(body)
    gc.disable()
    try:
        failure = await failing(client, OutboundCall("POST", url, body=body))
        assert failure.code == code
        return sys.getrefcount(body) - before
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (writing(b"GARBAGE\r\n\r\n"), "BAD_RESPONSE"),
        (half_an_answer, "CONNECTION_LOST"),
        (no_answer, "CONNECTION_LOST"),
    ],
)
async def test_an_answer_that_is_none_leaves_nothing(
    client: OutboundClient, script: Script, code: str
) -> None:
    async with JournalServer(script) as server:
        assert await uses_left(client, server.url, code) == 0


async def test_a_refused_connection_leaves_nothing(client: OutboundClient) -> None:
    with loopback() as listener:
        port = listener.getsockname()[1]
    assert await uses_left(client, f"http://127.0.0.1:{port}", "CONNECT_FAILED") == 0


async def test_an_answer_that_is_too_long_leaves_nothing(
    pools: OutboundPools, client: OutboundClient
) -> None:
    async with JournalServer(answering(body=bytes(1 << 21))) as server:
        before = {id(each) for each in gc.get_objects() if isinstance(each, StreamReader)}
        gc.disable()
        try:
            failure = await failing(client, OutboundCall("GET", server.url, response_limit=1 << 10))
            assert failure.code == "RESPONSE_TOO_LARGE"
            await pools.aclose()
            bodies = [each for each in gc.get_objects() if isinstance(each, StreamReader)]
            assert {id(each) for each in bodies} <= before
        finally:
            gc.enable()
