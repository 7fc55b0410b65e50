"""P7: name servers that never answer hold up the tenant who calls their names, and nobody else."""

import asyncio
import socket
import threading
from collections import Counter
from typing import Any

import pytest
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.lookups import LOOKUPS, LOOKUPS_OF_ONE, thread_resolver
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools

from tests.journal_server import JournalServer, answering

SLOW = LOOKUPS // LOOKUPS_OF_ONE - 1  # tenants whose name servers are dead, as many as leave one the rest


class Silence:
    """The system's resolver, where `*.dead.example` is never answered for. `under_way` counts by tenant."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.under_way: Counter[str] = Counter()
        self.asked: asyncio.Event = asyncio.Event()
        self._loop, self._real = asyncio.get_running_loop(), socket.getaddrinfo

    def getaddrinfo(self, host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if not str(host).endswith(".dead.example"):
            return self._real("127.0.0.1" if host == "live.example" else host, port, *rest, **more)
        tenant = str(host).split(".")[1]
        self.under_way[tenant] += 1
        self._loop.call_soon_threadsafe(self.asked.set)
        self.over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")

    async def reached(self, count: int) -> None:
        while sum(self.under_way.values()) < count:
            self.asked.clear()
            await self.asked.wait()


@pytest.fixture
async def silence(monkeypatch: pytest.MonkeyPatch) -> Any:
    silent = Silence()
    monkeypatch.setattr(socket, "getaddrinfo", silent.getaddrinfo)
    yield silent
    silent.over.set()


@pytest.fixture
def open_here() -> OutboundPools:
    return OutboundPools(EgressPolicy((Opening.parse("127.0.0.1"),)))


async def test_dead_name_servers_of_many_tenants_hold_up_none_of_the_others(
    silence: Silence, open_here: OutboundPools
) -> None:
    client = OutboundClient(open_here)
    calls = [
        asyncio.create_task(call(client, f"http://a{n}.t{tenant}.dead.example/", f"t{tenant}"))
        for tenant in range(SLOW)
        for n in range(LOOKUPS_OF_ONE * 2)
    ]
    await silence.reached(SLOW * LOOKUPS_OF_ONE)
    async with JournalServer(answering(200, b"ok")) as target:
        answer = await call(client, f"http://live.example:{target.port}/", "another")
    assert isinstance(answer, CallResult)
    assert max(silence.under_way.values()) == LOOKUPS_OF_ONE
    silence.over.set()
    failed = await asyncio.gather(*calls)
    assert {answer.code for answer in failed if isinstance(answer, CallFailure)} == {"DNS_FAILED"}
    await open_here.aclose()


async def test_a_lookup_that_is_given_up_keeps_its_turn_until_it_ends(silence: Silence) -> None:
    """Else whoever gives lookups up fast takes thread after thread."""
    threads = asyncio.Semaphore(LOOKUPS)
    resolve, others = thread_resolver(threads), thread_resolver(threads)
    for n in range(LOOKUPS_OF_ONE):
        given_up = asyncio.create_task(resolve(f"a{n}.impatient.dead.example", 80))
        await silence.reached(n + 1)
        given_up.cancel()
        await asyncio.wait([given_up])
    one_more = asyncio.create_task(resolve("more.impatient.dead.example", 80))
    assert await others("live.example", 80) == ["127.0.0.1"]
    assert silence.under_way == {"impatient": LOOKUPS_OF_ONE}
    silence.over.set()
    with pytest.raises(socket.gaierror):
        await one_more


async def call(client: OutboundClient, url: str, tenant: str) -> CallResult | CallFailure:
    return await client.send(OutboundCall("GET", url, timeout=60), tenant_id=tenant)
