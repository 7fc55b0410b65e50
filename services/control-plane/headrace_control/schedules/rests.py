"""Which schedules and backfills are left alone for a while, because something that they need was away."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

# Seconds: the rest after the first failure; each further one doubles it, up to the longest. Within the minute in which
# a firing counts as on time there are several tries.
FIRST_REST = 1.0
LONGEST_REST = 15.0
# So long behind its rest one is remembered that was not tried again: somebody paused or deleted it.
_FORGOTTEN = 60.0


@dataclass(frozen=True, slots=True)
class _Rest:
    tenant_id: UUID
    seconds: float
    until: float


class Rests:
    """In memory, of one control plane: others find out by themselves. `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rests: dict[UUID, _Rest] = {}

    def begin(self, tenant_id: UUID, one: UUID) -> None:
        """It was tried in vain: leave it alone, longer than the last time."""
        before = self._rests.get(one)
        seconds = min(before.seconds * 2, LONGEST_REST) if before else FIRST_REST
        self._rests[one] = _Rest(tenant_id, seconds, self._clock() + seconds)

    def end(self, one: UUID) -> None:
        """It was tried, and nothing was away."""
        self._rests.pop(one, None)

    def now(self) -> Sequence[UUID]:
        """Those to be left alone."""
        now = self._clock()
        for one in [one for one, rest in self._rests.items() if rest.until + _FORGOTTEN < now]:
            del self._rests[one]
        return [one for one, rest in self._rests.items() if rest.until > now]

    def tenants(self) -> Collection[UUID]:
        """Those of whom something was tried in vain the last time: with them the next try may take long, too."""
        return {rest.tenant_id for rest in self._rests.values()}

    def seconds_to_next(self) -> float | None:
        """How long until the soonest of these rests is over; None: nothing rests."""
        now = self._clock()
        return min((rest.until - now for rest in self._rests.values() if rest.until > now), default=None)
