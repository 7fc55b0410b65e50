"""What ends a relay's rest before its time."""

import asyncio

from headrace.postgres.listen import ROOM


class Alarm:
    """Rings when something became due; when a place in flight came free, only if the last look left something that
    waits for one. What is heard while a look is under way is kept until it is known what the look leaves."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._due = self._room = False
        self._held_back = True

    def hear(self, payload: str = "") -> None:
        """A notification of the dispatch channel."""
        if payload == ROOM:
            self._room = True
        else:
            self._due = True
        self._ring()

    def look_begins(self) -> None:
        """What was heard before is seen by this look. Until it has ended, something may be held back."""
        self._due, self._room, self._held_back = False, False, True
        self._ring()

    def look_ended(self, *, held_back: bool) -> None:
        """Whether the look left something that is due."""
        self._held_back = held_back
        self._ring()

    async def rung(self) -> None:
        """Wait until it rings."""
        await self._rung.wait()

    def _ring(self) -> None:
        if self._due or (self._room and self._held_back):
            self._rung.set()
        else:
            self._rung.clear()
