"""Claims: a runner's exclusive right to advance a run, numbered by its epoch. The rules are those of
tests/model/protocol.py."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.pools import stored
from headrace.postgres.pool import PLAN_ONCE, Pool, transaction
from headrace.postgres.queries import load
from headrace.refusals.audit import Refusal, Refused
from headrace.telemetry.context import TraceContext
from headrace.telemetry.traces import Traces
from prometheus_client import CollectorRegistry

from headrace_control.internal_api.handover import Handover
from headrace_control.internal_api.judging import outcome_of
from headrace_control.internal_api.metrics import ClaimMetrics
from headrace_control.internal_api.models import ClaimsBody, JobRef
from headrace_control.internal_api.outcome import Outcome
from headrace_control.internal_api.run_tokens import mint_run_token
from headrace_control.internal_api.sessions import KnownRunner
from headrace_control.tracing import trace_claim

_sql = load("headrace_control.internal_api")


class Claims:
    """Grants claims in batches, and hands over what a first claim entitles to."""

    def __init__(
        self,
        pool: Pool,
        handover: Handover,
        lease: timedelta,
        refused: Refused,
        traces: Traces | None = None,
        metrics: ClaimMetrics | None = None,
    ) -> None:
        self._pool, self._handover, self._lease = pool, handover, lease
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
                holders = {runner_id, *(rows[run_id]["claimed_by"] for run_id in held)}
                await db.execute(_sql.lock_holders, list(holders))
                await db.execute(_sql.keep_lease, runner_id, body.call, *lease)
                lease = None, None, None
                live = {row["id"] for row in await db.fetch(_sql.live_claims, held)}
            outcomes = {
                i: outcome_of(rows.get(i), ids, i in live, body.alone, runner.pool) for i, ids in jobs.items()
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
            # Read under the lock that a message is written under: there is none that came before and is not there.
            answer[run_id]["heard"] = answered[0]["now"]
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
