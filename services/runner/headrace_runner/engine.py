"""The engine: decide, do, fold, decide again, until the run ends or is left.

One `Engine` advances one claimed run. It is the one writer of the run's events while the claim lives.
"""

import asyncio
from datetime import datetime, timedelta
from typing import assert_never

import structlog
from headrace.messages import LogLevel
from headrace.unforeseen import described
from headrace.workflow.commands import (
    Cancel,
    Collect,
    Command,
    Compensate,
    Doubt,
    Finish,
    GoOn,
    Park,
    Remind,
    Resolve,
    Settle,
    SettleByProbe,
    Skip,
    Start,
)
from headrace.workflow.conditions import no_expressions
from headrace.workflow.decide import decide
from headrace.workflow.keys import RowKey, read_key
from headrace.workflow.state import EventKind, Failure, ParkReason, StepStatus
from headrace.workflow.waiting import to_be_heard

from headrace_runner.claimed_run import ClaimedRun
from headrace_runner.credentials import RunCredentials
from headrace_runner.endings import Endings
from headrace_runner.execution import StepExecution
from headrace_runner.history import RunHistory
from headrace_runner.lease import HeldRun
from headrace_runner.metrics import RunMeter
from headrace_runner.outcomes import Outcomes
from headrace_runner.parts import EngineParts
from headrace_runner.reporting import RunReport
from headrace_runner.rows import place_of, step_of
from headrace_runner.run_log import RunLog
from headrace_runner.run_secrets import RunSecrets
from headrace_runner.scopes import Scopes
from headrace_runner.steps.protocol import StepContext

_log = structlog.get_logger(__name__)

_AFTER_THE_LIMIT = 1.0


class Engine:
    def __init__(
        self,
        parts: EngineParts,
        run: ClaimedRun,
        held: HeldRun,
        report: RunReport,
        log: RunLog,
        credentials: RunCredentials,
        secrets: RunSecrets,
    ) -> None:
        self.parts, self.run, self.report, self.log = parts, run, report, log
        self.secrets = secrets
        self.held, self._credentials = held, credentials
        self.history = RunHistory(
            run.graph,
            run.state,
            dict(run.begun),
            report,
            parts.clock,
            secrets,
            RunMeter(parts.metrics, run.graph, run.version.document.workflow, run.started_at),
        )
        self._running: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._claimed_at = parts.clock.now()
        self._late = False
        document = run.version.document
        timeout = document.timeout_ms
        self._deadline = run.started_at + timedelta(milliseconds=timeout) if timeout else None
        self._places = {step.key: f"steps[{n}]" for n, step in enumerate(document.steps)}
        self.scopes = Scopes(run, self.history, parts.templates, self._places.__getitem__)
        self.history.evaluate = self.scopes.evaluate
        self.endings = Endings(run, self.history, self.scopes, parts.templates, log)
        self.outcomes = Outcomes(
            run.graph,
            self.history,
            self.scopes,
            log,
            parts.clock,
            self._places.__getitem__,
            run.quotas.loop_items,
        )
        held.despite_cancel = run.state.undoing is not None
        held.begin_at(run.state.inbox_seen, run.state.heard)
        held.pause_requested = run.state.pause

    async def advance(self) -> None:
        """Advance the run as far as it goes now. Returns when it ended, parked, or the claim is lost.

        Every event is confirmed on return, unless the claim is lost.
        """
        self.held.on_news(self._wake.set)
        try:
            while not self.endings.left:
                self._wake.clear()
                if self.held.lost:
                    return
                self._hear()
                await self._turn()
            await self.report.confirmed()  # rule ack_after_confirm: the job is acked when this returns
        finally:
            await self._stop_steps()
            self.history.evaluate = (
                no_expressions  # it leads back to the history: nothing waits for the collector
            )

    def wake(self) -> None:
        """Look again now: the runner is draining."""
        self._wake.set()

    def _hear(self) -> None:
        """Take in what the holder was told of: a cancel, a pause, messages."""
        held, state = self.held, self.history.state
        if held.cancel_requested and not state.cancel:
            state = state._replace(cancel=True)
        if held.pause_requested != state.pause:
            state = state._replace(pause=held.pause_requested)
        if held.inbox:
            new, held.inbox = tuple(held.inbox), []
            state = state._replace(inbox=(*state.inbox, *new), inbox_seen=new[-1].seq)
        if held.heard != state.heard:
            state = state._replace(heard=held.heard)
        self.history.state = state

    async def _turn(self) -> None:
        now = self.parts.clock.now()
        deadline = None if self.history.state.undoing else self._deadline
        if deadline and now >= deadline and not self._late:
            self._late = True  # once: what is begun from here on serves the undoing
            await self._stop_steps()
            self.outcomes.doubt_stopped()
        commands = decide(
            self.run.graph,
            self.history.state,
            now,
            self._running,
            deadline,
            self.scopes.evaluate,
            self.history.frontier,
            self.history.answers,
        )
        hand_back = self._must_hand_back(now)
        waits, rest = True, GoOn() in commands
        rendered = self.scopes.loops.rendered
        for command in commands:
            if isinstance(command, Start):
                # What is begun although a cancel is known has to be: it is being undone, or is about to be.
                self.held.despite_cancel |= self.history.state.cancel
                if not hand_back:
                    waits &= self._start(command.step)
                if self.scopes.loops.rendered > rendered:
                    # One list in a row, as with conditions and steps: the rest is decided anew.
                    waits, rest = False, True
                    break
            else:
                self._carry_out(command)
                waits = False
            if self.history.answers.tired:
                # So with failures that were written down, of which error edges were asked.
                waits, rest = False, True
                break
        if hand_back and not self._running and not self.endings.left and waits:
            self.endings.park(ParkReason.HANDED_BACK, now)
        if rest:
            await self._let_others()
        elif waits and not self.endings.left:
            await self._wait(now, deadline)

    async def _let_others(self) -> None:
        """Much was evaluated: the other runs, and the lease, have their turn before there is more."""
        await self.parts.pace.let_others()
        self.history.answers.others_had_their_turn()

    def _carry_out(self, command: Command) -> None:
        match command:
            case Skip(key):
                self.history.emit(EventKind.COMPLETED, key, {"status": StepStatus.SKIPPED})
            case Doubt(key):
                self.outcomes.doubt(key, "a call was sent and its answer was lost with its runner")
            case Resolve():
                self.outcomes.resolve(command)
            case Remind(key, again):
                self.history.emit(EventKind.REMINDED, key, {"remindAt": again.isoformat()})
                self.log.write(LogLevel.INFO, f"step {key}: nobody has decided yet", step=key)
            case Settle(key, status, output, error, by, inbox):
                self.outcomes.settle(key, status, output, error, {"by": by, "inbox": list(inbox)})
            case SettleByProbe(key):
                self.outcomes.settle_by_probe(key)
            case Collect(key):
                self.outcomes.collect(key)
            case Compensate(undoing):
                self.held.despite_cancel = True
                self.endings.compensate(undoing)
            case Park(reason, resume_at):
                self.endings.park(reason, resume_at)
            case Finish(error):
                self.endings.finish(error)
            case Cancel(error):
                self.endings.cancel(error)
            case Start():
                self._start(command.step)
            case GoOn():
                pass  # the turn ends with it
            case _:
                assert_never(command)

    # -- steps ---------------------------------------------------------------------------------------------

    def _start(self, row: str) -> bool:
        """Begin a row; whether there is something to wait for now."""
        key = read_key(row)
        step = self.run.graph.steps[key.step]
        if step.for_each is not None and key.index is None and key.part is None:
            self.outcomes.expand(key)
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
            self.history.emit(
                EventKind.COMPLETED, row, {"status": StepStatus.FAILED, "error": failure.as_json()}
            )
            self.log.write(LogLevel.ERROR, failure.message, step=row)
            of = {"run_id": str(self.run.run_id), "tenant_id": str(self.run.tenant_id)}
            _log.error("a step's handler raised", **of, step=row, **described(error))
        self._wake.set()

    # -- how long it goes on --------------------------------------------------------------------------------

    def _must_hand_back(self, now: datetime) -> bool:
        """The runner is leaving, or has held this delivery for long: the run goes on elsewhere, at once."""
        if self.history.state.cancel and not self.history.state.undoing:
            return False
        return self.parts.draining.is_set() or now - self._claimed_at > self.parts.time_slice

    def stopping(self) -> bool:
        """No further attempt begins here: the engine decides anew."""
        held, parts = self.held, self.parts
        if not held.may_go_on() or parts.draining.is_set() or held.pause_requested:
            return True
        # A step's retries may last for hours; the bus takes back what is held for long.
        return self._must_hand_back(parts.clock.now())

    async def _wait(self, now: datetime, deadline: datetime | None) -> None:
        """Until a step ends, there is news, or the next time that matters."""
        state = self.history.state
        rows = [state.step(key) for key in self.history.frontier.open]
        waiting = [row for row in rows if row.status is StepStatus.WAITING]
        times = [row.retry_at for row in waiting if row.retry_at]
        # A wait for a message is over when all that was said in time is known: a renewal tells.
        unheard = [row.retry_at for row in waiting if row.retry_at and to_be_heard(row, state)]
        self.held.await_heard(min((at for at in unheard if at <= now), default=None))
        times += [deadline] if deadline else []
        times += [self._claimed_at + self.parts.time_slice]
        # A time that is past has been acted upon; steps that are still under way wake us by themselves.
        seconds = min(((at - now).total_seconds() for at in times if at > now), default=60.0)
        alarm = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()

    async def _stop_steps(self) -> None:
        tasks = list(self._running.values())
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what steps use ------------------------------------------------------------------------------------

    def _context(self, key: RowKey) -> StepContext:
        return StepContext(
            run=self.run,
            step=step_of(self.run.graph, key),
            place=place_of(self._places[key.step], key),
            scope=self.scopes.scope(key=key),
            secret_scope=self.scopes.scope(self.run.secrets, key),
            credentials=self._credentials,
            secrets=self.secrets,
            log=self.log.write,
            now=self.parts.clock.now,
            may_call=lambda: self.parts.lease.may_call(self.held),
            timeout_seconds=self._seconds_left,
            key=key,
            round=self.history.state.step(str(key)).round,
            # What undoes, or settles a doubt, is not kept from it by what went before.
            retries_left=lambda: (
                None if key.part else self.history.retries_left(self.run.version.document.retry_budget)
            ),
        )

    def _seconds_left(self) -> float | None:
        """Until the run's own time limit, if it has one, and a little more: it is the engine that cuts off what is
        under way then. A call that ran out of time in that very moment would be a failed step, and not asked again."""
        if self._deadline is None or self._late or self.history.state.undoing:
            return None
        return max((self._deadline - self.parts.clock.now()).total_seconds(), 0.0) + _AFTER_THE_LIMIT
