"""The policy gate: whether a row's call may be made, or a person is to be asked first."""

import hmac
from dataclasses import field
from datetime import timedelta
from typing import Any, Protocol, TypeAlias

from headrace.errors import HeadraceError
from headrace.json_types import Json, JsonObject
from headrace.records import record
from headrace.redaction import MARKER, truncate
from headrace.workflow.json_rules import canonical, digest_of
from headrace.workflow.state import Failure, Message, MessageKind, RunState, StepStatus, WaitKind
from headrace.workflow.undo import unanswered

from headrace_runner.policy import UNKNOWN
from headrace_runner.run_pass import RunPass
from headrace_runner.steps.protocol import Prepared, StepContext

# How much of a call is kept to be shown to who approves it.
SHOWN_LIMIT = 16_384
# While the control plane does not answer, nothing that it has to allow is called.
ASK_AGAIN = 5.0


class ControlPlaneAsked(Protocol):
    async def approval(
        self,
        run: RunPass,
        step: str,
        digest: str,
        *,
        token: str | None,
        begun: bool,
        unattended: bool,
    ) -> dict[str, Any]:
        """Whether the call may be made. Raises `NotFound` when the claim is closed, `Unavailable`."""


@record
class Passed:
    """The call may be made. `approval` says who approved it, where the policy asked; `used` are the messages of it."""

    approval: JsonObject | None = None
    used: tuple[int, ...] = ()


@record
class Ask:
    """A person is to be asked: `wait` is what the event `waiting` says. `used` are messages that allow nothing."""

    wait: JsonObject = field(repr=False)
    used: tuple[int, ...] = ()


@record
class Later:
    """The control plane did not answer: ask again after so many seconds."""

    seconds: float


Verdict: TypeAlias = Passed | Ask | Later | Failure


class CallGate(Protocol):
    """Stands before every call of an action."""

    async def verdict(self, context: StepContext, prepared: Prepared, state: RunState) -> Verdict:
        """Whether the call may be made now."""


class Gate:
    """Of one process."""

    def __init__(self, control_plane: ControlPlaneAsked) -> None:
        self._control_plane = control_plane

    async def verdict(self, context: StepContext, prepared: Prepared, state: RunState) -> Verdict:
        """rule gate_before_call: what class A does not let by needs the control plane's word, which redeems an approval
        under the run's lock. What undoes, or is asked again before an undoing, needs nobody's approval, and is refused
        in class C alone."""
        ref = context.step.action or ""
        held = context.run.policy.get(ref, UNKNOWN)
        key = str(context.key)
        row = state.step(key)
        said = [m for m in state.inbox if m.kind is MessageKind.DECISION and m.step == key]
        used = tuple(message.seq for message in said)
        if held.approval_class == "A":
            return Passed(used=used)
        if prepared.shown is None:
            words = f"{ref} needs an approval, and this step type does not show its call to anybody"
            return Failure("POLICY_FORBIDDEN", words)
        call = context.secrets.redactor.value(prepared.shown())
        digest = _digest(context, call)
        call = context.secrets.shown(call)
        approved = next((m for m in said if _approves(m, digest)), None)
        begun = row.status is StepStatus.RUNNING or row.attempts > 0 or unanswered(row)
        # What has not begun when the run turns to its end is not to begin any more, and least of all unseen.
        ending = state.cancel or state.undoing is not None
        unattended = context.key.part is not None or (begun and ending)
        if call == MARKER and not (begun or unattended):
            # Nobody would know what they approve, and another such call would have the same digest.
            words = f"{ref} needs an approval, and its call can not be shown: it is hidden as a whole"
            return Failure("POLICY_FORBIDDEN", words)
        if held.approval_class == "B" and not (approved or begun or unattended):
            return Ask(self._wait(context, ref, digest, call), used)
        try:
            answer = await self._control_plane.approval(
                context.run.run_pass,
                key,
                digest,
                token=str(approved.data.get("token")) if approved else None,
                begun=begun,
                unattended=unattended,
            )
        except HeadraceError:
            return Later(ASK_AGAIN)
        if answer["allowed"]:
            by = answer["by"]
            approval: JsonObject = {"by": by, "digest": digest, "seq": approved.seq if approved else None}
            return Passed(approval if by is not None else None, used)
        if answer["code"] == "POLICY_FORBIDDEN":
            return Failure("POLICY_FORBIDDEN", f"the policy forbids {ref}")
        return Ask(self._wait(context, ref, digest, call), used)

    def _wait(self, context: StepContext, ref: str, digest: str, call: Json) -> JsonObject:
        held = context.run.policy.get(ref, UNKNOWN)
        until = context.now() + timedelta(milliseconds=held.expires_after_ms)
        return {
            "kind": WaitKind.GATE,
            "title": f"Call {ref}?",
            "details": truncate(call, SHOWN_LIMIT),
            "action": ref,
            "approvalClass": "B",
            "digest": digest,
            "roles": list(held.roles),
            "twoPerson": held.two_person,
            "expiresAfterMs": held.expires_after_ms,
            "until": until.isoformat(),
        }


def _digest(context: StepContext, call: Json) -> str:
    """What tells this call from every other, secrets aside. Where the run's outputs are sealed its key goes in: a
    digest that people see must not let them guess what they may not see."""
    key = context.run.output_keys.get(context.run.run_id)
    if key is None:
        return digest_of(call)
    return hmac.digest(key, canonical(call).encode(), "sha256").hex()


def _approves(message: Message, digest: str) -> bool:
    return message.data.get("decision") == "APPROVED" and message.data.get("digest") == digest
