"""Secrets, as services answer them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Secret:
    """What may be seen of a secret: everything but its value."""

    id: UUID
    name: str
    created_at: datetime
    updated_at: datetime
