"""Secrets, as services answer them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Secret:
    """What may be seen of a secret: everything but its value."""

    id: UUID
    name: str
    # Those that it may be sent to, by name; None: any.
    apps: tuple[str, ...] | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class OpenedSecret:
    """What a claim needs of a secret. `apps` has the base URL of each app that it may be sent to; None: any may."""

    value: str = field(repr=False)
    apps: Mapping[str, str] | None
