"""Work of many tenants, side by side."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

from headrace_control.lanes import Lanes, Piece

A, B, C = uuid4(), uuid4(), uuid4()


class Work:
    """Pieces that wait until they are let go, and the tenants whose pieces are at work, in order."""

    def __init__(self) -> None:
        self.begun: list[UUID] = []
        self.go = asyncio.Event()

    def pieces(self, tenants: Sequence[UUID], *, slow: bool) -> list[Piece]:
        return [Piece(tenant, uuid4(), lambda tenant=tenant: self._work(tenant, slow)) for tenant in tenants]

    async def _work(self, tenant: UUID, slow: bool) -> bool:
        self.begun.append(tenant)
        if slow:
            await self.go.wait()
        return True


async def test_a_slow_tenant_has_half_of_the_places_and_is_not_waited_for() -> None:
    work, ends = Work(), asyncio.Event()
    lanes = Lanes(4, ends.set)
    pieces = [*work.pieces([A] * 9, slow=True), *work.pieces([B] * 30, slow=False)]
    assert await lanes.work_off(pieces, 0.2) == 30
    assert work.begun == [A, A, *[B] * 30]
    assert (len(lanes.at_work), lanes.full) == (2, [A])
    # It is as busy as before, and others' pieces are worked off at once.
    assert await lanes.work_off(work.pieces([C], slow=False), 60) == 1
    work.go.set()
    async with asyncio.timeout(5):
        await ends.wait()
        while lanes.at_work:
            await asyncio.sleep(0)
    assert await lanes.work_off(work.pieces([A] * 3, slow=True), 60) == 3


async def test_doubtful_tenants_share_half_of_the_places() -> None:
    work = Work()
    lanes = Lanes(4)
    tenants = [uuid4() for _ in range(5)]
    pieces = [*work.pieces([A, *tenants, A], slow=True), *work.pieces([B], slow=False)]
    assert await lanes.work_off(pieces, 0.1, {A, *tenants}) == 1
    assert work.begun == [A, tenants[0], B]
    await lanes.stop()
    assert await lanes.work_off(work.pieces([A], slow=False), 60) == 1


async def test_a_piece_that_raises_is_in_nobodys_way() -> None:
    async def broken() -> bool:
        raise ValueError

    lanes = Lanes(1)
    pieces = [Piece(A, uuid4(), broken), *Work().pieces([B], slow=False)]
    assert await lanes.work_off(pieces, 60) == 1
