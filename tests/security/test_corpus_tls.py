"""P9, before a call is sent: whatever a target says in place of a TLS handshake, the call fails as one not sent."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from headrace.outbound.call import CallFailure, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools

from tests.security.hostile_server import CORPORA, load, send

CASES = load(CORPORA / "tls.yaml")
MOST_CPU = 1.0  # of both ends: the server is in this process


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[OutboundClient]:
    pools = OutboundPools(EgressPolicy((Opening.parse("127.0.0.0/8"),)))
    yield OutboundClient(pools)
    await pools.aclose()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_a_hostile_handshake(client: OutboundClient, case: dict[str, Any]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if case.get("after"):
                await reader.read(1)
            await send(case["send"], reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        started = time.process_time()
        call = OutboundCall("POST", f"https://127.0.0.1:{port}/", body=b"x", timeout=case.get("timeout", 20))
        outcome = await client.send(call, tenant_id="tenant")
        spent = time.process_time() - started
    assert isinstance(outcome, CallFailure)
    assert outcome.code in case["codes"]
    assert not outcome.sent
    assert spent < MOST_CPU
