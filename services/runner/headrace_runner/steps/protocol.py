"""What a step type is to the engine.

A handler is made once per process with `StepServices`. For each execution the engine calls `prepare`, which
does no I/O, then `attempt` as often as the retry policy allows. Neither raises for what a workflow, its data
or the world can do: a failing step is a value.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from headrace.json_types import Json, JsonObject
from headrace.messages import LogLevel
from headrace.outbound.client import OutboundClient
from headrace.redaction import Redactor
from headrace.workflow.document import RetryPolicy, Step
from headrace.workflow.expressions.render import Templates
from headrace.workflow.expressions.scope import Scope
from headrace.workflow.schemas import Schemas
from headrace.workflow.state import Failure

from headrace_runner.claims import ClaimedRun
from headrace_runner.credentials import RunCredentials


@dataclass(frozen=True, slots=True)
class StepServices:
    """What handlers share."""

    outbound: OutboundClient
    templates: Templates
    schemas: Schemas


@dataclass(frozen=True, slots=True)
class StepContext:
    """One execution of one step.

    `scope` has the plain env; `secret_scope` the secret one too, and is for requests alone. `place` is the
    step's path in the document (`steps[1]`). `may_call` is asked last before a request leaves, when anything was
    waited for since the attempt began. `log(level, message, **context)` writes a log record.
    """

    run: ClaimedRun
    step: Step
    place: str
    scope: Scope = field(repr=False)
    secret_scope: Scope = field(repr=False)
    credentials: RunCredentials = field(repr=False)
    redactor: Callable[[], Redactor] = field(repr=False)
    log: Callable[..., None] = field(repr=False)
    now: Callable[[], datetime] = field(repr=False)
    may_call: Callable[[], Awaitable[bool]] = field(repr=False)
    timeout_seconds: Callable[[], float | None] = field(repr=False)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step in this run, on whatever runner."""
        return f"{self.run.run_id}-{self.step.key}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A step that is ready to be attempted.

    `record` is its input as it will be shown (redacted by the engine). `side_effect` asks for what came
    before to be confirmed first. `unsafe`: the attempt can not be repeated when nobody knows whether it
    arrived. `work` is the handler's own.
    """

    record: Json
    side_effect: bool
    unsafe: bool
    retry: RetryPolicy
    work: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Succeeded:
    output: Json
    detail: JsonObject = field(default_factory=dict)  # httpStatus, address


@dataclass(frozen=True, slots=True)
class Failed:
    """`retry_after` is the delay in seconds that the retry policy and the answer ask for; None: give up."""

    failure: Failure
    next_delay: Callable[[int], float | None] = field(repr=False, default=lambda _attempt: None)
    output: Json = None
    detail: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InDoubt:
    """An unsafe call was sent and not answered."""

    failure: Failure
    detail: JsonObject = field(default_factory=dict)


Outcome: TypeAlias = Succeeded | Failed | InDoubt


class StepHandler(Protocol):
    def prepare(self, context: StepContext) -> Prepared | Failure: ...

    def attempt(self, context: StepContext, prepared: Prepared) -> Awaitable[Outcome]: ...


StepHandlerFactory: TypeAlias = Callable[[StepServices], StepHandler]

__all__ = [
    "Failed",
    "InDoubt",
    "LogLevel",
    "Outcome",
    "Prepared",
    "StepContext",
    "StepHandler",
    "StepHandlerFactory",
    "StepServices",
    "Succeeded",
]
