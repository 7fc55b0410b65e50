"""Dry runs, as people ask for them and read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from headrace.json_types import Json, JsonObject


class DryRunStatus(StrEnum):
    QUEUED = "QUEUED"
    WALKING = "WALKING"
    DONE = "DONE"  # there is a report; how the walk ended is in it
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class DryRunWish:
    """What is to be walked: a version (None: the newest published one, or the run's own), the draft, or a document as
    it is given.

    `run_id` is an ended run whose outputs answer and whose version is compared with; then `given` None is its input,
    edited by `patch`.
    """

    workflow: str | None = None
    version: int | None = None
    draft: bool = False
    document: Any = field(repr=False, default=None)
    given: Json = field(repr=False, default=None)
    patch: Json = field(repr=False, default=None)
    responses: Json = field(repr=False, default=None)
    run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class DryRun:
    id: UUID
    workflow: str
    number: int | None
    status: DryRunStatus
    run_id: UUID | None
    created_at: datetime
    finished_at: datetime | None
    failure: Mapping[str, str] | None
    report: JsonObject | None = field(repr=False, default=None)
