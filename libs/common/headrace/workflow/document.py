"""What designers write, as values: a workflow document.

`headrace.workflow.parse` makes a `Document` from JSON or YAML data, `headrace.workflow.validate` checks it
against what the tenant has. Both give every problem at once. Values here are frozen and known to be
well-formed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from headrace.json_types import Json, JsonObject


class RetryStrategy(StrEnum):
    NONE = "NONE"
    FIXED = "FIXED"
    EXPONENTIAL = "EXPONENTIAL"


class StepType:
    """The step types that Headrace has itself; plug-ins add others."""

    ACTION = "action"
    TRANSFORM = "transform"
    WAIT = "wait"
    APPROVAL = "approval"
    SIGNAL = "signal"
    WORKFLOW = "workflow"
    SUCCEED = "succeed"
    FAIL = "fail"


class OnError(StrEnum):
    FAIL = "fail"
    CONTINUE = "continue"


class OnMismatch(StrEnum):
    """What to do when a response does not fit the action's output schema."""

    WARN = "WARN"
    FAIL = "FAIL"


class ErrorClass(StrEnum):
    """The kinds of failure that a retry policy can name.

    RATE_LIMITED is a 429, SERVER_ERROR a 408, 425 or 5xx, TOKEN a token that could not be had or was refused.
    """

    TIMEOUT = "TIMEOUT"
    CONNECTION = "CONNECTION"
    RATE_LIMITED = "RATE_LIMITED"
    SERVER_ERROR = "SERVER_ERROR"
    TOKEN = "TOKEN"  # noqa: S105 - a word, no credential


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Attempts in all (1 to 50), and the wait before each further one, in milliseconds.

    EXPONENTIAL waits a random time up to initial x 2^(n-1), capped ("full jitter"). `on` says which failures are
    worth another attempt; empty, all those that may pass by themselves.
    """

    strategy: RetryStrategy = RetryStrategy.NONE
    max_attempts: int = 1
    initial_delay_ms: int = 200
    max_delay_ms: int = 10_000
    on: tuple[ErrorClass, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """`field` is a path into a step (`output.total`, `status`); see `conditions`."""

    field: str
    operator: str
    value: Json = None


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: "tuple[When, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: "tuple[When, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    part: "When"


@dataclass(frozen=True, slots=True)
class Expression:
    """One `{{ expression }}`, true or false; of a step's own fields it sees `output`, `status` and `error` too."""

    text: str


When: TypeAlias = Condition | AllOf | AnyOf | Not | Expression


class EdgeOn(StrEnum):
    """Which end of its first step an edge is for.

    SUCCESS also takes a failure that the step's `onError: continue` lets pass. ERROR takes a failure, and by that
    the failure is dealt with, if its condition holds: the run does not fail by it.
    """

    SUCCESS = "success"
    ERROR = "error"


class Join(StrEnum):
    """When a step with several edges into it begins.

    ALL: when the first steps of all of them have ended, if one edge or more is taken. ANY: as soon as one is.
    """

    ALL = "all"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Edge:
    from_step: str
    to_step: str
    when: When | None = None
    on: EdgeOn = EdgeOn.SUCCESS


@dataclass(frozen=True, slots=True)
class Compensation:
    """How a step is undone: a call that sees the step's own output. `connection` None is the step's own."""

    action: str
    input: JsonObject = field(default_factory=dict)
    connection: str | None = None
    retry: RetryPolicy | None = None
    timeout_ms: int | None = None


class Ending(StrEnum):
    """Why a run ends without success."""

    FAILURE = "failure"
    CANCEL = "cancel"
    REJECTION = "rejection"


@dataclass(frozen=True, slots=True)
class Probe:
    """A call that finds out what became of one whose answer was lost.

    `done` is asked of the probe's `{output, status, error}`: true, the step succeeded, with `output` (paths into
    the probe's output) as its output; false, it never arrived and is done again.
    """

    action: str
    done: When
    input: JsonObject = field(default_factory=dict)
    connection: str | None = None
    output: Mapping[str, str] | None = None
    retry: RetryPolicy | None = None


@dataclass(frozen=True, slots=True)
class ForEach:
    """The step is done once for each element of a list (10,000 at most), which it sees as `item` and `index`.

    Its output is `{results, failed}`: outputs in the order of the list, null where an item failed, and
    `{index, error}` for each of those. With `on_item_error` CONTINUE failed items do not fail the step.
    """

    items: Json
    max_concurrency: int = 10
    on_item_error: OnError = OnError.FAIL


@dataclass(frozen=True, slots=True)
class Repeat:
    """The step is done again every `every_ms` until `until` is true of its `{output, status, error}`, `max` times
    at most; then it fails."""

    until: When
    every_ms: int
    max: int = 100


@dataclass(frozen=True, slots=True)
class Cache:
    """For `ttl_ms` an earlier result stands for the call. `key`, when it is given, stands for the request: calls of the
    same action through the same connection with the same key are taken for the same."""

    ttl_ms: int
    key: Json = None


class DeadlineOutcome(StrEnum):
    """What becomes of a wait that nobody ended in time."""

    APPROVE = "approve"
    REJECT = "reject"
    FAIL = "fail"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Wait:
    """`wait`: until a time, or for so long. One of the two; `until` may be an expression."""

    for_ms: int | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """`approval`: a person decides.

    `title` and `details` are rendered and shown. Who may: `roles`, or `members` by name, when given; `not_starter`
    keeps who started the run from it. `form` is the JSON Schema of what is filled in. At `deadline_ms` the
    `default` is taken (APPROVE, REJECT or FAIL). A reminder is noted every `remind_every_ms`.
    """

    title: str = ""
    details: Json = None
    roles: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    not_starter: bool = False
    form: JsonObject | None = None
    deadline_ms: int | None = None
    default: DeadlineOutcome = DeadlineOutcome.REJECT
    remind_every_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """`signal`: an external system, or a person, says that something happened, with data that fit `schema`.

    `name` None is the step's key. At `deadline_ms` the step fails, or with `default` CONTINUE goes on with null.
    """

    name: str | None = None
    schema: JsonObject | None = None
    deadline_ms: int | None = None
    default: DeadlineOutcome = DeadlineOutcome.FAIL


@dataclass(frozen=True, slots=True)
class Child:
    """`workflow`: a run of another workflow. `version` None is the newest published when this one is published."""

    workflow: str
    version: int | None = None


class OnLimit(StrEnum):
    """What a start does when as many runs as allowed are unfinished."""

    ALLOW = "allow"
    QUEUE = "queue"
    SKIP = "skip"
    CANCEL_PREVIOUS = "cancelPrevious"


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many runs of the workflow may be unfinished at once, of each value of `key` (a JSONPath of names and
    indexes into the input) when it is given."""

    limit: int = 1
    on_limit: OnLimit = OnLimit.QUEUE
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step as written.

    `input` is flat: each name goes to the part of the request whose schema declares it. `path`, `query`,
    `headers` and `body` set a part as a whole and win over `input`. `output` maps names to JSONPaths into
    the step's default output. None means "not written".
    """

    key: str
    type: str = "action"
    action: str | None = None
    connection: str | None = None
    input: Json = None
    path: Json = None
    query: Json = None
    headers: Json = None
    body: Json = None
    output: Mapping[str, str] | None = None
    retry: RetryPolicy | None = None
    timeout_ms: int | None = None
    on_error: OnError = OnError.FAIL
    on_output_mismatch: OnMismatch | None = None
    compensate: Compensation | None = None
    probe: Probe | None = None
    join: Join = Join.ALL
    for_each: ForEach | None = None
    repeat: Repeat | None = None
    cache: Cache | None = None
    wait: Wait | None = None
    approval: Approval | None = None
    signal: Signal | None = None
    child: Child | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A workflow as written. `parameters` is the JSON Schema of a run's input.

    `env` holds plain values; `secrets` maps an env name to the name of the tenant's secret behind it.
    `edges` is empty for "one after another". `timeout_ms` bounds a whole run, waits included, but for its
    compensation. `compensate_on` says which ends undo what was done. `retries` are the defaults of step types,
    and `retry_budget` bounds the attempts beyond each step's first, over the whole run.
    """

    workflow: str
    steps: tuple[Step, ...]
    edges: tuple[Edge, ...] = ()
    parameters: JsonObject | None = None
    env: JsonObject = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    result: Json = None
    timeout_ms: int | None = None
    compensate_on: frozenset[Ending] = frozenset(Ending)
    concurrency: Concurrency | None = None
    retries: Mapping[str, RetryPolicy] = field(default_factory=dict)
    retry_budget: int | None = None
