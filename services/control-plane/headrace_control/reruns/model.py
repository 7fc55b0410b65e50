"""Re-runs as they are asked for and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from headrace.json_types import Json, JsonObject
from headrace.workflow.definition import Version
from headrace.workflow.rerun import OriginRow, Takeover
from headrace.workflow.state import RunStatus


@dataclass(frozen=True, slots=True)
class RerunWish:
    """How an ended run is run again.

    `steps` are row keys that are done again although they succeeded, with all that follows; of a child run's step the
    row of its parent stands before it (`ship/charge`, `each[3]/charge`). `whole`: everything is. `version` None is the
    origin's own. `patch` is a JSON Merge Patch (RFC 7396) of the input. `repeat_in_doubt`: calls of which nobody knows
    whether they were made are made again.
    """

    steps: Sequence[str] = ()
    whole: bool = False
    version: int | None = None
    patch: Json = None
    repeat_in_doubt: bool = False
    key: str | None = None

    def as_json(self, origin_id: UUID) -> JsonObject:
        """What makes two re-runs the same, beside the version and the input that they have."""
        steps: list[Json] = [*sorted(set(self.steps))]
        return {
            "origin": str(origin_id),
            "steps": steps,
            "whole": self.whole,
            "repeatInDoubt": self.repeat_in_doubt,
        }


@dataclass(frozen=True, slots=True)
class Origin:
    """An ended run, as far as a re-run looks at it.

    `origin_run_id` is the run that it went on from. `kept_keys`: the rows that it sends under other runs' keys.
    `planned`: the ended child runs that its own children, by their rows, go on from.
    """

    id: UUID
    workflow_id: UUID
    workflow: str
    version_id: UUID
    number: int
    status: RunStatus
    input: JsonObject
    parent_run_id: UUID | None
    parent_step: str | None
    undoes_run_id: UUID | None
    origin_run_id: UUID | None
    lineage: UUID | None
    kept_keys: Mapping[str, Sequence[str]]
    planned: Mapping[str, UUID]

    @property
    def root(self) -> UUID:
        """The first run that it goes back to."""
        return self.lineage or self.id

    @property
    def keeps(self) -> list[str]:
        return [row for rows in self.kept_keys.values() for row in rows]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a re-run of one run does; `children` are those of the child runs that go on from where they failed. `left`
    is what the runs are told that undo other children once more, by the rows that begin them."""

    origin: Origin
    version: Version
    rows: Mapping[str, OriginRow]
    takeover: Takeover
    children: Mapping[str, "Plan"] = field(default_factory=dict)
    left: JsonObject = field(default_factory=dict)

    @property
    def runs(self) -> list[UUID]:
        """The runs that are gone on from."""
        return [self.origin.id, *(run for child in self.children.values() for run in child.runs)]

    @property
    def in_doubt(self) -> list[str]:
        own = list(self.takeover.in_doubt)
        return [*own, *(f"{key}/{row}" for key, child in self.children.items() for row in child.in_doubt)]

    def keys(self) -> dict[str, list[str]]:
        """By whose id the idempotency keys are made, of the rows that keep theirs."""
        made_in = {row: run for run, rows in self.origin.kept_keys.items() for row in rows}
        kept: dict[str, list[str]] = {}
        for row in self.takeover.kept:
            kept.setdefault(made_in.get(row, str(self.origin.id)), []).append(row)
        return kept

    def as_json(self) -> dict[str, Any]:
        """As the run keeps it."""
        return {
            "keys": self.keys(),
            "children": {
                **self.left,
                **{
                    key: {
                        "origin": str(child.origin.id),
                        "take": list(child.takeover.take),
                        "reopen": list(child.takeover.reopen),
                        **child.as_json(),
                    }
                    for key, child in self.children.items()
                },
            },
        }


class RerunFate(StrEnum):
    """What becomes of a step in a re-run."""

    TAKEN_OVER = "TAKEN_OVER"
    AGAIN = "AGAIN"
    AHEAD = "AHEAD"


@dataclass(frozen=True, slots=True)
class RerunStep:
    """One step, or an item of a loop that is done again. `path` is its row key, behind those of its parents."""

    path: str
    fate: RerunFate
    type: str
    action: str | None
    in_doubt: bool = False
    keeps_key: bool = False
    items: int | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a re-run would do, step by step; `more` are steps that are not shown."""

    origin_id: UUID
    version_id: UUID
    steps: Sequence[RerunStep]
    more: int
