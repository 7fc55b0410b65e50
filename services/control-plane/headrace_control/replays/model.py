"""Replays as they are asked for and shown."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headrace.json_types import Json, JsonObject

from headrace_control.auth.caller import Actor
from headrace_control.dead_letters.model import Group


class ReplayStatus(StrEnum):
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    DONE = "DONE"


@dataclass(frozen=True, slots=True)
class ReplayWish:
    """How dead letters are replayed: see `RerunWish`. `per_second` bounds the runs that a replay of a group starts."""

    patch: Json = None
    version: int | None = None
    repeat_in_doubt: bool = False
    per_second: int = 10


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay of the dead letters of a group that were open when it was asked for."""

    id: UUID
    group: Group
    workflow: str | None
    status: ReplayStatus
    total: int
    replayed: int
    refused: int
    refusal: JsonObject | None
    per_second: int
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class TakenReplay:
    """A due replay that is a transaction's own until it ends. It is through with the dead letters up to the id `at_id`,
    and ends with `last_id`. `patch` is sealed; `actor` asked for it."""

    id: UUID
    group: Group
    workflow_id: UUID | None
    patch: Json
    version: int | None
    repeat_in_doubt: bool
    at_id: UUID
    last_id: UUID
    actor: Actor
