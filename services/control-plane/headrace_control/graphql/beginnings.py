"""Whose operation begins next."""

import asyncio
from collections import deque
from uuid import UUID


class Beginnings:
    """Operations begin one by one, tenants in turn, and between two of them the loop does whatever else is to be done.

    To read an operation and to begin it takes a moment of the process, up to some hundredths of a second where it is
    large, in which nobody else gets on. Thousands that come at once would have everybody wait for all of them.
    """

    def __init__(self) -> None:
        self._lines: dict[UUID, deque[asyncio.Future[None]]] = {}
        # One has begun in this round of the loop.
        self._begun = False

    async def turn(self, tenant_id: UUID) -> None:
        """Return when an operation of the tenant may begin."""
        loop = asyncio.get_running_loop()
        if not self._begun:
            self._begun = True
            loop.call_soon(self._next)
            return
        waiting = loop.create_future()
        self._lines.setdefault(tenant_id, deque()).append(waiting)
        await waiting

    def _next(self) -> None:
        """In the next round of the loop."""
        while self._lines:
            tenant_id = next(iter(self._lines))
            line = self._lines.pop(tenant_id)
            waiting = line.popleft()
            if line:
                self._lines[tenant_id] = line
            if not waiting.done():  # else who waited has gone
                waiting.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._begun = False
