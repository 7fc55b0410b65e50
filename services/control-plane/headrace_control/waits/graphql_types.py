"""Waits in GraphQL."""

from datetime import datetime
from typing import Self

import strawberry
from headrace.json_types import JsonObject

from headrace_control.graphql.scalars import JSON
from headrace_control.waits import model

strawberry.enum(model.WaitStatus, description="OPEN: somebody may end it. CLOSED: its run has gone on.")
strawberry.enum(model.OpenKind, name="OpenWaitKind", description="Waits that somebody has to see.")
strawberry.enum(model.Verdict, description="How a person decides.")
strawberry.enum(model.Settlement, description="What a person found out about a call in doubt.")


@strawberry.type(name="Decision", description="How an approval was decided, by whom, when and why.")
class DecisionType:
    decision: str = strawberry.field(description="APPROVED or REJECTED.")
    by: str = strawberry.field(description="Who decided: a member's e-mail address, or an API key's name.")
    at: datetime
    reason: str
    form: JSON | None = strawberry.field(description="What was filled in.")

    @classmethod
    def of(cls, decided: model.Decided) -> "DecisionType":
        return cls(
            decision=decided.decision,
            by=decided.by,
            at=decided.at,
            reason=decided.reason,
            form=None if decided.form is None else JSON(decided.form),
        )


@strawberry.type(name="Gate", description="The call that an approval by the policy is for.")
class GateType:
    action: str = strawberry.field(description="`app/action`.")
    approval_class: str
    digest: str = strawberry.field(description="SHA-256 of the very call: another one is not allowed by it.")
    two_person: bool

    @classmethod
    def of(cls, gate: JsonObject) -> "GateType":
        return cls(
            action=str(gate.get("action")),
            approval_class=str(gate.get("approvalClass")),
            digest=str(gate.get("digest")),
            two_person=bool(gate.get("twoPerson")),
        )


@strawberry.type(name="Wait", description="A step that waits, or waited, for a person or a signal.")
class WaitType:
    wait: strawberry.Private[model.Wait]
    step: str = strawberry.field(
        description="Its row key: the step's key, or `key[3]` for an item of a loop."
    )
    kind: model.OpenKind
    status: model.WaitStatus
    title: str = strawberry.field(description='Of an approval; "" when it has none.')
    details: JSON | None = strawberry.field(description="What an approval shows to who decides.")
    form: JSON | None = strawberry.field(description="The JSON Schema of what is filled in with a decision.")
    roles: list[str] = strawberry.field(description="Roles of which one may decide, if any are named.")
    members: list[str] = strawberry.field(
        description="Members by e-mail address, and API keys by name, that may decide, if any are named."
    )
    not_starter: bool = strawberry.field(description="Who started the run may not decide.")
    gate: GateType | None = strawberry.field(
        description="Of an approval that the policy asks for: what for; none where the step asks itself."
    )
    name: str | None = strawberry.field(description="The signal that is waited for.")
    schema: JSON | None = strawberry.field(description="The JSON Schema of the signal's payload.")
    opened_at: datetime
    due_at: datetime | None = strawberry.field(description="When its default is taken.")
    closed_at: datetime | None
    decision: DecisionType | None
    may_decide: bool = strawberry.field(description="Whether you may decide it now.")

    @classmethod
    def of(cls, wait: model.Wait) -> Self:
        data = wait.data
        name = data.get("name")
        return cls(
            wait=wait,
            step=wait.step,
            kind=wait.kind,
            status=wait.status,
            title=str(data.get("title") or ""),
            details=_json(data.get("details")),
            form=_json(data.get("form")),
            roles=_texts(data.get("roles")),
            members=_texts(data.get("members")),
            not_starter=bool(data.get("notStarter")),
            gate=GateType.of(wait.gate) if wait.gate is not None else None,
            name=None if name is None else str(name),
            schema=_json(data.get("schema")),
            opened_at=wait.opened_at,
            due_at=wait.due_at,
            closed_at=wait.closed_at,
            decision=DecisionType.of(wait.decided) if wait.decided else None,
            may_decide=wait.may_decide,
        )


def _json(value: object) -> JSON | None:
    return None if value is None else JSON(value)


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
