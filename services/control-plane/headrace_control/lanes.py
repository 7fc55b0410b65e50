"""Work of many tenants, side by side, so that what is slow about one tenant's keeps no other's waiting."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from headrace_control.unexpected import report_unexpected


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a tenant's work, on what `id` names. `work` answers whether there was anything to do, and deals with
    its errors itself."""

    tenant_id: UUID
    id: UUID
    work: Callable[[], Awaitable[bool]]


class Lanes:
    """So many `places` for pieces at work; a tenant has half of them at most. `outlived` is called when a piece ends
    that was not waited for to its end."""

    def __init__(self, places: int, outlived: Callable[[], None] = lambda: None) -> None:
        self._places, self._half, self._outlived = places, max(places // 2, 1), outlived
        self._at_work: dict[asyncio.Task[bool], Piece] = {}

    @property
    def at_work(self) -> Sequence[UUID]:
        """The ids of the pieces at work."""
        return [piece.id for piece in self._at_work.values()]

    @property
    def full(self) -> Sequence[UUID]:
        """The tenants that have no place left."""
        tenants = [piece.tenant_id for piece in self._at_work.values()]
        return [one for one in set(tenants) if tenants.count(one) >= self._half]

    async def work_off(
        self, pieces: Sequence[Piece], seconds: float, doubtful: Collection[UUID] = frozenset()
    ) -> int:
        """Begin the pieces in their order, and wait for their ends, both for so many seconds at most; what was not
        begun then is left out, what was goes on. How many of the pieces that ended in this time did something.

        The tenants of whom it is known that their pieces may take long, the `doubtful`, have half of the places
        together, and one each.
        """
        clock = asyncio.get_running_loop().time
        until, waiting, done = clock() + seconds, list(pieces), 0
        begun: set[asyncio.Task[bool]] = set()
        while (left := until - clock()) > 0:
            waiting = self._begin(waiting, doubtful, begun)
            if not begun and not waiting:
                break
            await asyncio.wait([*self._at_work], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            ended = {task for task in begun if task.done()}
            begun -= ended
            done += sum(map(self._take_away, ended))
        for task in begun:
            task.add_done_callback(self._outlives)
        return done

    async def stop(self) -> None:
        """End what is at work."""
        for task in self._at_work:
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    def _begin(
        self, waiting: Sequence[Piece], doubtful: Collection[UUID], begun: set[asyncio.Task[bool]]
    ) -> list[Piece]:
        """Begin what there is room for, and answer what there is none for."""
        left = []
        for piece in waiting:
            if self._has_room(piece.tenant_id, doubtful):
                task = asyncio.ensure_future(piece.work())
                self._at_work[task] = piece
                begun.add(task)
            else:
                left.append(piece)
        return left

    def _has_room(self, tenant_id: UUID, doubtful: Collection[UUID]) -> bool:
        tenants = [piece.tenant_id for piece in self._at_work.values()]
        if len(tenants) >= self._places:
            return False
        if tenant_id in doubtful:
            return tenant_id not in tenants and sum(one in doubtful for one in tenants) < self._half
        return tenants.count(tenant_id) < self._half

    def _outlives(self, task: asyncio.Task[bool]) -> None:
        self._take_away(task)
        self._outlived()

    def _take_away(self, ended: asyncio.Task[bool]) -> bool:
        """What the piece answered."""
        del self._at_work[ended]
        if ended.cancelled():
            return False
        if error := ended.exception():
            report_unexpected(error)
            return False
        return ended.result()
