"""Moves, as they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.errors import Problem
from headrace.workflow.move import MoveFate

from headrace_control.auth.caller import Actor
from headrace_control.workflows.diff import VersionDiff


@dataclass(frozen=True, slots=True)
class MoveStep:
    """A step of either version, and what it is to the run."""

    key: str
    fate: MoveFate
    type: str
    action: str | None


@dataclass(frozen=True, slots=True)
class MovePreview:
    """What a move would do. It is done when there are no `problems`, and nobody holds the run: `held`."""

    run_id: UUID
    from_id: UUID
    to_id: UUID
    held: bool
    problems: Sequence[Problem]
    steps: Sequence[MoveStep]
    diff: VersionDiff


@dataclass(frozen=True, slots=True)
class Move:
    """A move that was made: after the event (epoch, seq) of the run."""

    from_id: UUID
    to_id: UUID
    at: datetime
    actor: Actor
    note: str
    epoch: int
    seq: int
