"""What one answer asks of several tenants, side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from uuid import UUID

_Part = TypeVar("_Part")
_Result = TypeVar("_Result")

# Tenants at once, of one answer: each may take a session of the pool that requests use, too. No bound is shared between
# answers, so that a tenant whose keys are slow to come holds up no runner that did not ask for them.
AT_ONCE = 4


async def by_tenant(
    parts: Mapping[UUID, _Part], ask: Callable[[UUID, _Part], Awaitable[_Result]]
) -> Mapping[UUID, _Result]:
    """What `ask` gives for each tenant and its part. Raises what the first that failed raised, once all have ended."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(tenant_id: UUID, part: _Part) -> _Result:
        async with gate:
            return await ask(tenant_id, part)

    asked = await asyncio.gather(*(one(*item) for item in parts.items()), return_exceptions=True)
    results: dict[UUID, _Result] = {}
    for tenant_id, result in zip(parts, asked, strict=True):
        if isinstance(result, BaseException):
            raise result
        results[tenant_id] = result
    return results
