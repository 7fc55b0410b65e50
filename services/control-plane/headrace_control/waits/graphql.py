"""Approvals, signals and doubts in GraphQL."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import field, mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON, read_id
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.runs.graphql_types import RunType
from headrace_control.waits import model
from headrace_control.waits.graphql_types import WaitType


@strawberry.type(
    name="Approval", description="A step of a run that waits, or waited, for a person's decision."
)
class ApprovalType(WaitType):
    @field
    async def run(self, info: Info) -> RunType | None:
        """Whose step it is."""
        found = await info.context.loaders.runs.run.load(self.wait.run_id)
        return RunType.of(found) if found else None


@strawberry.type(
    name="SentMessage", description="What was said to a run; the run takes it when it is advanced."
)
class SentMessageType:
    run_id: strawberry.ID
    seq: int = strawberry.field(description="Its place among the messages to the run.")
    sent_at: datetime = strawberry.field(description="When it was taken first.")
    repeated: bool = strawberry.field(description="The same had been sent before, and was taken once.")

    @classmethod
    def of(cls, sent: model.Sent) -> "SentMessageType":
        return cls(run_id=strawberry.ID(str(sent.run_id)), seq=sent.seq, sent_at=sent.at, repeated=sent.again)


DecideApprovalPayload = Annotated[ApprovalType | Failed, strawberry.union("DecideApprovalPayload")]
SignalRunPayload = Annotated[SentMessageType | Failed, strawberry.union("SignalRunPayload")]
SettleStepPayload = Annotated[SentMessageType | Failed, strawberry.union("SettleStepPayload")]


@strawberry.type
class WaitQuery:
    @query
    async def approvals(
        self,
        info: Info,
        status: model.WaitStatus = model.WaitStatus.OPEN,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
    ) -> Page[ApprovalType]:
        """Approvals, the one opened last first; those that are open if nothing else is asked for."""
        found = await info.context.services.waits.approvals(info.context.caller, status, first, after)
        return page(found, ApprovalType.of)


@strawberry.type
class WaitMutation:
    @mutation
    async def decide_approval(
        self,
        info: Info,
        run_id: strawberry.ID,
        step: str,
        decision: model.Verdict,
        reason: str = "",
        form: JSON | None = None,
        digest: str | None = None,
    ) -> DecideApprovalPayload:
        """Decide an approval, once: a second decision is a Conflict that names who decided.

        Your role and what the approval's step says have to allow it. An approval with a form is given what fits the
        form's schema; a rejection may leave it out. With the digest of the gate that you have read, the decision is for
        that call alone: a Conflict when the approval is for another one by now.
        """
        wish = model.Decision(read_id(run_id, "approval"), step, decision, reason, _value(form), digest)
        return ApprovalType.of(await info.context.services.waits.decide(info.context.caller, wish))

    @mutation
    async def signal_run(
        self,
        info: Info,
        run_id: strawberry.ID,
        name: str,
        payload: JSON | None = None,
        idempotency_key: str | None = None,
    ) -> SignalRunPayload:
        """Tell a run that something happened. A signal that comes before its wait is kept for it.

        The payload has 64 KB at most and fits the schema of the step that waits for the signal. With an idempotency
        key the same signal, sent again, is taken once.
        """
        wish = model.Signal(read_id(run_id, "run"), name, _value(payload), idempotency_key)
        return SentMessageType.of(await info.context.services.messages.signal(info.context.caller, wish))

    @mutation
    async def settle_step(
        self,
        info: Info,
        run_id: strawberry.ID,
        step: str,
        outcome: model.Settlement,
        output: JSON | None = None,
        reason: str = "",
    ) -> SettleStepPayload:
        """Say what became of a step that is UNKNOWN: its call was sent and not answered.

        SUCCEEDED goes on with the output that is given; RETRY makes the call again, so be sure that it never arrived.
        """
        wish = model.Settling(read_id(run_id, "run"), step, outcome, _value(output), reason)
        return SentMessageType.of(await info.context.services.messages.settle(info.context.caller, wish))


def _value(given: object) -> Any:
    return given
