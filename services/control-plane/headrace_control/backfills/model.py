"""Backfills, as services answer them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headrace.json_types import JsonObject


class BackfillStatus(StrEnum):
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    DONE = "DONE"


@dataclass(frozen=True, slots=True)
class Backfill:
    """Firings of a range started later. `total` is how many the range has, `started` how many runs there are of them;
    `at_once` how many of these may be unfinished. `done_to` is the last that was started."""

    id: UUID
    schedule: str
    cron: str
    time_zone: str
    from_at: datetime
    until_at: datetime
    done_to: datetime
    total: int
    started: int
    at_once: int
    status: BackfillStatus
    error: JsonObject | None
    created_at: datetime
    finished_at: datetime | None
