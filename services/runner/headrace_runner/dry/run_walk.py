"""One run of a walk, from its beginning to its end: what other services do for a run that waits is done here. Time
passes, people decide as was declared, children are walked."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from headrace.json_types import JsonObject
from headrace.workflow.keys import read_key
from headrace.workflow.sensitive import Leaf
from headrace.workflow.state import (
    ENDED_RUN,
    Message,
    MessageKind,
    RunState,
    RunStatus,
    StepState,
    StepStatus,
    WaitKind,
)

from headrace_runner.claimed_run import ClaimedRun
from headrace_runner.credentials import RunCredentials
from headrace_runner.dry.answers import Answers, Ended, Source
from headrace_runner.dry.job import Recorded
from headrace_runner.dry.surroundings import (
    NoTokens,
    Unwritten,
    VirtualClock,
)
from headrace_runner.dry.walked import Walk, WalkedRun
from headrace_runner.engine import Engine
from headrace_runner.lease import HeldRun
from headrace_runner.parts import EngineParts
from headrace_runner.reporting import RunReport
from headrace_runner.run_log import RunLog
from headrace_runner.run_secrets import RunSecrets

_UNANSWERED = frozenset({WaitKind.APPROVAL, WaitKind.SIGNAL, WaitKind.CHILD})


class WholeWalk(Protocol):
    """The walk that a run belongs to."""

    walk: Walk

    def parts(self, place: str, answers: Answers, clock: VirtualClock) -> EngineParts:
        """What an engine of the run at `place` has around it."""

    async def child(
        self,
        parent: ClaimedRun,
        row: str,
        wait: JsonObject,
        place: str,
        recorded: Recorded | None,
        at: datetime,
    ) -> WalkedRun:
        """The run that a `workflow` step begins, or that undoes one."""


class RunWalk:
    def __init__(self, walker: WholeWalk, run: ClaimedRun, place: str, answers: Answers) -> None:
        self._walker, self._run, self._place, self._answers = walker, run, place, answers
        self.clock = VirtualClock(run.started_at)
        self._unwritten = Unwritten(lambda row, said: walker.walk.notes.append((f"{place}{row}", said)))
        self._seq = 0
        self._done: set[tuple[str, int]] = set()
        # What comes in at a time that has not come yet.
        self._coming: list[tuple[datetime, Message]] = []

    async def to_the_end(self) -> RunState:
        walk, state = self._walker.walk, self._run.state
        known: list[Leaf] = list(self._run.revealed)
        epoch = 0
        while True:
            epoch += 1
            before = len(state.steps)
            run = replace(self._run, state=state, epoch=epoch, revealed=tuple(known))
            engine = self._engine(run)
            await engine.advance()
            state, known = engine.history.state, engine.secrets.sensitive.known
            walk.rows += len(state.steps) - before
            walk.output_bytes[self._place] = engine.history.output_bytes
            # Other runs of this runner, and its lease, have their turn, too.
            await asyncio.sleep(0)
            if state.status in ENDED_RUN or walk.exceeded:
                walk.leaves += known
                return state
            await self._answer(state)
            if not any(at <= self.clock.now() for at, _ in self._coming):
                wake = self._wake(state)
                if wake is None:
                    walk.leaves += known
                    return state
                self.clock.set(wake)
            now = self.clock.now()
            state = self._resumed(state, [message for at, message in self._coming if at <= now])
            self._coming = [(at, message) for at, message in self._coming if at > now]

    def _engine(self, run: ClaimedRun) -> Engine:
        parts = self._walker.parts(self._place, self._answers, self.clock)
        report = RunReport(self._unwritten, run.tenant_id, run.run_id, run.epoch)
        secrets = RunSecrets.of(run)
        log = RunLog(self._unwritten, self.clock, run.tenant_id, run.run_id, secrets.words)
        credentials = RunCredentials(NoTokens(), run.run_pass, run.connections, lambda credential: None)
        return Engine(parts, run, HeldRun(run.run_id), report, log, credentials, secrets)

    def _resumed(self, state: RunState, new: list[Message]) -> RunState:
        status = RunStatus.COMPENSATING if state.status is RunStatus.COMPENSATING else RunStatus.RUNNING
        numbered = []
        for message in new:
            self._seq += 1
            numbered.append(replace(message, seq=self._seq))
        return state._replace(status=status, inbox=(*state.inbox, *numbered), inbox_seen=self._seq)

    # -- what a run waits for ------------------------------------------------------------------------------

    def _waiting(self, state: RunState) -> list[tuple[str, StepState, WaitKind]]:
        return [
            (row, step, WaitKind(str((step.wait or {}).get("kind", WaitKind.RETRY))))
            for row, step in state.steps.items()
            if step.status is StepStatus.WAITING
        ]

    def _wake(self, state: RunState) -> datetime | None:
        """The next time at which something happens by itself."""
        times = [at for at, _ in self._coming]
        for row, step, _ in self._waiting(state):
            if step.retry_at is not None and self._answers.path(row) not in self._walker.walk.book.missing:
                times.append(step.retry_at)
        timeout = self._run.version.document.timeout_ms
        if times and timeout is not None and state.undoing is None:
            # The run's own time limit comes first, where it does.
            deadline = self._run.started_at + timedelta(milliseconds=timeout)
            times += [deadline] if deadline > self.clock.now() else []
        return min(times, default=None)

    async def _answer(self, state: RunState) -> None:
        """Answer what began to wait since the last time."""
        order = self._run.graph.position
        for row, step, kind in sorted(self._waiting(state), key=lambda w: (order[read_key(w[0]).step], w[0])):
            if kind not in _UNANSWERED or (row, step.round) in self._done or step.wait is None:
                continue
            self._done.add((row, step.round))
            path = self._answers.path(row)
            if kind is WaitKind.CHILD:
                await self._child(row, step.wait)
            elif (message := self._said(row, kind, step.wait)) is not None:
                self._coming.append((self.clock.now(), message))
            elif step.retry_at is None:
                self._walker.walk.unanswered[path] = "nothing is declared or recorded that ends this wait"

    async def _child(self, row: str, wait: JsonObject) -> None:
        walk, path = self._walker.walk, self._answers.path(row)
        said = self._answers.declared(row, 1)
        if said is not None and "output" in said:
            walk.book.sources[path] = Source.DECLARED
            whole: JsonObject = {"status": RunStatus.SUCCESS, "result": said["output"], "error": None}
            self._coming.append((self.clock.now(), Message(0, MessageKind.CHILD_ENDED, row, None, whole)))
            return
        undone = wait.get("undoes")
        if undone is not None and f"{self._place}{undone}/" not in walk.runs:
            walk.unanswered[path] = "the sub-workflow was declared as a whole, and so is what undoes it"
            return
        recorded = self._answers.child(row)
        walked = await self._walker.child(self._run, row, wait, self._place, recorded, self.clock.now())
        state = walked.state
        if not walked.ended:
            return
        error = state.error.as_json() if state.error else None
        data: JsonObject = {"status": state.status, "result": state.result, "error": error}
        self._coming.append((walked.ended_at, Message(0, MessageKind.CHILD_ENDED, row, None, data)))

    def _said(self, row: str, kind: WaitKind, wait: JsonObject) -> Message | None:
        """What a person or another system says to the wait; None: nobody says anything."""
        sources, path = self._walker.walk.book.sources, self._answers.path(row)
        said = self._answers.declared(row, 1)
        recorded = None if said is not None else self._answers.of_wait(row)
        if said is not None:
            sources[path] = Source.DECLARED
            if said.get("timeout") is True:
                return None
        elif recorded is not None:
            sources[path] = Source.RECORDED
        if kind is WaitKind.SIGNAL:
            return self._signal(row, wait, said, recorded)
        if recorded is not None:
            decided = recorded.output if isinstance(recorded.output, dict) else {}
            if decided.get("decision") is None:
                return None
            return Message(0, MessageKind.DECISION, row, None, decided)
        sources.setdefault(path, Source.ASSUMED)
        data: JsonObject = {
            "decision": "REJECTED" if (said or {}).get("decision") == "REJECTED" else "APPROVED",
            "by": "dry run",
            "at": self.clock.now().isoformat(),
            "reason": (said or {}).get("reason"),
            "form": (said or {}).get("form"),
        }
        return Message(0, MessageKind.DECISION, row, None, data)

    def _signal(
        self, row: str, wait: JsonObject, said: JsonObject | None, recorded: Ended | None
    ) -> Message | None:
        name = str(wait.get("name"))
        if said is not None:
            return Message(0, MessageKind.SIGNAL, row, name, {"payload": said.get("payload")})
        if recorded is not None and recorded.error is None:
            return Message(0, MessageKind.SIGNAL, row, name, {"payload": recorded.output})
        return None
