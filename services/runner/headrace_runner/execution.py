"""One step's execution: prepare, then attempt after attempt, each announced before it is made."""

import asyncio
from datetime import timedelta
from typing import assert_never

from headrace.json_types import JsonObject
from headrace.messages import LogLevel
from headrace.redaction import truncate
from headrace.workflow.document import StepType
from headrace.workflow.state import EventKind, Failure, StepStatus, WaitKind

from headrace_runner.advancing import Advancing
from headrace_runner.attempt_ends import AttemptEnds
from headrace_runner.gate import Ask, Later, Passed
from headrace_runner.results import Found, Sought
from headrace_runner.steps.protocol import Prepared, StepContext, Waiting

# How much of a step's input is kept to be shown.
RECORD_LIMIT = 16_384


class StepExecution:
    """Runs as a task of its engine; ends with the step ended, in doubt, or waiting for a later attempt."""

    def __init__(self, run: Advancing, context: StepContext) -> None:
        self._run, self._context = run, context
        self._key = str(context.key)
        self._number = run.history.state.step(self._key).attempts
        self._passed = Passed()
        self._ends = AttemptEnds(run, context, self._key)

    async def run(self) -> None:
        if self._context.run.failure is not None:
            self._ends.fail(self._context.run.failure)
            return
        if unknown := self._run.scopes.unknown(self._context.key):
            self._ends.fail(unknown)
            return
        handler = self._run.parts.handlers.get(self._context.step.type)
        if handler is None:
            self._ends.fail(Failure("UNKNOWN_STEP_TYPE", "this runner has no such step type"))
            return
        async with self._run.parts.pace:  # expressions are evaluated here
            prepared = handler.prepare(self._context)
            if isinstance(prepared, Failure):
                self._ends.fail(prepared)
                return
        if isinstance(prepared, Waiting):
            self._wait(prepared)
            return
        # The one way to a call: what is not let by here is not announced, and what is not announced is not sent.
        if self._context.step.action is not None and not await self._permitted(prepared):
            return
        if prepared.sought is not None and await self._taken_from_cache(prepared, prepared.sought):
            return
        while True:
            if not await self._admitted(prepared):
                return
            self._number += 1
            if not await self._announce(prepared):
                return
            started = self._run.parts.clock.now()
            with self._run.parts.spans.attempt(self._context, self._number) as attempted:
                outcome = await handler.attempt(self._context, prepared)
                attempted.ended(outcome)
            took = self._run.parts.clock.now() - started
            attempt: JsonObject = {
                "number": self._number,
                "startedAt": started.isoformat(),
                "durationMs": int(took / timedelta(milliseconds=1)),
                **outcome.detail,
            }
            if self._ends.asks:
                delay = await self._ends.write_in_turn(outcome, attempt, self._number)
            else:
                delay = self._ends.write(outcome, attempt, self._number)
            if delay is None:
                return
            await asyncio.sleep(delay)
            if self._run.stopping():
                return  # the engine decides anew: no attempt more, or one on another runner
            if self._run.history.state.step(self._key).round > self._context.round:
                return  # the next round is prepared anew

    async def _permitted(self, prepared: Prepared) -> bool:
        """Whether the policy lets the row's call be made now. If not, a person is asked, or the step has failed."""
        run = self._run
        verdict = await run.parts.gate.verdict(self._context, prepared, run.history.state)
        match verdict:
            case Passed():
                self._passed = verdict
                return True
            case Ask(wait, used):
                self._wait(Waiting(wait, prepared.record), used)
            case Later(seconds):
                self._blocked(seconds)
            case Failure():
                self._ends.fail(verdict)
            case _:
                assert_never(verdict)
        return False

    async def _taken_from_cache(self, prepared: Prepared, sought: Sought) -> bool:
        """Whether an earlier result stood for the call. A call that was begun, or that a person approved, is made."""
        if self._number > 0 or self._passed.approval is not None:
            return False
        found = await self._run.parts.results.find(self._context.run.run_pass, sought)
        if not isinstance(found, Found):
            self._ends.slot = found
            return False
        if not self._run.history.keep(found.output):
            return False
        data: JsonObject = {
            "status": StepStatus.CACHED,
            "input": truncate(self._run.secrets.shown(prepared.record), RECORD_LIMIT),
            "output": found.output,
            "cached": found.source,
            "inbox": list(self._passed.used),
        }
        self._run.history.emit(EventKind.COMPLETED, self._key, data)
        self._run.parts.spans.cached(self._context)
        whose = f"the result of run {found.source['runId']}"
        self._context.log(LogLevel.INFO, f"step {self._key} took {whose}", step=self._key, **found.source)
        return True

    def _wait(self, waiting: Waiting, used: tuple[int, ...] = ()) -> None:
        """The step is not attempted: it waits for a time, a person, a message or a child run."""
        data: JsonObject = {"wait": self._told_on(waiting.wait)}
        if waiting.record is not None:
            data["input"] = truncate(self._run.secrets.shown(waiting.record), RECORD_LIMIT)
        if used:
            data["inbox"] = list(used)
        self._run.history.emit(EventKind.WAITING, self._key, data)
        kind = str(waiting.wait["kind"]).lower()
        self._run.parts.spans.waits(self._context, kind)
        self._context.log(LogLevel.INFO, f"step {self._key} waits: {kind}", step=self._key)

    async def _admitted(self, prepared: Prepared) -> bool:
        """Whether the attempt may begin now. If not, the step waits for its turn without an attempt being used up."""
        delay = await prepared.admit() if prepared.admit else None
        if delay is None:
            return True
        self._blocked(delay)
        return False

    def _blocked(self, seconds: float) -> None:
        """The row begins after a while, without an attempt being used up."""
        until = self._run.parts.clock.now() + timedelta(seconds=seconds)
        wait: JsonObject = {"kind": WaitKind.BLOCKED, "until": until.isoformat()}
        self._run.history.emit(EventKind.WAITING, self._key, {"wait": self._told_on(wait)})

    def _told_on(self, wait: JsonObject) -> JsonObject:
        """With the word that nobody answered an attempt before, if so: rule turn_after_answers asks for it."""
        return {**wait, "unanswered": True} if self._ends.unanswered else wait

    async def _announce(self, prepared: Prepared) -> bool:
        """Say that an attempt begins, and wait for what has to be confirmed before it; False: the claim is lost, or the
        run's end is settled."""
        if not self._run.held.may_go_on():
            return False  # and nothing is announced: a call that was not sent would count as one in doubt
        if self._context.step.type == StepType.SUCCEED and self._run.history.decided:
            return False  # what else ended the run was first, and stands
        data: JsonObject = {"attempt": self._number, "unsafe": prepared.unsafe}
        if self._number == 1:
            data["input"] = truncate(self._run.secrets.shown(prepared.record), RECORD_LIMIT)
        passed, self._passed = self._passed, Passed()
        if passed.approval is not None or passed.used:
            data["approval"] = passed.approval
            data["inbox"] = list(passed.used)
        self._run.history.emit(EventKind.STARTED, self._key, data)
        if prepared.side_effect or self._run.report.behind:
            # Everything written so far, the results of the steps before among it, is confirmed before the
            # next call; and rule intent_before_unsafe_call: so is the `started` of one that can not be
            # repeated.
            await self._run.report.confirmed()
        if prepared.side_effect and not await self._run.parts.lease.may_call(self._run.held):
            # rule call_needs_lease
            now = self._run.parts.clock.now().isoformat()
            self._ends.not_called({"number": self._number, "startedAt": now, "durationMs": 0})
            return False
        return True
