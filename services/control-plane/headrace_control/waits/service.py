"""Approvals and other waits as callers see them: list, decide."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from headrace.errors import Conflict, Forbidden, InvalidInput, NotFound, Problem
from headrace.json_types import JsonObject
from headrace.postgres.pool import Pool, tenant_transaction
from headrace.workflow.state import ENDED_RUN, MessageKind
from headrace.workflow.times import spelled

from headrace_control.answer_size import Sized, look_up
from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.policy.approvals import Approvals
from headrace_control.runs.messages import NewMessage, post_message
from headrace_control.runs.repository import lock
from headrace_control.waits import repository
from headrace_control.waits.model import Decided, Decision, OpenKind, Verdict, Wait, WaitStatus
from headrace_control.waits.payloads import Payloads, reason_problems
from headrace_control.waits.repository import ApprovalPlace, StoredWait
from headrace_control.waits.rules import refusal

_APPROVALS = Cursor("approvals")
_WAITS = Cursor("waits")


class WaitService:
    """Waits of the caller's tenant, over a pool of the role headrace_api."""

    def __init__(self, pool: Pool, payloads: Payloads, approvals: Approvals) -> None:
        self._pool, self._payloads, self._approvals = pool, payloads, approvals

    async def approvals(
        self, caller: Caller, status: WaitStatus, first: int, after: str | None
    ) -> PageOf[Wait]:
        """Approvals of one status, the one opened last first. A page stays the same while new ones are opened."""
        caller.require(Permission.READ)
        limit, before = page_size(first), _place(after)

        async def read(most: int) -> Sized[Sequence[StoredWait]]:
            async with tenant_transaction(self._pool, caller.tenant_id) as db:
                return await repository.approvals(db, caller.tenant_id, status, limit, before, most)

        shown = [await _in_answers(stored, caller) for stored in await look_up(limit, read)]
        return page_of(shown, limit, lambda w: _APPROVALS.write(w.opened_at.isoformat(), w.run_id, w.step))

    async def of_runs(
        self, caller: Caller, first: int, pages: Sequence[tuple[UUID, str | None]]
    ) -> Sequence[PageOf[Wait]]:
        """For each (run, cursor) in turn: a page of the run's waits, in the order of their row keys."""
        caller.require(Permission.READ)
        limit = page_size(first)
        places = [(run_id, _WAITS.read_text(after) or "") for run_id, after in pages]

        async def read(most: int) -> Sized[Sequence[Sequence[StoredWait]]]:
            async with tenant_transaction(self._pool, caller.tenant_id) as db:
                return await repository.waits(db, caller.tenant_id, places, limit, most)

        return [
            page_of(
                [await _in_answers(stored, caller) for stored in waits],
                limit,
                lambda w: _WAITS.write(w.step),
            )
            for waits in await look_up(len(places) * limit, read)
        ]

    async def decide(self, caller: Caller, decision: Decision) -> Wait:
        """Decide an approval, once. The decision and the message that tells the run of it are one transaction; to the
        call that the policy holds the message brings its token.

        Raises `NotFound`; `Conflict` when it was decided or is over, saying by whom or why, or is for another call than
        the one that was read; `Forbidden` when its step does not let the caller; `InvalidInput` when the form does not
        fit.
        """
        caller.require(Permission.DECIDE)
        tenant_id, run_id, step = caller.tenant_id, decision.run_id, decision.step
        async with tenant_transaction(self._pool, tenant_id) as db:
            run = await lock(db, tenant_id, run_id)
            found = await repository.wait(db, tenant_id, run_id, step) if run else None
            if run is None or found is None or found[0].kind is not OpenKind.APPROVAL:
                raise NotFound("approval")
            wait, now = found
            if (over := _over(wait, now)) is not None:
                raise Conflict(over)
            if run.status in ENDED_RUN:
                raise Conflict(f"the run has ended ({run.status})")
            if (refused := refusal(wait, caller)) is not None:
                raise Forbidden(refused)
            problems = [*reason_problems(decision.reason), *self._form_problems(wait, decision)]
            if problems := [*problems, *_digest_problems(wait, decision)]:
                raise InvalidInput(problems)
            # The row is asked for anew when its call comes to be another one: that one nobody has read yet.
            if wait.gate is not None and decision.digest not in (None, wait.gate.get("digest")):
                raise Conflict(
                    "the approval is for another call by now: read its details, and decide with the digest of its gate"
                )
            by = caller.actor.name
            decided = Decided(decision.verdict.decision, by, now, decision.reason, decision.form)
            data = _as_json(decided)
            await repository.decide(db, tenant_id, run_id, step, data, caller.actor.id)
            said: JsonObject = {**data, "byId": str(caller.actor.id)}
            minted = None
            if wait.gate is not None:
                said["digest"] = wait.gate.get("digest")
                if decision.verdict is Verdict.APPROVE:
                    minted = await self._approvals.mint(db, caller, run_id, step, wait.gate, now)
                    said["token"] = minted.text
            message = NewMessage(MessageKind.DECISION, said, step=step, by=caller.actor.id)
            posted = await post_message(db, tenant_id, run_id, message)
            if minted is not None:
                await self._approvals.keep(db, caller, minted, posted.seq)
            detail: JsonObject = {"decision": decided.decision, "reason": decision.reason}
            if wait.gate is not None:
                detail |= {"action": wait.gate.get("action"), "digest": wait.gate.get("digest")}
            act = Act("approval.decide", f"approval/{run_id}/{step}", after=data, detail=detail)
            await record(db, caller, act)
            return replace(wait, status=WaitStatus.DECIDED, decided=decided)

    def _form_problems(self, wait: Wait, decision: Decision) -> list[Problem]:
        form = wait.data.get("form")
        if isinstance(form, dict):
            # Who rejects need not fill in what an approval asks for.
            if decision.form is None and decision.verdict is Verdict.REJECT:
                return []
            given = {} if decision.form is None else decision.form
            return self._payloads.problems(given, "form", form)
        if decision.form is None:
            return []
        return [Problem("form", "this approval has no form", "Leave the form out; use the reason for words.")]


def _digest_problems(wait: Wait, decision: Decision) -> list[Problem]:
    if decision.digest is None or wait.gate is not None:
        return []
    mend = "Leave the digest out: its step asks for this approval, not the policy."
    return [Problem("digest", "this approval is for no call", mend)]


async def _in_answers(stored: StoredWait, caller: Caller) -> Wait:
    wait, now = await repository.in_answers(stored)
    return _shown(wait, caller, now)


def _shown(wait: Wait, caller: Caller, now: datetime) -> Wait:
    may = caller.may(Permission.DECIDE) and _over(wait, now) is None and wait.kind is OpenKind.APPROVAL
    return replace(wait, may_decide=may and refusal(wait, caller) is None)


def _over(wait: Wait, now: datetime) -> str | None:
    """Why nobody can decide it any more."""
    if wait.decided is not None:
        who, at = wait.decided.by, spelled(wait.decided.at.astimezone(UTC))
        return f"`{who}` has decided this approval at {at} ({wait.decided.decision})"
    if wait.status is not WaitStatus.OPEN:
        return "the approval is over: its run has gone on or ended without a decision"
    if wait.due_at is not None and wait.due_at <= now:
        return f"the approval's deadline has passed at {spelled(wait.due_at.astimezone(UTC))}"
    return None


def _as_json(decided: Decided) -> JsonObject:
    return {
        "decision": decided.decision,
        "by": decided.by,
        "at": spelled(decided.at.astimezone(UTC)),
        "reason": decided.reason,
        "form": decided.form,
    }


def _place(after: str | None) -> ApprovalPlace | None:
    key = _APPROVALS.read(after, parts=3)
    if key is None:
        return None
    try:
        opened_at = datetime.fromisoformat(key[0])
        if opened_at.tzinfo is None:
            raise ValueError
        return opened_at, UUID(key[1]), key[2]
    except ValueError:
        mend = "use a page's endCursor"
        raise InvalidInput([Problem("after", "not a cursor of this list", mend)]) from None
