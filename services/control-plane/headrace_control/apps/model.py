"""Apps, actions and revisions, as services answer them."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from headrace.json_types import Json
from headrace.workflow.document import RetryPolicy

from headrace_control.apps.auth_scheme import AuthScheme
from headrace_control.apps.limits import Limits


@dataclass(frozen=True, slots=True)
class App:
    id: UUID
    name: str
    title: str
    base_url: str
    auth: AuthScheme
    retry: RetryPolicy | None
    limits: Limits | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AppFields:
    """What can be changed of an app. `retry` is for calls whose step and action say nothing, `limits` for
    connections that have none of their own."""

    title: str
    base_url: str
    auth: AuthScheme
    retry: RetryPolicy | None
    limits: Limits | None


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of an action; it never changes. What it says may be large, and is read when it is asked for."""

    id: UUID
    action_id: UUID
    number: int
    digest: str
    created_at: datetime
    created_by: UUID | None


@dataclass(frozen=True, slots=True)
class Action:
    """An action with its newest revision."""

    id: UUID
    app_id: UUID
    app: str
    name: str
    created_at: datetime
    latest: Revision


@dataclass(frozen=True, slots=True)
class SavedAction:
    """`created` is false when the newest revision says the same already."""

    action: Action
    created: bool


class Keep(Enum):
    """Says that a thing stays as it is, where None already means something."""

    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class NewApp:
    """An app to create. `auth`, `retry` and `limits` are as designers write them."""

    name: str
    title: str
    base_url: str
    auth: Json
    retry: Json = None
    limits: Json = None


@dataclass(frozen=True, slots=True)
class AppChanges:
    """What to change of an app; None leaves a thing as it is, but takes `retry` and `limits` away. These and `auth` are
    as designers write them."""

    title: str | None = None
    base_url: str | None = None
    auth: Json = None
    retry: "Json | Keep" = Keep.KEEP
    limits: "Json | Keep" = Keep.KEEP
