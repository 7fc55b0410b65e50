"""Checkpoints of take-overs, behind the barrier: what the holders before had reported is applied by then."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from headrace.pools import named
from headrace.postgres.pool import Pool, one_statement
from headrace.postgres.queries import load

from headrace_control.internal_api.barrier import Barrier
from headrace_control.internal_api.handover import Handover
from headrace_control.internal_api.inbox import UNDER_WAY
from headrace_control.internal_api.models import CheckpointsBody
from headrace_control.internal_api.sessions import KnownRunner
from headrace_control.internal_api.setting_aside import is_poison, set_aside

_sql = load("headrace_control.internal_api")


class Checkpoints:
    """Gives the holders of open claims what they go on from, once the marks of their claims are applied."""

    def __init__(self, pool: Pool, handover: Handover, barrier: Barrier) -> None:
        self._pool, self._handover, self._barrier = pool, handover, barrier

    async def of(self, runner: KnownRunner, body: CheckpointsBody) -> dict[str, Any]:
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
        poisonous = [i for i, verdict in verdicts.items() if verdict == "PASSED" and is_poison(rows[i])]
        for run_id in poisonous:
            verdicts[run_id] = "CLOSED"
            if not await set_aside(self._pool, rows[run_id]):
                # It is another's by now, or its cancel has come: rule cancel_beats_poison.
                rows |= await self._read([run_id])
                verdicts[run_id] = _verdict(rows.get(run_id), wanted[run_id], runner)
        passed = [rows[i] for i, verdict in verdicts.items() if verdict == "PASSED"]
        given, versions = await self._handover.of(await self._handover.fitting(passed), body.have)
        for run_id, what in given.items():
            what["heard"] = rows[run_id]["now"] - UNDER_WAY
        verdicts |= {row["id"]: "NOT_YET" for row in passed if row["id"] not in given}
        return {
            "runs": [{"run_id": i, "outcome": v, **given.get(i, {})} for i, v in verdicts.items()],
            "versions": versions,
        }

    async def _read(self, run_ids: Sequence[UUID]) -> dict[UUID, Any]:
        async with one_statement(self._pool) as db:
            return {row["id"]: row for row in await db.fetch(_sql.holders, run_ids)}


def _verdict(row: Any, epoch: int, runner: KnownRunner) -> str:
    if row is None:
        return "CLOSED"
    if row["epoch"] != epoch or row["claimed_by"] != runner.id:
        return "CLOSED"  # rule checkpoint_for_holder_only: the open claim's holder alone
    if named(row["pool"]) != runner.pool:
        return "CLOSED"  # it was moved before this claim began anything: its pool's runners take it over
    # rule barrier_at_least: at OR ABOVE, for a later claim may have marked the partition already
    return "PASSED" if row["fence_epoch"] >= epoch else "NOT_YET"
