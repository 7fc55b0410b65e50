"""The port to the addresses by which external systems send runs their signals, as claims need them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from headrace_control.waits.model import SignalStep


@dataclass(frozen=True, slots=True)
class CallbackRun:
    """A run whose version has `signal` steps."""

    run_id: UUID
    created_at: datetime
    steps: Sequence[SignalStep]


class CallbackUrls(Protocol):
    async def urls(self, tenant_id: UUID, runs: Sequence[CallbackRun]) -> Mapping[UUID, Mapping[str, str]]:
        """For each run the address of each of its signal steps, by the step's key: the same at every call."""
