"""The engine: decide, do, fold, decide again, until the run ends or is left.

One `Engine` advances one claimed run. It is the one writer of the run's events while the claim lives.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import orjson
from headrace.json_types import Json, JsonObject
from headrace.messages import LogLevel
from headrace.redaction import Redactor
from headrace.workflow.decide import Cancel, Doubt, Finish, Park, Skip, Start, decide, upstream
from headrace.workflow.expressions.limits import ExpressionError
from headrace.workflow.expressions.scope import Scope
from headrace.workflow.state import (
    Change,
    EventKind,
    Failure,
    ParkReason,
    StepStatus,
    fold,
)

from headrace_runner.claims import ClaimedRun
from headrace_runner.credentials import RunCredentials
from headrace_runner.execution import StepExecution
from headrace_runner.lease import HeldRun
from headrace_runner.parts import EngineParts
from headrace_runner.reporting import RunReport
from headrace_runner.run_log import RunLog
from headrace_runner.steps.protocol import StepContext

# A step's output, and all outputs of a run together: what a checkpoint, a claim's answer and a message can carry.
MAX_OUTPUT_BYTES = 1024 * 1024
MAX_RUN_OUTPUT_BYTES = 16 * 1024 * 1024

# What a column of 32 bits holds: nobody may have looked at a run for weeks.
_LONGEST_ATTEMPT_MS = 2**31 - 1
# The parts of an event that can hold what a tenant or a target wrote. The protocol's own words are not searched
# for secrets: one that happens to read like them would break its tenant's runs.
_TENANTS_WORDS = frozenset({"input", "output", "error", "result"})


class Engine:
    def __init__(
        self,
        parts: EngineParts,
        run: ClaimedRun,
        held: HeldRun,
        report: RunReport,
        log: RunLog,
        credentials: RunCredentials,
        redactor: Redactor,
    ) -> None:
        self.parts, self.run, self.report, self.log = parts, run, report, log
        self.redactor = redactor
        self.held, self._credentials = held, credentials
        self.state = run.state
        self._running: dict[str, asyncio.Task[None]] = {}
        # When the attempt under way of each step began; of one of another runner's, when its step did.
        self._begun = dict(run.begun)
        self._wake = asyncio.Event()
        self._claimed_at = parts.clock.now()
        self._left = False
        self._output_bytes = sum(
            len(orjson.dumps(s.output)) for s in run.state.steps.values() if s.output is not None
        )
        document = run.version.document
        timeout = document.timeout_ms
        self._deadline = run.started_at + timedelta(milliseconds=timeout) if timeout else None
        self._places = {step.key: f"steps[{n}]" for n, step in enumerate(document.steps)}

    async def advance(self) -> None:
        """Advance the run as far as it goes now. Returns when it ended, parked, or the claim is lost.

        Every event is confirmed on return, unless the claim is lost.
        """
        self.held.on_news(self._wake.set)
        try:
            while not self._left:
                self._wake.clear()
                if self.held.lost:
                    return
                if self.held.cancel_requested and not self.state.cancel:
                    self.state = replace(self.state, cancel=True)
                await self._turn()
            await self.report.confirmed()  # rule ack_after_confirm: the job is acked when this returns
        finally:
            await self._stop_steps()

    def wake(self) -> None:
        """Look again now: the runner is draining."""
        self._wake.set()

    async def _turn(self) -> None:
        now = self.parts.clock.now()
        if self._deadline and now >= self._deadline and self._running:
            await self._stop_steps()
            self._doubt_stopped()
        commands = decide(self.run.graph, self.state, now, self._running, self._deadline)
        hand_back = self._must_hand_back(now)
        waits = True
        for command in commands:
            match command:
                case Start(key):
                    if hand_back:
                        continue
                    self._start(key)
                case Skip(key):
                    self.emit(EventKind.COMPLETED, key, {"status": StepStatus.SKIPPED})
                    waits = False
                case Doubt(key):
                    self._doubt(key, "a call was sent and its answer was lost with its runner")
                    waits = False
                case Park(reason, resume_at):
                    self._park(reason, resume_at)
                case Finish(error):
                    self._finish(error)
                case Cancel():
                    self.emit(EventKind.CANCELED, None, {})
                    self.log.write(LogLevel.INFO, "run canceled")
                    self._left = True
        if hand_back and not self._running and not self._left and waits:
            self._park(ParkReason.HANDED_BACK, now)
        if waits and not self._left:
            await self._wait(now)

    def _doubt_stopped(self) -> None:
        """Unsafe calls that the run's time limit cut off: nobody knows whether they arrived."""
        for key, step in self.state.steps.items():
            if step.in_flight:
                self._doubt(key, "the run's time limit cut a call off that may have arrived")

    def _doubt(self, key: str, message: str) -> None:
        """End the attempt under way, of which nobody knows whether it was one."""
        error = Failure("OUTCOME_UNKNOWN", message).as_json()
        now = self.parts.clock.now()
        began = min(self._begun.get(key, now), now)
        attempt: JsonObject = {
            "number": self.state.step(key).attempts + 1,
            "startedAt": began.isoformat(),
            "durationMs": min(int((now - began) / timedelta(milliseconds=1)), _LONGEST_ATTEMPT_MS),
            "outcome": StepStatus.UNKNOWN,
        }
        data: JsonObject = {"status": StepStatus.UNKNOWN, "attempt": attempt, "error": error}
        self.emit(EventKind.COMPLETED, key, data)
        self.log.write(LogLevel.WARN, f"step {key} is in doubt: {message}", step=key)

    def _must_hand_back(self, now: datetime) -> bool:
        """The runner is leaving, or has held this delivery for long: the run goes on elsewhere, at once."""
        if self.state.cancel:
            return False
        return self.parts.draining.is_set() or now - self._claimed_at > self.parts.time_slice

    def _start(self, key: str) -> None:
        task = asyncio.create_task(StepExecution(self, self._context(key)).run())
        self._running[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled() and (error := task.exception()):
            # A handler raised: its promise is broken, and the run ends by it instead of staying for ever.
            failure = Failure("STEP_CRASHED", f"the step's handler raised {type(error).__name__}")
            self.emit(EventKind.COMPLETED, key, {"status": StepStatus.FAILED, "error": failure.as_json()})
            self.log.write(LogLevel.ERROR, failure.message, step=key)
        self._wake.set()

    async def _wait(self, now: datetime) -> None:
        """Until a step ends, there is news, or the next time that matters."""
        times = [
            s.retry_at for s in self.state.steps.values() if s.status is StepStatus.WAITING and s.retry_at
        ]
        times += [self._deadline] if self._deadline else []
        times += [self._claimed_at + self.parts.time_slice]
        # A time that is past has been acted upon; steps that are still under way wake us by themselves.
        seconds = min(((at - now).total_seconds() for at in times if at > now), default=60.0)
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _stop_steps(self) -> None:
        tasks = list(self._running.values())
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _park(self, reason: ParkReason, resume_at: datetime | None) -> None:
        data: JsonObject = {"reason": reason}
        if resume_at:
            data["resumeAt"] = resume_at.isoformat()
        self.emit(EventKind.PARKED, None, data)
        self._left = True

    def _finish(self, error: Failure | None) -> None:
        result: Json = None
        if error is None and self.run.version.document.result is not None:
            try:
                result = self.parts.templates.render(self.run.version.document.result, self.scope(), "result")
            except ExpressionError as wrong:
                error = Failure("RESULT_FAILED", f"{wrong.path}: {wrong.reason}")
        if error:
            self.emit(EventKind.FINISHED, None, {"status": "FAILED", "error": error.as_json()})
            self.log.write(LogLevel.ERROR, f"run failed: {error.message}", code=error.code)
        else:
            self.emit(EventKind.FINISHED, None, {"status": "SUCCESS", "result": result})
            self.log.write(LogLevel.INFO, "run finished")
        self._left = True

    # -- what steps use ------------------------------------------------------------------------------------

    def emit(self, kind: EventKind, step: str | None, data: JsonObject) -> None:
        """Write an event and fold it. What is written and what is folded are the same, redacted, data: a
        resumed run sees exactly what this one saw."""
        clean = {
            name: self.redactor.value(value) if name in _TENANTS_WORDS else value
            for name, value in data.items()
        }
        now = self.parts.clock.now()
        if kind is EventKind.STARTED and step is not None:
            self._begun[step] = now
        self.report.emit(kind, now, step, clean)
        self.state = fold(self.state, Change(kind, step, clean))

    def keep(self, output: Json) -> bool:
        """Whether there is room for a step's output beside those that the run has already."""
        try:
            size = len(orjson.dumps(output))
        except TypeError:
            return False
        if size > MAX_OUTPUT_BYTES or self._output_bytes + size > MAX_RUN_OUTPUT_BYTES:
            return False
        self._output_bytes += size
        return True

    def scope(self, secrets: Mapping[str, str] | None = None) -> Scope:
        document = self.run.version.document
        return Scope(
            input=self.run.input,
            env={**document.env, **(secrets or {})},
            steps={key: upstream(self.state.step(key)) for key in self.run.graph.steps},
            run={
                "id": str(self.run.run_id),
                "workflow": document.workflow,
                "startedAt": self.run.started_at.isoformat(),
            },
        )

    def _context(self, key: str) -> StepContext:
        return StepContext(
            run=self.run,
            step=self.run.graph.steps[key],
            place=self._places[key],
            scope=self.scope(),
            secret_scope=self.scope(self.run.secrets),
            credentials=self._credentials,
            redactor=lambda: self.redactor,
            log=self.log.write,
            now=self.parts.clock.now,
            may_call=lambda: self.parts.lease.may_call(self.held),
            timeout_seconds=self._seconds_left,
        )

    def _seconds_left(self) -> float | None:
        """Until the run's own time limit, if it has one."""
        if self._deadline is None:
            return None
        return max((self._deadline - self.parts.clock.now()).total_seconds(), 0.001)
