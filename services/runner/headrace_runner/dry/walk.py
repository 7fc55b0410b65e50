"""One walk of a version: the engine, claimed by nobody, goes on until the run ends or nothing can answer it."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from headrace.json_types import Json, JsonObject
from headrace.sealed_outputs import INPUT_ROW
from headrace.workflow.document import Document, StepType
from headrace.workflow.expressions.render import Templates
from headrace.workflow.schemas import Schemas
from headrace.workflow.sensitive import Leaf
from headrace.workflow.state import (
    RunState,
    RunStatus,
    Undoing,
)
from rpds import HashTrieMap

from headrace_runner.claimed_run import ClaimedRun, RunQuotas
from headrace_runner.doers import Doer
from headrace_runner.dry.answers import Answers
from headrace_runner.dry.calls import CallBook, DeclaredStep, DryActionStep, Responder
from headrace_runner.dry.job import DryJob, Recorded
from headrace_runner.dry.run_walk import RunWalk
from headrace_runner.dry.surroundings import (
    Always,
    ShownGate,
    VirtualClock,
    no_pass,
    nothing_given,
    placeholder,
)
from headrace_runner.dry.walked import MAX_CALLS, Walk, WalkedRun
from headrace_runner.pace import Pace
from headrace_runner.parts import EngineParts
from headrace_runner.sensitive import opened
from headrace_runner.steps.ends import FailStep, SucceedStep
from headrace_runner.steps.protocol import StepHandler, StepServices
from headrace_runner.steps.transform import TransformStep
from headrace_runner.steps.waits import ApprovalStep, SignalStep, WaitStep, WorkflowStep

_TEN_YEARS = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class WalkServices:
    """Of one process; nothing among them calls out."""

    templates: Templates
    schemas: Schemas
    pace: Pace


class Walker:
    """Walks for one job. `declared`: with the responses that were declared; else with what was recorded alone.
    `before` is the walk of the recorded run's own version."""

    def __init__(
        self, job: DryJob, services: WalkServices, *, declared: bool, before: Walk | None = None
    ) -> None:
        self._job, self._services, self._declared = job, services, declared
        made = {(call.path, call.number): call.parts for call in before.book.calls} if before else None
        self.walk = Walk(CallBook(MAX_CALLS, made))
        # As of today, for what would be sent; what was recorded had what it was sent with.
        self._gone = job.gone if declared else frozenset[str]()

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
            secrets={
                env: placeholder("secret", env)
                for env, name in document.secrets.items()
                if name not in self._gone
            },
            secret_apps=self._secret_apps(document),
            callbacks={key: f"https://callback.invalid/{key}" for key in signals},
            depth=depth,
            quotas=RunQuotas(loop_items=job.loop_items),
            policy=job.policy.get(version_id, {}),
            # What is learnt to be sensitive is looked for; nothing is ever sealed by this key.
            output_keys={run_id: secrets.token_bytes(32)},
        )

    def _secret_apps(self, document: Document) -> Mapping[str, Mapping[str, str]]:
        """As they are today, for what would be sent. What was recorded was sent, or not, as they were then."""
        if not self._declared:
            return {}
        apps = self._job.secret_apps
        return {env: apps[name] for env, name in document.secrets.items() if name in apps}

    async def _advance(self, run: ClaimedRun, place: str, recorded: Recorded | None) -> WalkedRun:
        loaded = self._job.versions[run.version.id]
        own = RunWalk(self, run, place, Answers(self._job, place, loaded, recorded, declared=self._declared))
        began = run.started_at
        self.walk.runs[place] = WalkedRun(place, loaded, run.input, run.state, began, began)
        state = await own.to_the_end()
        now = own.clock.now()
        walked = WalkedRun(place, loaded, run.input, state, began, now, run.undoes is not None)
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
            state = run.state._replace(steps=HashTrieMap(done), undoing=Undoing(RunStatus.SUCCESS))
            undoes = uuid5(parent.run_id, str(undone))
            did = Doer(undoes, origin.input, origin.started_at, run.callbacks)
            run = replace(run, state=state, undoes=undoes, input=origin.input, doers=dict.fromkeys(done, did))
        return await self._advance(run, f"{place}{row}/", recorded)

    def handlers(self, answers: Answers) -> dict[str, StepHandler]:
        """The step types that call nobody, `action` by a responder, and no plug-in: what it does is not known."""
        services = StepServices(Responder(_never), self._services.templates, self._services.schemas)
        handlers: dict[str, StepHandler] = {
            StepType.ACTION: DryActionStep(services, answers, self.walk.book, self._gone),
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


def opened_input(job: DryJob, given: Json) -> tuple[Json, list[Leaf]]:
    """An input that was sealed for the recorded run. Raises `OutputUnreadable`."""
    return opened(job.tenant_id, dict(job.keys), INPUT_ROW, given)
