"""The engine: decide, do, fold, decide again, until the run ends or is left.

One `Engine` advances one claimed run. It is the one writer of the run's events while the claim lives.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import assert_never

import orjson
from headrace.errors import HeadraceError
from headrace.json_types import Json, JsonMapping, JsonObject
from headrace.messages import LogLevel
from headrace.redaction import Redactor
from headrace.workflow.commands import (
    Cancel,
    Collect,
    Command,
    Compensate,
    Doubt,
    Finish,
    Park,
    Remind,
    Resolve,
    Settle,
    SettleByProbe,
    Skip,
    Start,
)
from headrace.workflow.conditions import ConditionFailed, holds
from headrace.workflow.decide import decide, upstream
from headrace.workflow.document import OnError, When
from headrace.workflow.expressions.limits import ExpressionError
from headrace.workflow.expressions.scope import Scope
from headrace.workflow.expressions.truth import evaluate_when
from headrace.workflow.extraction import extract
from headrace.workflow.frontier import Frontier
from headrace.workflow.keys import Part, RowKey, probe_key, read_key
from headrace.workflow.state import (
    Change,
    EventKind,
    Failure,
    ParkReason,
    StepStatus,
    Undoing,
    fold,
)

from headrace_runner.claims import ClaimedRun
from headrace_runner.credentials import RunCredentials
from headrace_runner.execution import StepExecution
from headrace_runner.lease import HeldRun
from headrace_runner.loops import Loops, collected
from headrace_runner.parts import EngineParts
from headrace_runner.reporting import RunReport
from headrace_runner.retry import retries_left
from headrace_runner.rows import StepsView, own_row, place_of, step_of
from headrace_runner.run_log import RunLog
from headrace_runner.steps.protocol import StepContext

# A step's output, and all outputs of a run together: what a checkpoint, a claim's answer and a message can carry.
MAX_OUTPUT_BYTES = 1024 * 1024
MAX_RUN_OUTPUT_BYTES = 16 * 1024 * 1024

# What a column of 32 bits holds: nobody may have looked at a run for weeks.
_LONGEST_ATTEMPT_MS = 2**31 - 1
# The parts of an event that can hold what a tenant or a target wrote. The protocol's own words are not searched
# for secrets: one that happens to read like them would break its tenant's runs.
_TENANTS_WORDS = frozenset({"input", "output", "error", "result", "title", "details"})


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
        self._frontier = Frontier(run.graph, run.state)
        self._running: dict[str, asyncio.Task[None]] = {}
        # When the attempt under way of each step began; of one of another runner's, when its step did.
        self._begun = dict(run.begun)
        self._wake = asyncio.Event()
        self._claimed_at = parts.clock.now()
        self._left = self._late = False
        self._output_bytes = sum(
            len(orjson.dumps(s.output)) for s in run.state.steps.values() if s.output is not None
        )
        document = run.version.document
        timeout = document.timeout_ms
        self._deadline = run.started_at + timedelta(milliseconds=timeout) if timeout else None
        self._places = {step.key: f"steps[{n}]" for n, step in enumerate(document.steps)}
        self._loops = Loops(parts.templates, self.scope, self._places.__getitem__)
        held.despite_cancel = run.state.undoing is not None
        held.inbox_seen = run.state.inbox_seen
        held.pause_requested = run.state.pause

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
                self._hear()
                await self._turn()
            await self.report.confirmed()  # rule ack_after_confirm: the job is acked when this returns
        finally:
            await self._stop_steps()

    def wake(self) -> None:
        """Look again now: the runner is draining."""
        self._wake.set()

    def _hear(self) -> None:
        """Take in what the holder was told of: a cancel, a pause, messages."""
        held, state = self.held, self.state
        if held.cancel_requested and not state.cancel:
            state = replace(state, cancel=True)
        if held.pause_requested != state.pause:
            state = replace(state, pause=held.pause_requested)
        if held.inbox:
            new, held.inbox = tuple(held.inbox), []
            state = replace(state, inbox=(*state.inbox, *new), inbox_seen=new[-1].seq)
        self.state = state

    async def _turn(self) -> None:
        now = self.parts.clock.now()
        deadline = None if self.state.undoing else self._deadline
        if deadline and now >= deadline and not self._late:
            self._late = True  # once: what is begun from here on serves the undoing
            await self._stop_steps()
            self._doubt_stopped()
        commands = decide(
            self.run.graph, self.state, now, self._running, deadline, self._evaluate, self._frontier
        )
        hand_back = self._must_hand_back(now)
        waits = True
        for command in commands:
            if isinstance(command, Start):
                # What is begun although a cancel is known has to be: it is being undone, or is about to be.
                self.held.despite_cancel |= self.state.cancel
                if not hand_back:
                    waits &= self._start(command.step)
            else:
                self._carry_out(command)
                waits = False
        if hand_back and not self._running and not self._left and waits:
            self._park(ParkReason.HANDED_BACK, now)
        if waits and not self._left:
            await self._wait(now, deadline)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Skip(key):
                self.emit(EventKind.COMPLETED, key, {"status": StepStatus.SKIPPED})
            case Doubt(key):
                self._doubt(key, "a call was sent and its answer was lost with its runner")
            case Resolve():
                self._resolve(command)
            case Remind(key, again):
                self.emit(EventKind.REMINDED, key, {"remindAt": again.isoformat()})
                self.log.write(LogLevel.INFO, f"step {key}: nobody has decided yet", step=key)
            case Settle(key, status, output, error, by, inbox):
                self._settle(key, status, output, error, {"by": by, "inbox": list(inbox)})
            case SettleByProbe(key):
                self._settle_by_probe(key)
            case Collect(key):
                self._collect(key)
            case Compensate(undoing):
                self._compensate(undoing)
            case Park(reason, resume_at):
                self._park(reason, resume_at)
            case Finish(error):
                self._finish(error)
            case Cancel(error):
                self.emit(EventKind.CANCELED, None, {"error": error.as_json()} if error else {})
                self.log.write(LogLevel.INFO, "run canceled")
                self._left = True
            case Start():
                self._start(command.step)
            case _:
                assert_never(command)

    # -- steps ---------------------------------------------------------------------------------------------

    def _start(self, row: str) -> bool:
        """Begin a row; whether there is something to wait for now."""
        key = read_key(row)
        step = self.run.graph.steps[key.step]
        if step.for_each is not None and key.index is None and key.part is None:
            self._expand(key)
            return False
        task = asyncio.create_task(StepExecution(self, self._context(key)).run())
        self._running[row] = task
        task.add_done_callback(lambda done: self._ended(row, done))
        return True

    def _ended(self, row: str, task: asyncio.Task[None]) -> None:
        if self._running.get(row) is task:
            del self._running[row]
        if not task.cancelled() and (error := task.exception()):
            # A handler raised: its promise is broken, and the run ends by it instead of staying for ever.
            failure = Failure("STEP_CRASHED", f"the step's handler raised {type(error).__name__}")
            self.emit(EventKind.COMPLETED, row, {"status": StepStatus.FAILED, "error": failure.as_json()})
            self.log.write(LogLevel.ERROR, failure.message, step=row)
        self._wake.set()

    def _expand(self, key: RowKey) -> None:
        """A loop begins: its event says how many items there are."""
        items = self._loops.items(self.run.graph.steps[key.step])
        if isinstance(items, Failure):
            self.emit(EventKind.COMPLETED, key.step, {"status": StepStatus.FAILED, "error": items.as_json()})
            self.log.write(LogLevel.ERROR, f"step {key.step} failed: {items.message}", step=key.step)
        else:
            self.emit(EventKind.STARTED, key.step, {"attempt": 1, "unsafe": False, "items": len(items)})

    def _collect(self, row: str) -> None:
        step = self.run.graph.steps[row]
        output, error = collected(step, self.state)
        self._loops.forget(step)
        if error is None and not self.keep(output):
            error = Failure("OUTPUT_TOO_LARGE", "the items' outputs together are too large")
        if error is None:
            self.emit(EventKind.COMPLETED, row, {"status": StepStatus.SUCCESS, "output": output})
        else:
            self.emit(EventKind.COMPLETED, row, {"status": StepStatus.FAILED, "error": error.as_json()})
            self.log.write(LogLevel.ERROR, f"step {row} failed: {error.message}", step=row, code=error.code)

    def _resolve(self, done: Resolve) -> None:
        data: JsonObject = {"status": done.status}
        if done.inbox:
            data["inbox"] = list(done.inbox)
        status, output, error = done.status, done.output, done.error
        if output is not None and not self.keep(output):
            status, output = StepStatus.FAILED, None
            error = Failure(
                "OUTPUT_TOO_LARGE", "the step's output, or the run's outputs together, are too large"
            )
        data["status"] = status
        if output is not None:
            data["output"] = output
        if error:
            data["error"] = error.as_json()
        self.emit(EventKind.COMPLETED, done.step, data)
        level = LogLevel.ERROR if error else LogLevel.INFO
        canceled = "is not asked any more" if status is StepStatus.CANCELED else "succeeded"
        words = f"failed: {error.message}" if error else canceled
        self.log.write(level, f"step {done.step} {words}", step=done.step)

    # -- doubts --------------------------------------------------------------------------------------------

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

    def _settle(
        self, key: str, status: StepStatus, output: Json, error: Failure | None, how: JsonObject
    ) -> None:
        data: JsonObject = {"status": status, **how}
        if status is StepStatus.SUCCESS and output is not None and self.keep(output):
            data["output"] = output
        if status is StepStatus.FAILED:
            data["error"] = (
                error or Failure("SETTLED_FAILED", "the doubt was settled as a failure")
            ).as_json()
        self.emit(EventKind.SETTLED, key, data)
        self.log.write(LogLevel.INFO, f"step {key}: the doubt is settled, {status}", step=key)

    def _settle_by_probe(self, key: str) -> None:
        name = read_key(key)
        probe = self.run.graph.steps[name.step].probe
        row = self.state.step(probe_key(key))
        if probe is None:
            return
        how: JsonObject = {"by": {"by": "probe"}}
        try:
            arrived = holds(probe.done, upstream(row), partial(self._evaluate, key=name))
            output = extract(row.output, probe.output) if arrived and probe.output is not None else row.output
        except ConditionFailed as wrong:
            failed = Failure("CONDITION_FAILED", f"{self._places[name.step]}.probe.done: {wrong}")
            self._settle(key, StepStatus.FAILED, None, failed, how)
        except HeadraceError as wrong:
            failed = Failure("EXTRACTION_FAILED", f"{self._places[name.step]}.probe.output: {wrong.message}")
            self._settle(key, StepStatus.FAILED, None, failed, how)
        else:
            self._settle(key, StepStatus.SUCCESS if arrived else StepStatus.QUEUED, output, None, how)

    # -- the run's end -------------------------------------------------------------------------------------

    def _must_hand_back(self, now: datetime) -> bool:
        """The runner is leaving, or has held this delivery for long: the run goes on elsewhere, at once."""
        if self.state.cancel and not self.state.undoing:
            return False
        return self.parts.draining.is_set() or now - self._claimed_at > self.parts.time_slice

    def stopping(self) -> bool:
        """No further attempt begins here: the engine decides anew."""
        return not self.held.may_go_on() or self.parts.draining.is_set() or self.held.pause_requested

    async def _wait(self, now: datetime, deadline: datetime | None) -> None:
        """Until a step ends, there is news, or the next time that matters."""
        waiting = (self.state.step(key) for key in self._frontier.open)
        times = [s.retry_at for s in waiting if s.status is StepStatus.WAITING and s.retry_at]
        times += [deadline] if deadline else []
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

    def _compensate(self, undoing: Undoing) -> None:
        self.held.despite_cancel = True
        self.emit(EventKind.COMPENSATING, None, undoing.as_json())
        why = f": {undoing.error.message}" if undoing.error else ""
        self.log.write(LogLevel.WARN, f"run is being compensated{why}")

    def _park(self, reason: ParkReason, resume_at: datetime | None) -> None:
        # rule park_tells_what_it_saw: a message above this is news to whoever applies it
        data: JsonObject = {"reason": reason, "inboxSeen": self.state.inbox_seen}
        if resume_at:
            data["resumeAt"] = resume_at.isoformat()
        self.emit(EventKind.PARKED, None, data)
        self._left = True

    def _finish(self, error: Failure | None) -> None:
        result: Json = None
        if error is None and not self.state.undoing:
            try:
                result = self._result()
            except ExpressionError as wrong:
                error = Failure("RESULT_FAILED", f"{wrong.path}: {wrong.reason}")
        if error:
            self.emit(EventKind.FINISHED, None, {"status": "FAILED", "error": error.as_json()})
            self.log.write(LogLevel.ERROR, f"run failed: {error.message}", code=error.code)
        else:
            self.emit(EventKind.FINISHED, None, {"status": "SUCCESS", "result": result})
            self.log.write(LogLevel.INFO, "run finished")
        self._left = True

    def _result(self) -> Json:
        """What the step that ended the run early gave, or else what the document says."""
        early = self._frontier.succeeded
        if early is not None and self.run.graph.steps[early].input is not None:
            return self.state.step(early).output
        written = self.run.version.document.result
        return None if written is None else self.parts.templates.render(written, self.scope(), "result")

    # -- what steps use ------------------------------------------------------------------------------------

    def emit(self, kind: EventKind, step: str | None, data: JsonObject) -> None:
        """Write an event and fold it. What is written and what is folded are the same, redacted, data: a
        resumed run sees exactly what this one saw."""
        clean = self._clean(data)
        if step and data.get("status") == StepStatus.FAILED and self._unhandled(read_key(step)):
            clean["unhandled"] = True
        now = self.parts.clock.now()
        if kind is EventKind.STARTED and step is not None:
            self._begun[step] = now
        place = self.report.emit(kind, now, step, clean)
        self.state = fold(self.state, Change(kind, step, clean, place))
        if step:
            self._frontier.changed(step, self.state)

    def _clean(self, data: JsonObject) -> JsonObject:
        clean: JsonObject = {}
        for name, value in data.items():
            if name in _TENANTS_WORDS:
                clean[name] = self.redactor.value(value)
            elif name == "wait" and isinstance(value, dict):
                clean[name] = self._clean(value)
            else:
                clean[name] = value
        return clean

    def _unhandled(self, key: RowKey) -> bool:
        """Whether nothing in the document deals with the failure of this row: it is a dead letter."""
        if key.part is not None:
            return key.part is Part.UNDO
        each = self.run.graph.steps[key.step].for_each
        if key.index is not None and each is not None and each.on_item_error is OnError.CONTINUE:
            return False
        # A loop fails by an item, which is told of already.
        is_loop = each is not None and key.index is None and self.state.step(key.step).items is not None
        return self.run.graph.fails_the_run(key.step) and not is_loop

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

    def scope(self, secrets: Mapping[str, str] | None = None, key: RowKey | None = None) -> Scope:
        document = self.run.version.document
        scope = Scope(
            input=self.run.input,
            env={**document.env, **(secrets or {})},
            steps=StepsView(self.run.graph, self.state, own_row(key) if key else None),
            run={
                "id": str(self.run.run_id),
                "workflow": document.workflow,
                "startedAt": self.run.started_at.isoformat(),
            },
            callbacks=self.run.callbacks if secrets is not None else {},
        )
        if key is None or key.index is None:
            return scope
        items = self._loops.items(self.run.graph.steps[key.step])
        item = items[key.index] if isinstance(items, list) and key.index < len(items) else None
        return replace(scope, loop=True, item=item, index=key.index)

    def _evaluate(self, text: str, own: JsonMapping, key: RowKey | None = None) -> bool:
        try:
            return evaluate_when(self.parts.templates, self.scope(key=key), text, own)
        except ExpressionError as error:
            raise ConditionFailed(error.reason) from error

    def holds(self, when: When, output: Json) -> bool:
        """Whether `when` is true of a step that succeeded with `output`. Raises `ConditionFailed`."""
        return holds(when, {"output": output, "status": StepStatus.SUCCESS, "error": None}, self._evaluate)

    def _context(self, key: RowKey) -> StepContext:
        return StepContext(
            run=self.run,
            step=step_of(self.run.graph, key),
            place=place_of(self._places[key.step], key),
            scope=self.scope(key=key),
            secret_scope=self.scope(self.run.secrets, key),
            credentials=self._credentials,
            redactor=lambda: self.redactor,
            log=self.log.write,
            now=self.parts.clock.now,
            may_call=lambda: self.parts.lease.may_call(self.held),
            timeout_seconds=self._seconds_left,
            key=key,
            round=self.state.step(str(key)).round,
            # What undoes, or settles a doubt, is not kept from it by what went before.
            retries_left=lambda: (
                None if key.part else retries_left(self.run.version.document.retry_budget, self.state)
            ),
        )

    def _seconds_left(self) -> float | None:
        """Until the run's own time limit, if it has one."""
        if self._deadline is None or self._late or self.state.undoing:
            return None
        return max((self._deadline - self.parts.clock.now()).total_seconds(), 0.001)
