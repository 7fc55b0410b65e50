"""Calls that the policy holds: whether the holder of a run may make one now."""

from typing import Any, Protocol
from uuid import UUID

from headrace.errors import NotFound
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

from headrace_control.internal_api.models import CallBody
from headrace_control.policy.approvals import Answer, CallWish

_sql = load("headrace_control.internal_api")


class CallApprovals(Protocol):
    async def redeem(self, tenant_id: UUID, wish: CallWish) -> Answer:
        """Whether the call may be made; a token that is shown is redeemed. Raises `NotFound`."""


class Calls:
    def __init__(self, pool: Pool, approvals: CallApprovals) -> None:
        self._pool, self._approvals = pool, approvals

    async def allow(self, runner_id: UUID, body: CallBody) -> dict[str, Any]:
        """For the holder of the run's open claim alone. Raises `NotFound` otherwise."""
        async with transaction(self._pool) as db:
            tenant_id = await db.fetchval(
                _sql.tenant_of_claim, body.run_id, body.epoch, runner_id, body.token_hash
            )
        if tenant_id is None:
            raise NotFound("claim")
        wish = CallWish(
            body.run_id,
            body.epoch,
            runner_id,
            body.token_hash,
            body.step,
            bytes.fromhex(body.digest),
            body.token,
            body.begun,
            body.unattended,
        )
        answer = await self._approvals.redeem(tenant_id, wish)
        return {
            "allowed": answer.refusal is None,
            "code": answer.refusal,
            "reason": answer.reason,
            "by": answer.by,
        }
