"""Apps, actions and revisions, as services answer them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.json_types import JsonObject

from headrace_control.apps.auth_scheme import AuthScheme


@dataclass(frozen=True, slots=True)
class App:
    id: UUID
    name: str
    title: str
    base_url: str
    auth: AuthScheme
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of an action; it never changes. `definition` is as `dump_action` writes it."""

    id: UUID
    action_id: UUID
    number: int
    definition: JsonObject
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


@dataclass(frozen=True, slots=True)
class AppChanges:
    """What to change of an app; None leaves a thing as it is. `auth` is as designers write it."""

    title: str | None = None
    base_url: str | None = None
    auth: object = None
