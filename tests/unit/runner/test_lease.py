"""The lease, by this machine's own clock, and what its renewals tell."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace_runner.clock import Clock
from headrace_runner.lease import Lease


class ControlPlane:
    """Answers renewals: everything that is named is the runner's own."""

    def __init__(self) -> None:
        self.named: list[list[UUID]] = []

    async def heartbeat(
        self, settled: int, capacity: int, held: list[UUID], seen: dict[str, int], timeout: float
    ) -> dict[str, Any]:
        self.named.append(held)
        now = datetime.now(UTC).isoformat()
        return {"now": now, "lease_seconds": 10, "lost": [], "canceled": [], "paused": [], "inbox": {}}


async def test_a_new_claim_of_the_same_run_ends_the_old_one() -> None:
    lease = Lease(ControlPlane(), Clock(), 1)  # type: ignore[arg-type]
    run_id = new_id()
    old = lease.hold(run_id)
    new = lease.hold(run_id)
    await lease.renew()  # names the run: it is ours, in its newer epoch
    assert not await lease.may_call(old)
    assert await lease.may_call(new)


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
