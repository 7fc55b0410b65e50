"""Refusals of services, into the audit's inbox."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias
from uuid import UUID

from headrace.ids import new_id
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load
from headrace.refusals.tally import PERIOD_SECONDS, Tally

_sql = load("headrace.refusals")
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that a service refused, without a caller whose role or tenant is known.

    `tenant_id` is None unless we know by ourselves whose it is: then the platform's chain has it. `code` is one of a
    few words, and so is `reason`; nothing of what was sent is in them. `actor_id` is of the kind's own.
    """

    action: str
    target: str
    code: str
    reason: str | None = None
    tenant_id: UUID | None = None
    actor_kind: str = "SERVICE"
    actor_id: UUID = _NOBODY
    actor_name: str = "unknown"
    address: str | None = None


Refused: TypeAlias = Callable[[Refusal], None]


class Refusals(Tally[Refusal]):
    """Over a pool of the role headrace_api or headrace_worker."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(self._record, _one_of_many)
        self._pool = pool
        self.counts: Counter[str] = Counter()  # by code, since the process began

    def note(self, one: Refusal, times: int = 1) -> None:
        super().note(one, times)
        self.counts[one.code] += times

    async def _record(self, noted: Mapping[Refusal, int]) -> None:
        async with transaction(self._pool) as db:
            await db.execute(
                _sql.record_refusals,
                [new_id() for _ in noted],
                [one.tenant_id for one in noted],
                [one.actor_kind for one in noted],
                [one.actor_id for one in noted],
                [one.actor_name for one in noted],
                [one.action for one in noted],
                [one.target for one in noted],
                [one.code for one in noted],
                [one.reason for one in noted],
                [one.address for one in noted],
                list(noted.values()),
                PERIOD_SECONDS,
            )


def _one_of_many(one: Refusal) -> Refusal:
    """Of the many that there is no room for, what was refused and why; not whose it was."""
    kind = one.target.partition("/")[0]
    return replace(
        one,
        target=kind,
        reason=None,
        tenant_id=None,
        actor_id=_NOBODY,
        actor_name="unknown",
        address=None,
    )
