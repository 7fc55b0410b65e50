"""Who may ask a token endpoint now."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID
from weakref import WeakValueDictionary


class Turns:
    """A tenant asks one endpoint at a time, and all tenants `most`: each holds a session with Postgres meanwhile."""

    def __init__(self, most: int = 4) -> None:
        self._slots = asyncio.Semaphore(most)
        self._tenants: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def of(self, tenant_id: UUID) -> AsyncIterator[None]:
        turn = self._tenants.setdefault(tenant_id, asyncio.Lock())
        async with turn, self._slots:
            yield
