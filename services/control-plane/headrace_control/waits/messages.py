"""What callers say to runs: signals, and how a doubt is settled."""

from collections.abc import Sequence
from uuid import UUID

from headrace.errors import Conflict, InvalidInput, NotFound, Problem
from headrace.json_types import Json, JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.workflow.state import ENDED_RUN, MessageKind, Place, StepStatus

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.runs.messages import NewMessage, post_message
from headrace_control.runs.repository import lock
from headrace_control.waits import repository
from headrace_control.waits.model import Sent, Settlement, Settling, Signal, SignalStep
from headrace_control.waits.payloads import Payloads, key_problems, reason_problems

_STATUS_OF = {
    Settlement.SUCCEEDED: StepStatus.SUCCESS,
    Settlement.FAILED: StepStatus.FAILED,
    Settlement.RETRY: StepStatus.QUEUED,
}


class MessageService:
    """Messages to runs of the caller's tenant, over a pool of the role headrace_api."""

    def __init__(self, pool: Pool, payloads: Payloads) -> None:
        self._pool, self._payloads = pool, payloads

    async def signal(self, caller: Caller, signal: Signal) -> Sent:
        """Send a signal; one that comes before its wait is kept for it.

        Raises `NotFound`, `Conflict` when the run has ended or the key was used for something else, `InvalidInput`
        when the run's version waits for no such signal or the payload does not fit, `LimitExceeded`.
        """
        caller.require(Permission.SIGNAL_RUNS)
        tenant_id, run_id = caller.tenant_id, signal.run_id
        async with tenant_transaction(self._pool, tenant_id) as db:
            run = await lock(db, tenant_id, run_id)
            if run is None:
                raise NotFound("run")
            steps = await repository.signal_steps(db, tenant_id, run.version_id)
            problems = [*key_problems(signal.key), *self._signal_problems(steps, signal)]
            if problems:
                raise InvalidInput(problems)
            once = None if signal.key is None else f"key:{signal.key}"
            data: JsonObject = {"payload": signal.payload}
            message = NewMessage(MessageKind.SIGNAL, data, name=signal.name, once=once, by=caller.actor.id)
            posted = await post_message(db, tenant_id, run_id, message)
            if not posted.again:
                detail: JsonObject = {"name": signal.name, "seq": posted.seq}
                await record(db, caller, Act("run.signal", f"run/{run_id}", after=data, detail=detail))
        if not posted.same:
            raise Conflict("the idempotency key was used for another signal")
        return Sent(run_id, posted.seq, posted.at, posted.again)

    def _signal_problems(self, steps: Sequence[SignalStep], signal: Signal) -> list[Problem]:
        named = [step for step in steps if step.name == signal.name]
        if not named:
            known = sorted({step.name for step in steps})
            if not known:
                mend = "Add a step with `type: signal` to the workflow, and start a run of that version."
                return [Problem("name", "the run's version waits for no signal", mend, "UNKNOWN_SIGNAL")]
            words = "the run's version waits for no such signal"
            return [Problem("name", words, f"Known are: {', '.join(known[:20])}.", "UNKNOWN_SIGNAL")]
        # Nobody can say which of several steps of one name will take it: it has to fit them all.
        schemas: list[JsonObject | None] = [step.schema for step in named if step.schema is not None]
        for schema in schemas or [None]:
            if problems := self._payloads.problems(signal.payload, "payload", schema):
                return problems
        return []

    async def settle(self, caller: Caller, settling: Settling) -> Sent:
        """Say what became of a call that was sent and not answered.

        Raises `NotFound`; `Conflict` when the run has ended, the step is not in doubt, or somebody has settled it and
        the run has not taken that yet; `InvalidInput`.
        """
        caller.require(Permission.CONTROL_RUNS)
        tenant_id, run_id, step = caller.tenant_id, settling.run_id, settling.step
        if problems := [*reason_problems(settling.reason), *self._output_problems(settling)]:
            raise InvalidInput(problems)
        async with tenant_transaction(self._pool, tenant_id) as db:
            run = await lock(db, tenant_id, run_id)
            if run is None:
                raise NotFound("run")
            if run.status in ENDED_RUN:
                raise Conflict(f"the run has ended ({run.status})")
            doubt = await _doubt(db, tenant_id, run_id, step)
            said = _settlement(settling, caller.actor.name, doubt)
            message = NewMessage(MessageKind.SETTLE, said, step=step, by=caller.actor.id)
            posted = await post_message(db, tenant_id, run_id, message)
            detail: JsonObject = {"outcome": settling.outcome.value, "reason": settling.reason}
            await record(db, caller, Act("step.settle", f"step/{run_id}/{step}", after=said, detail=detail))
        return Sent(run_id, posted.seq, posted.at, posted.again)

    def _output_problems(self, settling: Settling) -> list[Problem]:
        if settling.output is None:
            return []
        if settling.outcome is not Settlement.SUCCEEDED:
            mend = "Leave the output out, or settle the step as SUCCEEDED."
            return [Problem("output", "only a step that succeeded has an output", mend)]
        return self._payloads.problems(settling.output, "output")


async def _doubt(db: Db, tenant_id: UUID, run_id: UUID, step: str) -> Place:
    """Which doubt is to be settled: the step may have been in doubt before, and come to be so again."""
    found = await repository.step_status(db, tenant_id, run_id, step)
    if found is None:
        raise NotFound("step")
    status, doubt = found
    if status is not StepStatus.UNKNOWN:
        raise Conflict(f"the step is {status}, not UNKNOWN: there is no doubt to settle")
    if (by := await repository.unused_settlement(db, tenant_id, run_id, step, doubt)) is not None:
        raise Conflict(f"`{by}` has settled this step; the run has not taken it yet")
    return doubt


def _settlement(settling: Settling, by: str, doubt: Place) -> JsonObject:
    error: Json = None
    if settling.outcome is Settlement.FAILED:
        error = {"code": "SETTLED_AS_FAILED", "message": "a person found that the call had failed"}
    return {
        "status": _STATUS_OF[settling.outcome],
        "output": settling.output,
        "error": error,
        "by": by,
        "reason": settling.reason,
        "doubt": list(doubt),
    }
