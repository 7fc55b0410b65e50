"""What designers write, as values: a workflow document, an action's definition, a published version.

`headrace.workflow.parse` makes a `Document` from JSON or YAML data, `headrace.workflow.validate` checks it
against what the tenant has. Both give every problem at once. Values here are frozen and known to be
well-formed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headrace.json_types import Json, JsonObject


class RetryStrategy(StrEnum):
    NONE = "NONE"
    FIXED = "FIXED"
    EXPONENTIAL = "EXPONENTIAL"


class OnError(StrEnum):
    FAIL = "fail"
    CONTINUE = "continue"


class OnMismatch(StrEnum):
    """What to do when a response does not fit the action's output schema."""

    WARN = "WARN"
    FAIL = "FAIL"


class BodyType(StrEnum):
    JSON = "JSON"
    FORM = "FORM"
    MULTIPART = "MULTIPART"
    TEXT = "TEXT"
    NONE = "NONE"


class IdempotencyMode(StrEnum):
    """May a call be made again when nobody knows whether it arrived?

    METHOD: as RFC 9110 section 9.2.2 says of its method. IDEMPOTENT: yes, the app says so. KEY: yes, with
    the key in a header. NONE: never.
    """

    METHOD = "METHOD"
    IDEMPOTENT = "IDEMPOTENT"
    KEY = "KEY"
    NONE = "NONE"


class AuthKind(StrEnum):
    NONE = "NONE"
    API_KEY = "API_KEY"
    BASIC = "BASIC"
    OAUTH2 = "OAUTH2"
    CUSTOM_HEADER = "CUSTOM_HEADER"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Attempts in all (1 to 50), and the wait before each further one, in milliseconds.

    EXPONENTIAL waits a random time up to initial x 2^(n-1), capped ("full jitter").
    """

    strategy: RetryStrategy = RetryStrategy.NONE
    max_attempts: int = 1
    initial_delay_ms: int = 200
    max_delay_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Condition:
    """`field` is a path into the upstream step (`output.total`, `status`); see `conditions`."""

    field: str
    operator: str
    value: Json = None


@dataclass(frozen=True, slots=True)
class Edge:
    from_step: str
    to_step: str
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Compensation:
    """How a step is undone. Declared and checked now; run by a later release."""

    action: str
    input: JsonObject = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class Document:
    """A workflow as written. `parameters` is the JSON Schema of a run's input.

    `env` holds plain values; `secrets` maps an env name to the name of the tenant's secret behind it.
    `edges` is empty for "one after another". `timeout_ms` bounds a whole run, waits included.
    """

    workflow: str
    steps: tuple[Step, ...]
    edges: tuple[Edge, ...] = ()
    parameters: JsonObject | None = None
    env: JsonObject = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    result: Json = None
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Idempotency:
    mode: IdempotencyMode = IdempotencyMode.METHOD
    header: str = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class ActionDefinition:
    """One revision of an action: all that a runner needs to build its calls.

    `endpoint_template` is a path with `{name}` parameters, joined to the base URL. Schemas are JSON Schema
    2020-12 objects or None. `timeout_ms` bounds one request (at most 600,000).
    """

    app: str
    name: str
    method: str
    endpoint_template: str
    path_schema: JsonObject | None = None
    query_schema: JsonObject | None = None
    headers_schema: JsonObject | None = None
    body_schema: JsonObject | None = None
    output_schema: JsonObject | None = None
    headers_template: Mapping[str, str] = field(default_factory=dict)
    body_type: BodyType = BodyType.JSON
    retry: RetryPolicy = RetryPolicy()
    timeout_ms: int = 30_000
    idempotency: Idempotency = Idempotency()
    on_output_mismatch: OnMismatch = OnMismatch.WARN
    approval_class: str = "B"
    reversibility: str = "UNKNOWN"
    sensitivity: str = "UNKNOWN"

    @property
    def ref(self) -> str:
        """How documents name it: `app/action`."""
        return f"{self.app}/{self.name}"


@dataclass(frozen=True, slots=True)
class PinnedAction:
    """An action revision as a published version pins it, with its app's base URL at that time."""

    revision_id: str
    revision: int
    base_url: str
    definition: ActionDefinition


@dataclass(frozen=True, slots=True)
class Version:
    """A published workflow version: what a runner executes. `digest` is the SHA-256 of its canonical JSON.

    `connections` maps the names that the document uses to connection ids.
    """

    id: str
    digest: str
    document: Document
    actions: Mapping[str, PinnedAction]
    connections: Mapping[str, str]
