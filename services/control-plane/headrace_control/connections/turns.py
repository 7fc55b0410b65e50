"""Who may ask a token endpoint now."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID
from weakref import WeakValueDictionary

from headrace.errors import Unavailable
from headrace.outbound.target import parse_target


class Turns:
    """A tenant asks one endpoint at a time, one provider is asked by half of the places at most, and `most` places are
    there for all: each holds a session with Postgres meanwhile.

    A provider that answers nobody keeps its own tenants waiting, so, and no others. Nobody waits for longer than
    `patience` seconds: by then a runner has given up.
    """

    def __init__(self, most: int = 4, patience: float = 60.0) -> None:
        self._places = asyncio.Semaphore(most)
        self._of_one, self._patience = max(most // 2, 1), patience
        self._tenants: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._providers: WeakValueDictionary[object, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, tenant_id: UUID, endpoint: str) -> AsyncIterator[None]:
        """Held while the token endpoint at this URL is asked. Raises `Unavailable`."""
        origin = parse_target(endpoint).origin if endpoint else None
        tenant = self._tenants.setdefault(tenant_id, asyncio.Lock())
        provider = self._providers.setdefault(origin, asyncio.Semaphore(self._of_one))
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._patience):
                    for turn in (tenant, provider, self._places):
                        await held.enter_async_context(turn)
            except TimeoutError:
                raise Unavailable("too many ask for tokens at once, and their endpoints are slow") from None
            yield
