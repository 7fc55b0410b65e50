"""What one runner knows of connections: no request while all is well, and no call while it is not."""

import asyncio
from typing import Any

from headrace.errors import Unavailable
from headrace.ids import new_id
from headrace.outbound.call import CallFailure
from headrace_runner.run_pass import RunPass
from headrace_runner.throttle import ASK_AGAIN, Throttle, Ticket

RUN = RunPass(new_id(), 1, "t")
DOWN = CallFailure("CONNECT_FAILED", "", sent=False)
LIMITED = CallFailure("HTTP_429", "", sent=True, status=429, retry_after=600)


class Fleet:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.wanted: list[int] = []
        self.reports: list[dict[str, Any]] = []
        self.granted: list[int] = []
        self.permit: dict[str, Any] = {
            "granted": 0,
            "wait": 60.0,
            "probe": False,
            "blocked": False,
            "rate": 1.0,
        }
        self.open_seconds: float | None = None
        self.away = False

    async def permits(self, run: RunPass, connection_id: str, wanted: int) -> dict[str, Any]:
        if self.away:
            raise Unavailable("away")
        self.wanted.append(wanted)
        granted = self.granted.pop(0) if self.granted else self.permit["granted"]
        await asyncio.sleep(0)
        return {**self.permit, "granted": granted}

    async def report(self, run: RunPass, connection_id: str, **outcome: Any) -> dict[str, Any]:
        self.reports.append(outcome)
        return {"open_seconds": self.open_seconds}


def ticket(limited: bool = False) -> Ticket:
    return Ticket(RUN, "c", limited)


async def test_a_connection_that_is_well_costs_no_request() -> None:
    fleet = Fleet()
    throttle = Throttle(fleet)
    for _ in range(100):
        one = ticket()
        assert await throttle.admit(one) is None
        throttle.answered(one, None)
    await throttle.settled()
    assert (fleet.wanted, fleet.reports) == ([], [])


async def test_trouble_is_reported_at_once_with_what_went_well_before() -> None:
    fleet = Fleet()
    throttle = Throttle(fleet)
    fleet.open_seconds = 30.0
    for failure in (None, None, CallFailure("HTTP_404", "", sent=True, status=404), DOWN):
        throttle.answered(ticket(), failure)
    await throttle.settled()
    assert fleet.reports == [{"ok": False, "probe": False, "successes": 3, "retry_after": None}]
    wait = await throttle.admit(ticket())
    assert wait is not None
    assert 20 < wait <= 30
    throttle.answered(ticket(), LIMITED)
    await throttle.settled()
    assert fleet.reports[-1]["retry_after"] == 600


async def test_breakers_are_heard_of_with_renewals() -> None:
    throttle = Throttle(Fleet())
    throttle.heard([{"connection_id": "c", "seconds": 50.0}])
    assert await throttle.admit(ticket()) is not None
    throttle.heard([])
    assert await throttle.admit(ticket()) is None


async def test_a_half_open_breaker_is_tried_by_one_call_which_is_answered_for() -> None:
    fleet = Fleet()
    throttle = Throttle(fleet)
    throttle.heard([{"connection_id": "c", "seconds": 0.0}])
    fleet.permit |= {"granted": 1, "probe": True, "rate": None}
    probe = ticket()
    assert await throttle.admit(probe) is None
    assert probe.probe
    throttle.answered(probe, None)
    await throttle.settled()
    assert fleet.reports == [{"ok": True, "probe": True, "successes": 1, "retry_after": None}]
    assert await throttle.admit(ticket()) is None
    assert len(fleet.wanted) == 1


async def test_permits_are_taken_for_all_who_wait_in_one_request() -> None:
    fleet = Fleet()
    throttle = Throttle(fleet)
    fleet.granted = [8]
    answers = await asyncio.gather(*(throttle.admit(ticket(limited=True)) for _ in range(10)))
    assert answers.count(None) == 8
    assert all(wait > 50 for wait in answers if wait is not None)
    assert len(fleet.wanted) == 2


async def test_while_the_control_plane_is_away_nothing_limited_is_called() -> None:
    fleet = Fleet()
    fleet.away = True
    throttle = Throttle(fleet)
    async with asyncio.timeout(20):
        assert await throttle.admit(ticket(limited=True)) == ASK_AGAIN
    assert await throttle.admit(ticket()) is None
