"""Requests whose bodies are more than one piece, to targets that do not wait for their end."""

import asyncio
import contextlib

import pytest
from headrace.outbound.call import OutboundCall
from headrace.outbound.client import OutboundClient

from tests.journal_server import JournalServer, answering
from tests.outbound_calls import failing, succeeding


@pytest.mark.parametrize("size", [0, 1, 1 << 18, 3_000_000])
async def test_bodies_of_every_size_arrive_whole(client: OutboundClient, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with JournalServer(answering()) as server:
        await succeeding(client, OutboundCall("PUT", server.url, body=body))
    assert server.requests[0].body == body


@pytest.mark.parametrize("closes", [True, False])
async def test_an_answer_before_the_end_of_a_large_body_counts(client: OutboundClient, closes: bool) -> None:
    """The target refuses by the head alone. The connection is not used again."""
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        if closes:
            writer.write_eof()
        while await reader.read(1 << 16):
            pass
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for path in ("/one", "/two"):
            call = OutboundCall("PUT", url + path, body=bytes(40_000_000), timeout=20.0)
            failure = await failing(client, call)
            assert (failure.code, failure.sent, failure.status) == ("HTTP_413", True, 413)
    assert heads == [b"PUT /one HTTP/1.1", b"PUT /two HTTP/1.1"]


async def test_a_connection_that_ends_while_a_large_body_is_written_is_lost(client: OutboundClient) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    server = await asyncio.start_server(leave, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        failure = await failing(client, OutboundCall("PUT", url, body=bytes(40_000_000)))
    assert (failure.code, failure.sent, failure.status) == ("CONNECTION_LOST", True, None)


async def test_a_large_body_is_not_written_on_once_the_call_is_cut_off(client: OutboundClient) -> None:
    cut, got = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await cut.wait()
        size = 0
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 20):
                size += len(piece)
        writer.close()
        got.set_result(size)

    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        failure = await failing(client, OutboundCall("PUT", url, body=bytes(40_000_000), timeout=0.3))
        cut.set()
        assert await asyncio.wait_for(got, 20) < 40_000_000
    assert (failure.code, failure.sent) == ("TIMEOUT", True)
