"""What the signals say."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Messages of one queue: `ready` to be taken; `unacked` taken and not acknowledged, None where nobody counts it."""

    ready: int
    unacked: int | None = None


@dataclass(frozen=True, slots=True)
class TenantBacklog:
    """One tenant: dispatches that are due and not sent, dispatches that are sent, and for how many seconds the oldest
    of the former waits."""

    tenant_id: UUID
    due: int
    in_flight: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """Of one runner pool.

    `backlog` is what a further runner could take: jobs `ready` in the broker, each counted once, and of those `due` in
    the table as many as their tenants' limits of runs in flight leave room for. `unacked` are jobs in runners' hands,
    and `load` is both: what the fleet's size is measured by. `oldest_seconds` is for how long the oldest dispatch waits
    of the backlog, or of what was taken and not claimed. `runs_in_flight` are dispatches sent, and neither parked nor
    ended. `runners` have a live lease; together they can hold `capacity` runs, and `held` they named in their last
    renewals.
    """

    backlog: int
    load: int
    ready: int
    unacked: int
    due: int
    oldest_seconds: float
    runs_in_flight: int
    runners: int
    capacity: int
    held: int


@dataclass(frozen=True, slots=True)
class Scaling(PoolFigures):
    """All figures of one moment, over all runner pools and of each by itself (`pools`). `tenants` are those with most
    due, bounded."""

    queues: Mapping[str, QueueDepth]
    tenants: Sequence[TenantBacklog]
    pools: Mapping[str, PoolFigures]

    def as_json(self) -> dict[str, Any]:
        """The body of `GET /scaling`."""
        return asdict(self)
