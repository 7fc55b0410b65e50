"""How many of a pool's sessions are one tenant's at once."""

import asyncio
from uuid import UUID
from weakref import WeakValueDictionary


class Shares:
    """Of `most` sessions a tenant has half at most, whether there are others or not.

    Whoever wants more waits for those of its own tenant: however many ask at once, and however long what they ask for
    takes, others come by a session.
    """

    def __init__(self, most: int) -> None:
        self._half = max(most // 2, 1)
        self._of: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, tenant_id: UUID) -> asyncio.Semaphore:
        """To be held, with the answer, as long as a session is."""
        return self._of.setdefault(tenant_id, asyncio.Semaphore(self._half))
