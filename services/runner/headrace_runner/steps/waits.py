"""Steps that wait instead of calling: `wait`, `approval`, `signal` and `workflow`. Each says what it waits for; the
run parks, and `decide` ends the wait."""

from datetime import datetime, timedelta

from headrace.ids import new_id
from headrace.json_types import Json, JsonObject
from headrace.workflow.document import Approval, DeadlineOutcome
from headrace.workflow.expressions.limits import ExpressionError
from headrace.workflow.keys import Part
from headrace.workflow.state import Failure, WaitKind
from headrace.workflow.times import read_moment, spelled

from headrace_runner.failures import expression_failed, input_mismatch
from headrace_runner.steps.protocol import Outcome, Prepared, StepContext, StepServices, Waiting

MAX_DEPTH = 8


class _WaitingStep:
    """What the steps that wait share: they are never attempted."""

    def __init__(self, services: StepServices) -> None:
        self._templates, self._schemas = services.templates, services.schemas

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        raise AssertionError("a step that waits is never attempted")

    def _rendered(self, context: StepContext, value: Json, place: str) -> "Json | Failure":
        try:
            return self._templates.render(value, context.scope, f"{context.place}.{place}")
        except ExpressionError as error:
            return expression_failed(error)


class WaitStep(_WaitingStep):
    """`wait`: for so long, or until a time."""

    def prepare(self, context: StepContext) -> Waiting | Failure:
        wait = context.step.wait
        if wait is not None and wait.for_ms is not None:
            until = context.now() + timedelta(milliseconds=wait.for_ms)
            return Waiting({"kind": WaitKind.TIMER, "until": spelled(until)})
        made = self._rendered(context, wait.until if wait else None, "wait.until")
        if isinstance(made, Failure):
            return made
        at = read_moment(made) if isinstance(made, str) else None
        if at is None:
            mend = "write a time such as 2026-11-01T09:00:00Z, inside the years 1 to 9999 of UTC"
            return Failure("NOT_A_TIME", f"{context.place}.wait.until: {mend}")
        return Waiting({"kind": WaitKind.TIMER, "until": spelled(at)})


class ApprovalStep(_WaitingStep):
    """`approval`: a person decides."""

    def prepare(self, context: StepContext) -> Waiting | Failure:
        asked = context.step.approval or Approval()
        shown = self._rendered(context, {"title": asked.title, "details": asked.details}, "approval")
        if isinstance(shown, Failure):
            return shown
        assert isinstance(shown, dict)  # noqa: S101 - an object is rendered to an object
        wait: JsonObject = {
            "kind": WaitKind.APPROVAL,
            **shown,
            "roles": list(asked.roles),
            "members": list(asked.members),
            "notStarter": asked.not_starter,
            "form": asked.form,
            "default": asked.default,
            "until": _after(context.now(), asked.deadline_ms),
            "remindEveryMs": asked.remind_every_ms,
            "remindAt": _after(context.now(), asked.remind_every_ms),
        }
        return Waiting(wait, shown)


class SignalStep(_WaitingStep):
    """`signal`: an external system, or a person, says that something happened."""

    def prepare(self, context: StepContext) -> Waiting | Failure:
        signal = context.step.signal
        wait: JsonObject = {
            "kind": WaitKind.SIGNAL,
            "name": (signal.name if signal else None) or context.key.step,
            "schema": signal.schema if signal else None,
            "until": _after(context.now(), signal.deadline_ms if signal else None),
            "default": signal.default if signal else DeadlineOutcome.FAIL,
        }
        return Waiting(wait)


class WorkflowStep(_WaitingStep):
    """`workflow`: a run of another workflow, or, as a compensation, one that undoes such a run as a whole."""

    def prepare(self, context: StepContext) -> Waiting | Failure:
        pinned = context.run.version.children.get(context.key.step)
        if pinned is None:
            return Failure("WORKFLOW_MISSING", "the version does not pin this step's workflow")
        if context.run.depth + 1 >= MAX_DEPTH:
            return Failure("NESTED_TOO_DEEPLY", f"{context.place}: runs nest {MAX_DEPTH} deep at most")
        wait: JsonObject = {
            "kind": WaitKind.CHILD,
            "runId": str(new_id(context.now())),
            "versionId": pinned.version_id,
        }
        if context.key.part is Part.UNDO:
            return Waiting({**wait, "undoes": str(context.key.work)})
        given = self._rendered(context, context.step.input or {}, "input")
        if isinstance(given, Failure):
            return given
        if not isinstance(given, dict):
            return Failure("INPUT_MISMATCH", f"{context.place}.input: an object is needed")
        if pinned.parameters is not None:
            problems = self._schemas.validator(pinned.parameters).validate(given, "input")
            if problems:
                return input_mismatch(context.place, problems)
        return Waiting({**wait, "input": given}, given)


def _after(now: datetime, milliseconds: int | None) -> str | None:
    return None if milliseconds is None else (now + timedelta(milliseconds=milliseconds)).isoformat()
