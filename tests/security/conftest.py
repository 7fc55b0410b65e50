"""Fixtures of more than one suite here."""

from collections.abc import AsyncIterator

import pytest_asyncio
from fixtures_edge import Edge
from headrace_control.auth.caller import Caller

from tests.security.two_tenants import World, furnish


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(edge: Edge) -> AsyncIterator[World]:
    authenticator = edge.composed.authenticator
    callers: dict[str, Caller] = {
        role: await authenticator.caller(f"Bearer {keyed.key}") for role, keyed in edge.keys.items()
    }
    callers["platform"] = await authenticator.caller(f"Bearer {edge.platform.key}")
    made = World(edge, callers, await authenticator.caller(f"Bearer {edge.stranger.key}"))
    await furnish(made)
    yield made
