"""A client for calls that may go to loopback."""

from collections.abc import AsyncIterator

import pytest
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools


@pytest.fixture
async def pools() -> AsyncIterator[OutboundPools]:
    pools = OutboundPools(EgressPolicy((Opening.parse("127.0.0.0/8"), Opening.parse("::1"))))
    yield pools
    await pools.aclose()


@pytest.fixture
def client(pools: OutboundPools) -> OutboundClient:
    return OutboundClient(pools)
