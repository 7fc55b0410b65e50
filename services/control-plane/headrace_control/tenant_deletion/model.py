"""The deletion of a tenant, as services answer it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

# How long a tenant can be taken back, in days.
LEAST_GRACE, MOST_GRACE, USUAL_GRACE = 1, 365, 30
# Runs that have not ended are canceled so long before, while what undoes them can still be called.
CANCELED_AHEAD = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class TenantDeletion:
    """`tenant` is its name, None once it is gone. From `begun_at` on nobody takes it back; `counts` are rows that went,
    by table."""

    tenant_id: UUID
    tenant: str | None
    asked_at: datetime
    cancel_at: datetime
    due_at: datetime
    begun_at: datetime | None
    done_at: datetime | None
    counts: Mapping[str, int]
