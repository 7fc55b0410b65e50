"""The lease, by this machine's own clock, and what its renewals tell."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from headrace.errors import Unavailable
from headrace.ids import new_id
from headrace_runner.clock import Clock
from headrace_runner.lease import Lease


class ControlPlane:
    """Answers renewals: everything that is named is the runner's own, but for what is `lost` in the renewal of that
    place."""

    def __init__(self, *lost: list[UUID]) -> None:
        self.named: list[list[UUID]] = []
        self.lost = lost

    async def heartbeat(
        self, settled: int, capacity: int, held: list[UUID], seen: dict[str, int], timeout: float
    ) -> dict[str, Any]:
        self.named.append(held)
        now = datetime.now(UTC).isoformat()
        lost = [str(run_id) for run_id in (self.lost[len(self.named) - 1] if self.lost else ())]
        return {
            "now": now,
            "lease_seconds": 10,
            "lost": lost,
            "canceled": [],
            "paused": [],
            "inbox": {},
        }


async def test_a_new_claim_of_the_same_run_ends_the_old_one() -> None:
    lease = Lease(ControlPlane(), Clock(), 1)  # type: ignore[arg-type]
    run_id = new_id()
    old = lease.hold(run_id)
    new = lease.hold(run_id)
    await lease.renew()  # names the run: it is ours, in its newer epoch
    assert not await lease.may_call(old)
    assert await lease.may_call(new)


@pytest.mark.parametrize("lost", [False, True])
async def test_no_call_begins_while_the_lease_is_not_live(lost: bool) -> None:
    """rule call_needs_lease: after a stall the renewal tells first whose the run is by now."""
    run_id = new_id()
    lease = Lease(ControlPlane([run_id] if lost else []), Clock(), 1)  # type: ignore[arg-type]
    held = lease.hold(run_id)
    asked = asyncio.create_task(lease.may_call(held))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not asked.done()
    await lease.renew()
    assert await asked is not lost


async def test_the_lease_is_counted_from_when_its_renewal_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """rule call_needs_lease: it never says `live` for longer than the database does, however long the answer took."""
    now = [100.0]
    monkeypatch.setattr("headrace_runner.lease.time", SimpleNamespace(monotonic=lambda: now[0]))
    control_plane = ControlPlane()
    answer = control_plane.heartbeat

    async def slowly(*given: Any, **more: Any) -> dict[str, Any]:
        now[0] += 9
        return await answer(*given, **more)

    control_plane.heartbeat = slowly  # type: ignore[method-assign]
    lease = Lease(control_plane, Clock(), 1)  # type: ignore[arg-type]
    await lease.renew()
    now[0] = 109.9
    assert lease.live()
    now[0] = 110.1
    assert not lease.live()


async def test_a_claim_call_does_not_revive_a_lease_that_has_run_out() -> None:
    lease = Lease(ControlPlane(), Clock(), 1)  # type: ignore[arg-type]
    lease.kept_alive(1e12, 10, datetime.now(UTC))
    assert not lease.live()
    await lease.renew()
    assert lease.live()


async def test_a_run_that_was_left_is_named_for_a_while() -> None:
    control_plane = ControlPlane()
    lease = Lease(control_plane, Clock(), 1)  # type: ignore[arg-type]
    held = lease.hold(new_id())
    lease.leave(held)
    await lease.renew()
    assert control_plane.named == [[held.run_id]]


async def test_who_leaves_waits_until_the_claims_of_what_it_left_are_closed() -> None:
    one, other = new_id(), new_id()
    control_plane = ControlPlane([], [one], [other])
    lease = Lease(control_plane, Clock(), 2)  # type: ignore[arg-type]
    for run_id in (one, other):
        lease.leave(lease.hold(run_id))
    await lease.closed(20)
    assert control_plane.named == [[one, other], [one, other], [other]]
    await lease.closed(20)
    assert len(control_plane.named) == 3


async def test_who_leaves_waits_no_longer_than_it_may_and_than_somebody_tells() -> None:
    class Away(ControlPlane):
        async def heartbeat(self, *_: Any, **__: Any) -> dict[str, Any]:
            raise Unavailable("away")

    for control_plane, seconds in ((ControlPlane(), 0.05), (Away(), 1e9)):
        lease = Lease(control_plane, Clock(), 1)  # type: ignore[arg-type]
        lease.leave(lease.hold(new_id()))
        await lease.closed(seconds)
        assert lease.held == 0


async def test_what_was_claimed_anew_while_its_old_claim_closed_is_still_named() -> None:
    run_id = new_id()
    control_plane = ControlPlane([run_id], [])
    lease = Lease(control_plane, Clock(), 1)  # type: ignore[arg-type]
    lease.leave(lease.hold(run_id))
    again: list[Any] = []
    answer = control_plane.heartbeat

    async def meanwhile(*given: Any, **more: Any) -> dict[str, Any]:
        if not again:
            again.append(lease.hold(run_id))
        return await answer(*given, **more)

    control_plane.heartbeat = meanwhile  # type: ignore[method-assign]
    await lease.renew()
    assert not again[0].lost
    await lease.renew()
    assert control_plane.named == [[run_id], [run_id]]
