"""Connections that serve more than one call, and what a target may do to one between two of them."""

import asyncio

import pytest
from headrace.outbound.call import CallFailure, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.pools import OutboundPools

from tests.journal_server import Exchange, JournalServer, Script, answering
from tests.outbound_calls import TENANT, failing, succeeding


async def test_connections_are_kept_and_cookies_are_not(client: OutboundClient) -> None:
    async with JournalServer(answering(200, b"", {"Set-Cookie": "a=b"})) as server:
        for _ in range(3):
            await succeeding(client, OutboundCall("GET", server.url))
    assert server.connections == 1
    assert all("cookie" not in seen.headers for seen in server.requests)


def ends(how: str) -> Script:
    """Answers the first request of a connection, and ends the connection at the second."""

    async def script(exchange: Exchange) -> None:
        before = [seen for seen in exchange.server.requests if seen.connection == exchange.request.connection]
        if len(before) == 1:
            await exchange.respond()
        else:
            exchange.reset() if how == "reset" else exchange.close()

    return script


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_dropped_kept_connection_is_not_tried_again(
    client: OutboundClient, method: str, how: str
) -> None:
    async with JournalServer(ends(how)) as server:
        await succeeding(client, OutboundCall("GET", server.url))
        failure = await failing(client, OutboundCall(method, f"{server.url}/once", body=b"x"))
    assert server.paths == ["/", "/once"]
    assert (failure.code, failure.sent, failure.status) == ("CONNECTION_LOST", True, None)


async def test_a_connection_closed_while_idle_is_replaced(client: OutboundClient) -> None:
    """The target closed it between two calls; the second must not be written into it."""
    ended = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.respond()
        exchange.close()
        await exchange.writer.wait_closed()
        ended.set()

    async with JournalServer(script) as server:
        await succeeding(client, OutboundCall("POST", server.url, body=b"1"))
        await ended.wait()
        await succeeding(client, OutboundCall("POST", server.url, body=b"2"))
    assert [(seen.body, seen.connection) for seen in server.requests] == [(b"1", 1), (b"2", 2)]


async def test_what_follows_an_answer_unasked_is_not_taken_for_the_next(client: OutboundClient) -> None:
    """Response splitting over a kept connection: the second answer was never asked for."""

    async def script(exchange: Exchange) -> None:
        await exchange.respond(200, b"own", {"Connection": "keep-alive"})
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")

    async with JournalServer(script) as server:
        assert (await succeeding(client, OutboundCall("GET", f"{server.url}/1"))).body == "own"
        outcome = await client.send(OutboundCall("GET", f"{server.url}/2"), tenant_id=TENANT)
    assert isinstance(outcome, CallFailure) or outcome.body == "own"


async def test_two_hundred_slow_calls_at_once(client: OutboundClient, pools: OutboundPools) -> None:
    gate = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await gate.wait()
        await exchange.respond(200, b"ok")

    async with JournalServer(script) as server:
        calls = [
            asyncio.create_task(succeeding(client, OutboundCall("GET", f"{server.url}/{number}")))
            for number in range(250)
        ]
        await server.until(250)  # all of them are in flight: none waits for another
        gate.set()
        results = await asyncio.gather(*calls)
    assert {result.body for result in results} == {"ok"}
    assert len(pools) == 1
