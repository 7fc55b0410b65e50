"""Claims: a runner's exclusive right to advance a run, numbered by its epoch.

The rules are those of tests/model/protocol.py. `judge` is the one place that says whether a job is granted.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from headrace.ids import new_id
from headrace.pools import DEFAULT_POOL, named, stored
from headrace.postgres.listen import RUNS_CHANNEL
from headrace.postgres.pool import PLAN_ONCE, Pool, one_statement, transaction
from headrace.postgres.queries import load
from headrace.refusals.audit import Refusal, Refused
from headrace.telemetry.context import TraceContext
from headrace.telemetry.traces import Traces
from headrace.workflow.state import ENDED_RUN, ParkReason, RunStatus
from prometheus_client import CollectorRegistry

from headrace_control.internal_api.barrier import Barrier
from headrace_control.internal_api.handover import Handover
from headrace_control.internal_api.metrics import ClaimMetrics
from headrace_control.internal_api.models import CheckpointsBody, ClaimsBody, JobRef
from headrace_control.internal_api.outcome import Outcome
from headrace_control.internal_api.run_tokens import mint_run_token
from headrace_control.internal_api.sessions import KnownRunner
from headrace_control.tracing import trace_claim

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.internal_api")

# Take-overs without progress before a run is set aside as a dead letter.
MAX_FRUITLESS_CLAIMS = 5
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


class Claims:
    """Grants claims in batches, and hands over what a claim entitles to."""

    def __init__(
        self,
        pool: Pool,
        handover: Handover,
        barrier: Barrier,
        lease: timedelta,
        refused: Refused,
        traces: Traces | None = None,
        metrics: ClaimMetrics | None = None,
    ) -> None:
        self._pool, self._handover, self._barrier, self._lease = pool, handover, barrier, lease
        self._refused, self._traces = refused, traces
        self._metrics = metrics or ClaimMetrics(CollectorRegistry())

    async def claim(self, runner: KnownRunner, body: ClaimsBody) -> dict[str, Any]:
        """Answer a batch of jobs, in one transaction; `DatabaseUnavailable` means: none was claimed, or the
        answer is lost, and the claims lapse."""
        runner_id = runner.id
        wanted = list(dict.fromkeys(job.run_id for job in body.jobs))
        async with transaction(self._pool, PLAN_ONCE) as db:
            rows = {row["id"]: row for row in await db.fetch(_sql.lock_for_claim, wanted)}
            jobs: dict[UUID, set[UUID]] = {run_id: set() for run_id in wanted}
            foreign = [job for job in body.jobs if _is_foreign(job, rows.get(job.run_id))]
            for job in body.jobs:
                if job not in foreign:
                    jobs[job.run_id].add(job.dispatch_id)
            # After the runs: a run's lock may have to be waited for, and renewals must not wait with it.
            lease: tuple[Any, ...] = self._lease, body.capacity, stored(runner.pool)
            held = [run_id for run_id, row in rows.items() if row["claimed_by"] is not None]
            live = set()
            if held:
                await db.execute(_sql.keep_lease, runner_id, body.call, *lease)
                lease = None, None, None
                live = {row["id"] for row in await db.fetch(_sql.live_claims, held)}
            outcomes = {
                i: _outcome(rows.get(i), ids, i in live, body.alone, runner.pool) for i, ids in jobs.items()
            }
            granted = [i for i, o in outcomes.items() if o in (Outcome.GRANTED, Outcome.TAKEOVER)]
            tokens = {run_id: mint_run_token() for run_id in granted}
            hashes = [token.hash for token in tokens.values()]
            answered = await db.fetch(_sql.claim, granted, runner_id, body.call, hashes, *lease)
        raised = {row["id"]: row for row in answered if row["id"] is not None}
        for job in foreign:
            self._refused(_foreign(job, rows[job.run_id]["tenant_id"], runner_id))
        self._metrics.answered(outcomes.values())
        answer: dict[UUID, dict[str, Any]] = {}
        fresh = []
        for run_id, outcome in outcomes.items():
            answer[run_id] = {"run_id": run_id, "outcome": outcome}
            if run_id in raised:
                row = {**rows[run_id], **raised[run_id]}
                answer[run_id] |= {
                    "epoch": row["epoch"],
                    "tenant_id": row["tenant_id"],
                    "run_token": tokens[run_id].text,
                    "fruitless_claims": row["fruitless_claims"],
                    **self._traced(row, outcome, body.jobs),
                }
                if row["epoch"] == 1:
                    self._metrics.began(row["created_at"], row["started_at"])
                if outcome is Outcome.GRANTED:
                    fresh.append(row)
        given, versions = await self._handover.of(await self._handover.fitting(fresh), body.have)
        for row in fresh:
            if row["id"] not in given:
                # Too much for one answer: it is fetched by itself, behind the barrier like a take-over's.
                answer[row["id"]]["outcome"] = Outcome.TAKEOVER
        for run_id, what in given.items():
            answer[run_id] |= what
        return {
            "now": answered[0]["now"],
            "lease_seconds": self._lease.total_seconds(),
            "claims": [answer[run_id] for run_id in jobs],
            "versions": versions,
        }

    def _traced(self, row: Mapping[str, Any], outcome: Outcome, jobs: Sequence[JobRef]) -> dict[str, str]:
        """What the holder of a traced run is told of its trace."""
        stored = TraceContext.parse(row["traceparent"]) if self._traces else None
        if self._traces is None or stored is None:
            return {}
        sent = next((job.traceparent for job in jobs if job.dispatch_id == row["dispatch_id"]), None)
        run = (row["tenant_id"], row["id"])
        context = trace_claim(self._traces, stored, TraceContext.parse(sent), run, row["epoch"], outcome)
        return {"traceparent": str(context)}

    async def checkpoints(self, runner: KnownRunner, body: CheckpointsBody) -> dict[str, Any]:
        """The barrier of a take-over: PASSED with the checkpoint, CLOSED, or NOT_YET within the wait, and for what this
        answer has no room for.

        A run that was claimed too often without progress is set aside here (rule poison_judged_behind_barrier): when it
        was claimed, what its last holder got done may still have been on its way.
        """
        wanted = {run.run_id: run.epoch for run in body.runs}
        with self._barrier.watch(wanted) as changed:
            left = body.wait
            while True:
                rows = await self._read(list(wanted))
                verdicts = {i: _verdict(rows.get(i), epoch, runner) for i, epoch in wanted.items()}
                if left <= 0 or any(verdict != "NOT_YET" for verdict in verdicts.values()):
                    break
                left -= await changed(left)
        poisonous = [i for i, verdict in verdicts.items() if verdict == "PASSED" and _is_poison(rows[i])]
        for run_id in poisonous:
            verdicts[run_id] = "CLOSED"
            if not await self._set_aside(rows[run_id]):
                # It is another's by now, or its cancel has come: rule cancel_beats_poison.
                rows |= await self._read([run_id])
                verdicts[run_id] = _verdict(rows.get(run_id), wanted[run_id], runner)
        passed = [rows[i] for i, verdict in verdicts.items() if verdict == "PASSED"]
        given, versions = await self._handover.of(await self._handover.fitting(passed), body.have)
        verdicts |= {row["id"]: "NOT_YET" for row in passed if row["id"] not in given}
        return {
            "runs": [{"run_id": i, "outcome": v, **given.get(i, {})} for i, v in verdicts.items()],
            "versions": versions,
        }

    async def _read(self, run_ids: Sequence[UUID]) -> dict[UUID, Any]:
        async with one_statement(self._pool) as db:
            return {row["id"]: row for row in await db.fetch(_sql.holders, run_ids)}

    async def _set_aside(self, row: Mapping[str, Any]) -> bool:
        """rule poison_is_set_aside: its claim is closed, and only a person brings it back. Whether it was so."""
        async with transaction(self._pool) as db:
            closed = await db.fetchrow(_sql.set_aside, row["id"], row["epoch"], new_id())
            if closed is None:
                return False
            await db.execute(_sql.drop_dispatch, row["id"])
            reason = f"claimed {row['fruitless_claims']} times in a row without progress"
            await db.execute(_sql.add_dead_letter, new_id(), row["tenant_id"], row["id"], reason)
            await db.execute(_sql.notify_runs, RUNS_CHANNEL, str(row["id"]))
        _log.error("run set aside", run_id=str(row["id"]), tenant_id=str(row["tenant_id"]))
        return True


def _is_foreign(job: JobRef, row: Any) -> bool:
    """Whether the job was made in another tenant's name: nobody of ours makes such a one."""
    return row is not None and job.tenant_id is not None and job.tenant_id != row["tenant_id"]


def _foreign(job: JobRef, tenant_id: UUID, runner_id: UUID) -> Refusal:
    return Refusal(
        "run.claim",
        f"run/{job.run_id}",
        "FOREIGN_TENANT",
        tenant_id=tenant_id,
        actor_id=runner_id,
        actor_name="runner",
    )


def _is_poison(row: Mapping[str, Any]) -> bool:
    # A cancel is heard whatever the run has done, for it starts no call. Undoing does.
    heard = row["cancel_requested"] and row["status"] != RunStatus.COMPENSATING
    return row["fruitless_claims"] > MAX_FRUITLESS_CLAIMS and not heard


def _outcome(row: Any, dispatch_ids: Collection[UUID], live: bool, alone: bool, pool: str) -> Outcome:
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


def _verdict(row: Any, epoch: int, runner: KnownRunner) -> str:
    if row is None:
        return "CLOSED"
    if row["epoch"] != epoch or row["claimed_by"] != runner.id:
        return "CLOSED"  # rule checkpoint_for_holder_only: the open claim's holder alone
    if named(row["pool"]) != runner.pool:
        return "CLOSED"  # it was moved before this claim began anything: its pool's runners take it over
    # rule barrier_at_least: at OR ABOVE, for a later claim may have marked the partition already
    return "PASSED" if row["fence_epoch"] >= epoch else "NOT_YET"
