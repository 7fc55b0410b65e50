"""Whether a job gets its run. `judge` is the one place that says so."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headrace.pools import DEFAULT_POOL, named
from headrace.workflow.state import ENDED_RUN, ParkReason, RunStatus

from headrace_control.internal_api.outcome import Outcome

# After so many it is a suspect: handed out only to a process that carries nothing else. What a poisonous run
# takes down with it from then on is itself alone, so that its neighbours are not counted against any more.
SUSPECT_AFTER = 2


@dataclass(frozen=True, slots=True)
class Claimable:
    """What a claim looks at, read under the run row's lock."""

    status: RunStatus
    dispatch_id: UUID
    claim_open: bool
    claim_live: bool
    fruitless_claims: int
    dead_letter: bool
    cancel_requested: bool
    pool: str = DEFAULT_POOL


def judge(run: Claimable, dispatch_ids: Collection[UUID], alone: bool, pool: str = DEFAULT_POOL) -> Outcome:
    """Whether a job with one of `dispatch_ids` gets the run, for a runner of `pool`. `alone`: who asks carries no other
    run, now and later."""
    if run.pool != pool:
        return Outcome.OTHER_POOL  # whatever queue its job was in, and whatever became of the run
    if run.status in ENDED_RUN or run.status is RunStatus.PAUSED:
        return Outcome.REFUSED  # rule claim_refuses_paused
    if run.dispatch_id not in dispatch_ids:
        return Outcome.REFUSED  # rule claim_needs_current_dispatch
    if run.claim_live:
        return Outcome.REFUSED  # rule claim_waits_for_lease: a redelivery proves nothing
    # A cancel is heard whatever the run has done, for it starts no call. Undoing does.
    if not run.cancel_requested or run.status is RunStatus.COMPENSATING:
        if run.dead_letter:
            return Outcome.REFUSED  # an old copy of its job; it waits for a person
        if run.claim_open and run.fruitless_claims >= SUSPECT_AFTER and not alone:
            return Outcome.ALONE  # rule suspect_goes_alone
    # rule takeover_known_from_row: the open claim says so, whatever the redelivered flag says
    return Outcome.TAKEOVER if run.claim_open else Outcome.GRANTED


def outcome_of(row: Any, dispatch_ids: Collection[UUID], live: bool, alone: bool, pool: str) -> Outcome:
    """What `judge` says of a locked row; `live`: its claim is. Without a row the job is refused."""
    if row is None:
        return Outcome.REFUSED
    claim_open = row["claimed_by"] is not None
    run = Claimable(
        RunStatus(row["status"]),
        row["dispatch_id"],
        claim_open,
        live,
        row["fruitless_claims"],
        row["wait_reason"] == ParkReason.DEAD_LETTER,
        row["cancel_requested"],
        named(row["pool"]),
    )
    return judge(run, dispatch_ids, alone, pool)
