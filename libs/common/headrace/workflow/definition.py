"""An action's definition, and a published version of a workflow with what it pins, as values.

`headrace.workflow.actions` makes an `ActionDefinition` from JSON data, `headrace.workflow.version` a `Version` from a
document and what it names. Values here are frozen and known to be well-formed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headrace.json_types import JsonObject
from headrace.workflow.document import Document, OnMismatch, RetryPolicy
from headrace.workflow.pagination import Pagination


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
class Idempotency:
    mode: IdempotencyMode = IdempotencyMode.METHOD
    header: str = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class ActionDefinition:
    """One revision of an action: all that a runner needs to build its calls.

    `endpoint_template` is a path with `{name}` parameters, joined to the base URL. Schemas are JSON Schema
    2020-12 objects or None. `timeout_ms` bounds one attempt (at most 600,000), of all its pages together. `retry` None
    leaves it to the app.
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
    retry: RetryPolicy | None = None
    timeout_ms: int = 30_000
    pagination: Pagination | None = None
    idempotency: Idempotency = Idempotency()
    on_output_mismatch: OnMismatch = OnMismatch.WARN
    approval_class: str | None = None
    reversibility: str = "UNKNOWN"
    sensitivity: str = "UNKNOWN"

    @property
    def ref(self) -> str:
        """How documents name it: `app/action`."""
        return f"{self.app}/{self.name}"


@dataclass(frozen=True, slots=True)
class PinnedAction:
    """An action revision as a published version pins it, with its app's base URL and retry policy at that time."""

    revision_id: str
    revision: int
    base_url: str
    definition: ActionDefinition
    retry: RetryPolicy | None = None


@dataclass(frozen=True, slots=True)
class PinnedChild:
    """A published version of another workflow, and the JSON Schema of its input. `held_back`: whoever names no version
    does not mean it."""

    version_id: str
    version: int
    parameters: JsonObject | None = None
    held_back: bool = False


def pinned_by(version: int | None, versions: Mapping[int, PinnedChild]) -> PinnedChild | None:
    """Of published versions by number, the one of this number; without a number the newest that is not held back."""
    if version is not None:
        return versions.get(version)
    return max(
        (one for one in versions.values() if not one.held_back), key=lambda one: one.version, default=None
    )


@dataclass(frozen=True, slots=True)
class Version:
    """A published workflow version: what a runner executes. `digest` is the SHA-256 of its canonical JSON.

    `connections` maps the names that the document uses to connection ids, `children` the keys of its `workflow`
    steps to what they run.
    """

    id: str
    digest: str
    document: Document
    actions: Mapping[str, PinnedAction]
    connections: Mapping[str, str]
    children: Mapping[str, PinnedChild] = field(default_factory=dict)
