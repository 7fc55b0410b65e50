"""One walk of a version: the engine, claimed by nobody, goes on until the run ends or nothing can answer it.

What other services do for a run that waits is done here: time passes, people decide as was declared, children are
walked.
"""

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from headrace.json_types import Json, JsonObject
from headrace.redaction import Redactor
from headrace.sealed_outputs import INPUT_ROW
from headrace.workflow.document import StepType
from headrace.workflow.expressions.render import Templates
from headrace.workflow.keys import read_key
from headrace.workflow.schemas import Schemas
from headrace.workflow.sensitive import Leaf
from headrace.workflow.state import (
    ENDED_RUN,
    Message,
    MessageKind,
    RunState,
    RunStatus,
    StepState,
    StepStatus,
    Undoing,
    WaitKind,
)
from rpds import HashTrieMap

from headrace_runner.claims import ClaimedRun, LoadedVersion, RunQuotas
from headrace_runner.credentials import RunCredentials
from headrace_runner.dry.answers import Answers, Ended, Source
from headrace_runner.dry.calls import CallBook, DeclaredStep, DryActionStep, Responder
from headrace_runner.dry.job import DryJob, Recorded
from headrace_runner.dry.surroundings import (
    Always,
    NoTokens,
    ShownGate,
    Unwritten,
    VirtualClock,
    no_pass,
    nothing_given,
    placeholder,
)
from headrace_runner.engine import Engine
from headrace_runner.lease import HeldRun
from headrace_runner.pace import Pace
from headrace_runner.parts import EngineParts
from headrace_runner.reporting import RunReport
from headrace_runner.run_log import RunLog
from headrace_runner.sensitive import opened
from headrace_runner.steps.ends import FailStep, SucceedStep
from headrace_runner.steps.protocol import StepHandler, StepServices
from headrace_runner.steps.transform import TransformStep
from headrace_runner.steps.waits import ApprovalStep, SignalStep, WaitStep, WorkflowStep

MAX_CALLS = 1_000
MAX_ROWS = 5_000
MAX_RUNS = 200
# Outputs of all its runs together.
MAX_OUTPUT_BYTES = 64 * 1024 * 1024
_TEN_YEARS = timedelta(days=3650)
_UNANSWERED = frozenset({WaitKind.APPROVAL, WaitKind.SIGNAL, WaitKind.CHILD})


@dataclass(frozen=True, slots=True)
class WalkServices:
    """Of one process; nothing among them calls out."""

    templates: Templates
    schemas: Schemas
    pace: Pace


@dataclass(frozen=True, slots=True)
class WalkedRun:
    """One run of a walk: at the end `state`, or where it stopped. `place` is its path, with a `/` behind it."""

    place: str
    version: LoadedVersion
    input: Json = field(repr=False)
    state: RunState
    ended_at: datetime
    undoes: bool = False

    @property
    def ended(self) -> bool:
        return self.state.status in ENDED_RUN


@dataclass(slots=True)
class Walk:
    """A whole walk, sub-workflows included. `runs` are in the order in which they began; `leaves` are what is
    sensitive in it."""

    book: CallBook
    runs: dict[str, WalkedRun] = field(default_factory=dict)
    asks: dict[str, JsonObject] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)
    unanswered: dict[str, str] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)
    rows: int = 0
    output_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def exceeded(self) -> bool:
        return (
            self.book.exceeded
            or self.rows > MAX_ROWS
            or len(self.runs) > MAX_RUNS
            or sum(self.output_bytes.values()) > MAX_OUTPUT_BYTES
        )


class Walker:
    """Walks for one job. `declared`: with the responses that were declared; else with what was recorded alone.
    `before` is the walk of the recorded run's own version."""

    def __init__(
        self, job: DryJob, services: WalkServices, *, declared: bool, before: Walk | None = None
    ) -> None:
        self._job, self._services, self._declared = job, services, declared
        made = {(call.path, call.number): call.parts for call in before.book.calls} if before else None
        self.walk = Walk(CallBook(MAX_CALLS, made))

    async def top(self, version_id: str, given: Json) -> Walk:
        run = self._run(self._job.run_id, version_id, given, self._job.started_at, 0)
        await self._advance(run, "", self._job.recorded)
        return self.walk

    def _run(self, run_id: UUID, version_id: str, given: Json, at: datetime, depth: int) -> ClaimedRun:
        """As a claim would hand it out, but for all that is secret."""
        job, loaded = self._job, self._job.versions[version_id]
        document = loaded.version.document
        signals = [step.key for step in document.steps if step.type == StepType.SIGNAL]
        return ClaimedRun(
            tenant_id=job.tenant_id,
            run_id=run_id,
            epoch=1,
            version=loaded.version,
            graph=loaded.graph,
            input=given,
            state=RunState(RunStatus.RUNNING),
            started_at=at,
            begun={},
            run_pass=no_pass(run_id),
            connections=nothing_given(job.base_urls),
            secrets={name: placeholder("secret", name) for name in document.secrets},
            callbacks={key: f"https://callback.invalid/{key}" for key in signals},
            depth=depth,
            quotas=RunQuotas(loop_items=job.loop_items),
            policy=job.policy.get(version_id, {}),
            # What is learnt to be sensitive is looked for; nothing is ever sealed by this key.
            output_keys={run_id: secrets.token_bytes(32)},
        )

    async def _advance(self, run: ClaimedRun, place: str, recorded: Recorded | None) -> WalkedRun:
        loaded = self._job.versions[run.version.id]
        own = _RunWalk(self, run, place, Answers(self._job, place, loaded, recorded, declared=self._declared))
        self.walk.runs[place] = WalkedRun(place, loaded, run.input, run.state, run.started_at)
        state = await own.to_the_end()
        walked = WalkedRun(place, loaded, run.input, state, own.clock.now(), run.undoes is not None)
        self.walk.runs[place] = walked
        return walked

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
        run_id = uuid5(parent.run_id, row)
        run = self._run(run_id, str(wait["versionId"]), wait.get("input"), at, parent.depth + 1)
        if (undone := wait.get("undoes")) is not None:
            origin = self.walk.runs[f"{place}{undone}/"]
            done = {key: step for key, step in origin.state.steps.items() if "." not in key}
            state = replace(run.state, steps=HashTrieMap(done), undoing=Undoing(RunStatus.SUCCESS))
            undoes = uuid5(parent.run_id, str(undone))
            run = replace(run, state=state, undoes=undoes, input=origin.input)
        return await self._advance(run, f"{place}{row}/", recorded)

    def handlers(self, answers: Answers) -> dict[str, StepHandler]:
        """The step types that call nobody, `action` by a responder, and no plug-in: what it does is not known."""
        services = StepServices(Responder(_never), self._services.templates, self._services.schemas)
        handlers: dict[str, StepHandler] = {
            StepType.ACTION: DryActionStep(services, answers, self.walk.book),
            StepType.TRANSFORM: TransformStep(services),
            StepType.WAIT: WaitStep(services),
            StepType.APPROVAL: ApprovalStep(services),
            StepType.SIGNAL: SignalStep(services),
            StepType.WORKFLOW: WorkflowStep(services),
            StepType.SUCCEED: SucceedStep(services),
            StepType.FAIL: FailStep(services),
        }
        for step in answers.version.graph.steps.values():
            handlers.setdefault(step.type, DeclaredStep(answers, self.walk.book))
        return handlers

    def _asked(self, place: str, row: str, asked: JsonObject) -> None:
        self.walk.asks[f"{place}{row}"] = asked

    def parts(self, place: str, answers: Answers, clock: VirtualClock) -> EngineParts:
        return EngineParts(
            handlers=self.handlers(answers),
            templates=self._services.templates,
            lease=Always(),
            clock=clock,
            time_slice=_TEN_YEARS * 10,
            park_retries_after=-1.0,
            draining=asyncio.Event(),
            gate=ShownGate(
                partial(self._asked, place),
                lambda row: (answers.declared(row, 1) or {}).get("gate") == "REJECTED",
            ),
            pace=self._services.pace,
        )


def _never(call: object) -> Any:
    raise RuntimeError("a step type that makes no calls made one")


class _RunWalk:
    """One run of a walk, from its beginning to its end."""

    def __init__(self, walker: Walker, run: ClaimedRun, place: str, answers: Answers) -> None:
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
            state, known = engine.history.state, engine.sensitive.known
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
        engine: Engine
        log = RunLog(self._unwritten, self.clock, run.tenant_id, run.run_id, lambda: engine.words())
        credentials = RunCredentials(NoTokens(), run.run_pass, run.connections, lambda credential: None)
        engine = Engine(parts, run, HeldRun(run.run_id), report, log, credentials, Redactor())
        return engine

    def _resumed(self, state: RunState, new: list[Message]) -> RunState:
        status = RunStatus.COMPENSATING if state.status is RunStatus.COMPENSATING else RunStatus.RUNNING
        numbered = []
        for message in new:
            self._seq += 1
            numbered.append(replace(message, seq=self._seq))
        return replace(state, status=status, inbox=(*state.inbox, *numbered), inbox_seen=self._seq)

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
            return self._signal(wait, said, recorded)
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

    def _signal(self, wait: JsonObject, said: JsonObject | None, recorded: Ended | None) -> Message | None:
        name = str(wait.get("name"))
        if said is not None:
            return Message(0, MessageKind.SIGNAL, None, name, {"payload": said.get("payload")})
        if recorded is not None and recorded.error is None:
            return Message(0, MessageKind.SIGNAL, None, name, {"payload": recorded.output})
        return None


def opened_input(job: DryJob, given: Json) -> tuple[Json, list[Leaf]]:
    """An input that was sealed for the recorded run. Raises `OutputUnreadable`."""
    return opened(job.tenant_id, dict(job.keys), INPUT_ROW, given)
