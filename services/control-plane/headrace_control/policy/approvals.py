"""Approvals of calls: a token is minted when a person approves, and redeemed by the run's holder before the call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from headrace.errors import NotFound
from headrace.ids import new_id
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.postgres.queries import load
from headrace.workflow.keys import read_key

from headrace_control.audit.record import Act, AuditOutcome, record
from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.auth.roles import Role
from headrace_control.callbacks.keys import CallbackKeys
from headrace_control.policy.model import ApprovalClass, Effective
from headrace_control.policy.repository import rules_of
from headrace_control.policy.tokens import ApprovalToken, read_token, write_token
from headrace_control.vault.vault import Vault

_sql = load("headrace_control.policy")


class Refusal(StrEnum):
    """Why a call may not be made."""

    POLICY_FORBIDDEN = "POLICY_FORBIDDEN"  # its action is class C
    NOT_APPROVED = "NOT_APPROVED"  # nobody has approved this very call
    TOKEN_NOT_VALID = "TOKEN_NOT_VALID"  # noqa: S105 - a code: forged, or for another run, row or call
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105 - a code


@dataclass(frozen=True, slots=True)
class CallWish:
    """A holder wants to make the call of the row `step` that has this digest (SHA-256).

    `token` is the approval's, if there is one that was not redeemed yet. `begun`: the row has been attempted before.
    `unattended`: it undoes or ends something, which waits for nobody.
    """

    run_id: UUID
    epoch: int
    runner_id: UUID
    claim_token: bytes = field(repr=False)
    step: str
    digest: bytes
    token: str | None = field(repr=False, default=None)
    begun: bool = False
    unattended: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the call may be made: `refusal` None means that it may. `by` is who approved it."""

    refusal: Refusal | None = None
    reason: str = ""
    by: str | None = None


class Approvals:
    """Tokens of calls, over a pool of the role headrace_api."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._keys = pool, CallbackKeys(vault)

    async def mint(
        self, db: Db, caller: Caller, run_id: UUID, step: str, gate: Mapping[str, Any], now: datetime
    ) -> "Minted":
        """The token of an approval that the caller gives now, by what its wait says. `keep` it with its message."""
        lasts = timedelta(milliseconds=int(gate["expiresAfterMs"]))
        token = ApprovalToken(
            caller.tenant_id,
            run_id,
            step,
            bytes.fromhex(str(gate["digest"])),
            new_id(),
            int((now + lasts).timestamp()),
        )
        return Minted(token, write_token(await self._keys.of(db, caller.tenant_id), token))

    async def keep(self, db: Db, caller: Caller, minted: "Minted", seq: int) -> None:
        """In the transaction of the approval; `seq` is that of the message that brings the token to its run."""
        token = minted.token
        await db.execute(
            _sql.keep_token,
            token.tenant_id,
            token.nonce,
            token.run_id,
            token.step,
            token.digest,
            seq,
            caller.actor.id,
            caller.actor.name,
            token.expires_at,
        )

    async def redeem(self, tenant_id: UUID, wish: CallWish) -> Answer:
        """Whether the call may be made now. A token is redeemed by the first answer that allows its call; asked again
        for the same run, row and call the answer is the same (rule redeem_again_alike). What is refused is audited.

        Raises `NotFound` unless who asks holds the run's open claim.
        """
        async with tenant_transaction(self._pool, tenant_id) as db:
            # On the locked row: nobody takes the claim over meanwhile (rule gate_before_call).
            claim = await db.fetchrow(
                _sql.lock_claim, tenant_id, wish.run_id, wish.epoch, wish.runner_id, wish.claim_token
            )
            if claim is None:
                raise NotFound("claim")
            held, ref = await _held(db, tenant_id, claim["version_id"], wish.step)
            answer = await self._answer(db, tenant_id, wish, held)
            if answer.refusal is not None and (
                answer.refusal is Refusal.POLICY_FORBIDDEN or wish.token is not None
            ):
                act = Act(
                    "call.allow",
                    f"run/{wish.run_id}/{wish.step}",
                    outcome=AuditOutcome.REFUSED,
                    detail={"code": answer.refusal, "action": ref, "reason": answer.reason},
                )
                await record(db, _runner(tenant_id, wish.runner_id), act)
            return answer

    async def _answer(self, db: Db, tenant_id: UUID, wish: CallWish, held: Effective) -> Answer:
        if held.approval_class is ApprovalClass.C:
            return Answer(Refusal.POLICY_FORBIDDEN, held.reason)
        if held.approval_class is ApprovalClass.A or wish.unattended:
            return Answer()
        known = await db.fetch(_sql.redeemed_tokens, tenant_id, wish.run_id, wish.step)
        for row in known:
            if row["digest"] == wish.digest:
                return Answer(by=row["approved_by_name"])
        if wish.token is not None:
            return await self._show(db, tenant_id, wish, wish.token)
        if wish.begun and not known:
            return Answer()  # it began before it asked for approval, and ends as it began
        return Answer(Refusal.NOT_APPROVED, held.reason)

    async def _show(self, db: Db, tenant_id: UUID, wish: CallWish, text: str) -> Answer:
        """What a token that was not redeemed yet is good for."""
        key = await self._keys.find(db, tenant_id)
        token = read_token(key, text) if key is not None else None
        this = (tenant_id, wish.run_id, wish.step, wish.digest)
        if token is None or (token.tenant_id, token.run_id, token.step, token.digest) != this:
            return Answer(Refusal.TOKEN_NOT_VALID, "the token is not for this call")
        row = await db.fetchrow(_sql.redeem_token, tenant_id, token.nonce, *this[1:], wish.epoch)
        if row is None:
            # No row of ours has it as open; or its time is over.
            return Answer(Refusal.TOKEN_EXPIRED, "the approval has expired")
        return Answer(by=row["approved_by_name"])


@dataclass(frozen=True, slots=True)
class Minted:
    """A token, and its text, which is the run's alone."""

    token: ApprovalToken
    text: str = field(repr=False)


async def _held(db: Db, tenant_id: UUID, version_id: UUID, step: str) -> tuple[Effective, str]:
    """How the action of a row is held now. A row without an action has no call to allow."""
    key = read_key(step)
    row = await db.fetchrow(_sql.action_of_row, tenant_id, version_id, key.step, key.part or "")
    if row is None or row["ref"] is None:
        raise NotFound("step")
    app, _, action = row["ref"].partition("/")
    rules = await rules_of(db, tenant_id, [app])
    return rules.effective(app, action, row["declared"]), row["ref"]


def _runner(tenant_id: UUID, runner_id: UUID) -> Caller:
    """A runner at work for the tenant, as the audit names it. Its role is never asked."""
    return Caller(tenant_id, Actor(ActorKind.SERVICE, runner_id, "runner"), Role.VIEWER)
