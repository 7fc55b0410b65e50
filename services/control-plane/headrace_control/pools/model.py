"""Runner pools, as services answer them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RunnerPool:
    """One pool. `tenants` are granted it, `runners` have a live lease; `unfinished_runs` are in it, None of the default
    pool, where they are not counted."""

    name: str
    created_at: datetime
    tenants: int
    runners: int
    unfinished_runs: int | None


@dataclass(frozen=True, slots=True)
class TenantPools:
    """`pool` takes a tenant's runs whose workflows are not bound to another one; they may be bound to the `granted`."""

    pool: str
    granted: Sequence[str]


@dataclass(frozen=True, slots=True)
class WorkflowPool:
    """`pool` is None for a workflow that goes where its tenant goes."""

    workflow: str
    pool: str | None
