"""What becomes of a step's attempts: the step has ended, is in doubt, or is attempted once more."""

from datetime import timedelta

from headrace.json_types import Json, JsonObject
from headrace.messages import LogLevel
from headrace.workflow.conditions import ConditionFailed
from headrace.workflow.keys import Part, RowKey
from headrace.workflow.state import EventKind, Failure, StepStatus
from headrace.workflow.undo import may_be_done, not_answered

from headrace_runner.advancing import Advancing
from headrace_runner.failures import OUTPUT_TOO_LARGE
from headrace_runner.results import Slot
from headrace_runner.steps.protocol import Failed, InDoubt, NotCalled, Outcome, StepContext, Succeeded


class AttemptEnds:
    """Of one execution of the row `key`. `slot` is where its result may be kept for others, once that is known.
    `unanswered`: of an attempt, not the last one alone, nobody knows whether it was carried out."""

    def __init__(self, run: Advancing, context: StepContext, key: str) -> None:
        self._run, self._context, self._key = run, context, key
        self.unanswered = may_be_done(run.history.state.step(key))
        self.slot: Slot | None = None

    def fail(self, failure: Failure) -> None:
        """The step has failed without an attempt."""
        self._run.history.emit(
            EventKind.COMPLETED, self._key, {"status": StepStatus.FAILED, "error": failure.as_json()}
        )
        self._context.log(
            LogLevel.ERROR, f"step {self._key} failed: {failure.message}", step=self._key, code=failure.code
        )

    @property
    def asks(self) -> bool:
        """Whether conditions are asked of what came of an attempt: `until` of a repeat, or those of error edges."""
        context = self._context
        if context.step.repeat is not None:
            return True
        conditions = context.run.graph.error_conditions(context.key.step)
        return bool(conditions) and context.key == RowKey(context.key.step)

    def not_called(self, attempt: JsonObject) -> None:
        """A cancel came ahead of a call of the attempt: without an answer to its beginning the call would be in doubt.
        Nothing more is written of a run that is another's by now."""
        if self._run.held.lost:
            return
        why = Failure("NOT_CALLED", "the run was canceled before the call")
        data: JsonObject = {"attempt": {**attempt, "outcome": StepStatus.FAILED}, "error": why.as_json()}
        self._run.history.emit(EventKind.ATTEMPTED, self._key, data)

    async def write_in_turn(self, outcome: Outcome, attempt: JsonObject, number: int) -> float | None:
        """`write` where it `asks`: as with what prepares a step, one at a time."""
        try:
            await self._run.parts.pace.let_others()
        finally:
            # Also when the step is stopped now: there is an answer, and it is not lost.
            delay = self.write(outcome, attempt, number)
        return delay

    def write(self, outcome: Outcome, attempt: JsonObject, number: int) -> float | None:
        """Write what came of the attempt; the seconds to the next one here, or None when it is over here."""
        match outcome:
            case Succeeded(output):
                if (unreadable := self._run.outcomes.unreadable(self._context.key, output)) is not None:
                    self._complete(StepStatus.FAILED, attempt, None, unreadable)
                    return None
                repeat = self._context.step.repeat
                try:
                    again = repeat is not None and not self._run.scopes.holds(repeat.until, output)
                except ConditionFailed as error:
                    failure = Failure(error.code, f"{self._context.place}.repeat.until: {error}")
                    self._complete(StepStatus.FAILED, attempt, None, failure)
                    return None
                if again:
                    return self._next_round(attempt)
                self._complete(StepStatus.SUCCESS, attempt, output)
                self._context.log(
                    LogLevel.INFO,
                    f"step {self._key} succeeded",
                    step=self._key,
                    attempt=number,
                    **outcome.detail,
                )
            case InDoubt(failure):
                self._complete(StepStatus.UNKNOWN, attempt, None, failure)
                self._context.log(
                    LogLevel.ERROR,
                    f"step {self._key} is in doubt: {failure.message}",
                    step=self._key,
                    attempt=number,
                    code=failure.code,
                )
            case Failed(failure):
                self.unanswered |= not_answered(failure)
                made = number - self._run.history.state.step(self._key).round_from
                delay = outcome.next_delay(made)
                self._context.log(
                    LogLevel.ERROR if delay is None else LogLevel.WARN,
                    f"step {self._key} attempt {number} failed: {failure.message}",
                    step=self._key,
                    attempt=number,
                    code=failure.code,
                    **outcome.detail,
                )
                if delay is None:
                    self._complete(StepStatus.FAILED, attempt, outcome.output, failure)
                    return None
                return self._again(delay, failure, attempt)
            case NotCalled():
                self.not_called(attempt)
        return None

    def _next_round(self, attempt: JsonObject) -> float | None:
        """What was asked for is not so yet: once more, after a while."""
        repeat = self._context.step.repeat
        rounds = self._run.history.state.step(self._key).round + 1
        if repeat is None or rounds >= repeat.max:
            failure = Failure("REPEAT_EXHAUSTED", f"`until` was not true after {rounds} rounds")
            self._complete(StepStatus.FAILED, attempt, None, failure)
            return None
        self.unanswered = False
        data: JsonObject = {"attempt": {**attempt, "outcome": "SUCCESS"}, "round": rounds}
        return self._later(repeat.every_ms / 1000, data)

    def _again(self, delay: float, failure: Failure, attempt: JsonObject) -> float | None:
        return self._later(delay, {"attempt": {**attempt, "outcome": "FAILED"}, "error": failure.as_json()})

    def _later(self, delay: float, data: JsonObject) -> float | None:
        """A short delay is waited for here; for a long one the step waits, and the run parks."""
        parts = self._run.parts
        if delay <= parts.park_retries_after and not self._run.stopping():
            self._run.history.emit(EventKind.ATTEMPTED, self._key, data)
            return delay
        data["retryAt"] = (parts.clock.now() + timedelta(seconds=delay)).isoformat()
        if self.unanswered:
            data["unanswered"] = True
        self._run.history.emit(EventKind.ATTEMPTED, self._key, data)
        return None

    def _complete(
        self, status: StepStatus, attempt: JsonObject, output: Json, failure: Failure | None = None
    ) -> None:
        if output is not None and not self._run.history.keep(output):
            output = None
            # What was undone stays undone; nobody reads what was answered.
            if status is StepStatus.SUCCESS and self._context.key.part is not Part.UNDO:
                status, failure = StepStatus.FAILED, OUTPUT_TOO_LARGE
        data: JsonObject = {"status": status, "attempt": {**attempt, "outcome": status}}
        if output is not None:
            data["output"] = output
        if status is StepStatus.SUCCESS and self.slot is not None:
            data.update(self.slot.told(output, self._context.secrets.sensitive.sealed(self._key, output)))
        if failure:
            data["error"] = failure.as_json()
        self._run.history.emit(EventKind.COMPLETED, self._key, data)
