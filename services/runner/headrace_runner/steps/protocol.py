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
from headrace.outbound.auth import Credential
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import Refresh
from headrace.records import record
from headrace.redaction import Redactor
from headrace.workflow.document import RetryPolicy, Step
from headrace.workflow.expressions.render import Templates
from headrace.workflow.expressions.scope import Scope
from headrace.workflow.keys import RowKey
from headrace.workflow.schemas import Schemas
from headrace.workflow.state import Failure

from headrace_runner.claimed_run import ClaimedRun
from headrace_runner.credentials import RunCredentials
from headrace_runner.results import Sought
from headrace_runner.run_secrets import RunSecrets
from headrace_runner.throttle import Throttle


class Caller(Protocol):
    """The one way by which a step's calls leave."""

    async def send(
        self,
        call: OutboundCall,
        *,
        tenant_id: object,
        credential: Credential | None = None,
        refresh: Refresh | None = None,
        redactor: Redactor | None = None,
    ) -> CallResult | CallFailure:
        """One attempt, within `call.timeout` seconds in all; the answer is redacted as it is read."""


@dataclass(frozen=True, slots=True)
class StepServices:
    """What handlers share. Without a `throttle` calls are not limited."""

    outbound: Caller
    templates: Templates
    schemas: Schemas
    throttle: Throttle | None = None


@record
class StepContext:
    """One execution of one row: a step, an item of its loop, its compensation or its probe.

    `step` is what is executed, for a compensation or a probe a call made of their parts. `scope` has the plain env;
    `secret_scope` the secret one and the callbacks too, and is for requests alone. `place` is the step's path in the
    document (`steps[1]`). `may_call` is asked last before a request leaves, when anything was waited for since the
    attempt began. `log(level, message, **context)` writes a log record. `retries_left` is what remains of the
    run's retry budget, None when it has none. `secrets.sensitive` is told what an answer's schema marks.
    """

    run: ClaimedRun
    step: Step
    place: str
    scope: Scope = field(repr=False)
    secret_scope: Scope = field(repr=False)
    credentials: RunCredentials = field(repr=False)
    secrets: RunSecrets = field(repr=False)
    log: Callable[..., None] = field(repr=False)
    now: Callable[[], datetime] = field(repr=False)
    may_call: Callable[[], Awaitable[bool]] = field(repr=False)
    timeout_seconds: Callable[[], float | None] = field(repr=False)

    key: RowKey = field(default_factory=lambda: RowKey(""))
    round: int = 0
    retries_left: Callable[[], int | None] = field(repr=False, default=lambda: None)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this row in this run, on whatever runner; each round of a repeat has its
        own. A re-run makes a call that did not succeed again under the key that it had."""
        again = f"-r{self.round}" if self.round else ""
        made_in = self.run.kept_keys.get(str(self.key), self.run.run_id)
        return f"{made_in}-{self.key}{again}"


@record
class Prepared:
    """A step that is ready to be attempted.

    `record` is its input as it will be shown (redacted by the engine). `side_effect` asks for what came
    before to be confirmed first. `unsafe`: the attempt can not be repeated when nobody knows whether it
    arrived. `work` is the handler's own. `admit`, if there is one, is asked before each attempt is announced: seconds
    to wait first, without an attempt being used up, or None. `shown` is the call of an action, all that makes it this
    one and no other, as who approves it sees it (redacted by the engine); the same for every attempt. `sought` is
    by what an earlier result is found that may stand for it.
    """

    record: Json
    side_effect: bool
    unsafe: bool
    retry: RetryPolicy
    work: Any = field(repr=False)
    admit: Callable[[], Awaitable[float | None]] | None = field(repr=False, default=None)
    shown: Callable[[], Json] | None = field(repr=False, default=None)
    sought: Sought | None = field(repr=False, default=None)


@record
class Waiting:
    """A step that is not attempted but waits: `wait` is what the event `waiting` says, `record` its input as shown."""

    wait: JsonObject
    record: Json = None


@record
class Succeeded:
    output: Json
    detail: JsonObject = field(default_factory=dict)  # httpStatus, address


@record
class Failed:
    """`next_delay(made)`: how many seconds pass before the next attempt after so many, by the retry policy and the
    answer; None: give up."""

    failure: Failure
    next_delay: Callable[[int], float | None] = field(repr=False, default=lambda _attempt: None)
    output: Json = None
    detail: JsonObject = field(default_factory=dict)


@record
class InDoubt:
    """An unsafe call was sent and not answered."""

    failure: Failure
    detail: JsonObject = field(default_factory=dict)


@record
class NotCalled:
    """`may_call` said no to a call of the attempt. It failed by nothing: its run is canceled, or another's by now."""

    detail: JsonObject = field(default_factory=dict)


Outcome: TypeAlias = Succeeded | Failed | InDoubt | NotCalled


class StepHandler(Protocol):
    def prepare(self, context: StepContext) -> Prepared | Waiting | Failure: ...

    def attempt(self, context: StepContext, prepared: Prepared) -> Awaitable[Outcome]: ...


StepHandlerFactory: TypeAlias = Callable[[StepServices], StepHandler]

__all__ = [
    "Caller",
    "Failed",
    "InDoubt",
    "LogLevel",
    "NotCalled",
    "Outcome",
    "Prepared",
    "StepContext",
    "StepHandler",
    "StepHandlerFactory",
    "StepServices",
    "Succeeded",
    "Waiting",
]
