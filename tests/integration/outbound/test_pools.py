"""One pool per tenant, bounded in number, closed when idle."""

import asyncio

import pytest
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.connector import Dial
from headrace.outbound.failures import TransportFailure
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools, PoolLimits
from headrace.outbound.target import parse_target

from tests.journal_server import Exchange, JournalServer, answering

LOOPBACK = EgressPolicy((Opening.parse("127.0.0.0/8"),))


async def test_tenants_share_no_connection() -> None:
    pools = OutboundPools(LOOPBACK)
    async with JournalServer(answering()) as server:
        for tenant in ("a", "b", "a", "b"):
            await OutboundClient(pools).send(OutboundCall("GET", server.url), tenant_id=tenant)
        await pools.aclose()
    assert [seen.connection for seen in server.requests] == [1, 2, 1, 2]


async def test_the_number_of_pools_is_bounded_but_never_at_the_cost_of_a_call() -> None:
    pools = OutboundPools(LOOPBACK, PoolLimits(tenants=2))
    gate = asyncio.Event()

    async def hold(tenant: str) -> None:
        with pools.use(tenant):
            await gate.wait()

    held = [asyncio.create_task(hold(tenant)) for tenant in "abc"]
    while len(pools) < 3:
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*held)
    with pools.use("d"):
        assert len(pools) == 2
    await pools.aclose()
    assert len(pools) == 0


async def test_closing_ends_calls_in_flight_and_refuses_later_ones() -> None:
    pools = OutboundPools(LOOPBACK)
    client = OutboundClient(pools)
    async with JournalServer(Exchange.forever) as server:
        call = asyncio.create_task(client.send(OutboundCall("GET", server.url), tenant_id="a"))
        await server.until(1)
        await pools.aclose()
        outcomes = [await call, await client.send(OutboundCall("GET", server.url), tenant_id="a")]
    failures = [(o.code, o.sent) for o in outcomes if isinstance(o, CallFailure)]
    assert failures == [("CONNECTION_LOST", True), ("CONNECT_FAILED", False)]
    assert len(server.requests) == 1


async def test_idle_pools_are_closed_when_another_is_used() -> None:
    pools = OutboundPools(LOOPBACK, PoolLimits(idle=0.0))
    with pools.use("a") as first, pools.use("b"):
        assert len(pools) == 2
    with pools.use("c"), pools.use("a") as again:
        assert again is not first
        assert len(pools) == 2
    await pools.aclose()
    with pytest.raises(TransportFailure, match="closed"):
        await first.exchange("GET", parse_target("http://127.0.0.1:9/"), (), b"", Dial())


async def test_a_tenants_connection_limit_is_its_own() -> None:
    pools = OutboundPools(LOOPBACK, PoolLimits(connections=2))
    client = OutboundClient(pools)
    gate = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await gate.wait()
        await exchange.respond(200, b"ok")

    async with JournalServer(script) as server:
        many = [
            asyncio.create_task(client.send(OutboundCall("GET", server.url), tenant_id="busy"))
            for _ in range(5)
        ]
        await server.until(2)
        other = asyncio.create_task(client.send(OutboundCall("GET", f"{server.url}/o"), tenant_id="other"))
        await server.until(3)
        assert server.paths == ["/", "/", "/o"]
        gate.set()
        outcomes = await asyncio.gather(*many, other)
    await pools.aclose()
    assert all(isinstance(outcome, CallResult) for outcome in outcomes)
    assert server.connections == 3
