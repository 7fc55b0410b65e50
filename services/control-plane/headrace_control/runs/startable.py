"""What would run: the version that a start is for, by name and number and by the workflow's rollout."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.errors import Conflict, HeadraceError, NotFound, TenantEnding
from headrace.ids import new_id
from headrace.json_types import Json
from headrace.pools import named
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.extraction import compile_path
from headrace.workflow.rollout import Split
from headrace.workflow.state import RunStatus

from headrace_control.runs.model import Run, RunStart
from headrace_control.runs.parameters import Parameters, StartRule
from headrace_control.runs.wishes import Answer, Wish

_sql = load("headrace_control.runs", "starting.sql")


@dataclass(frozen=True, slots=True)
class _Rollout:
    candidate_id: UUID
    split: Split


@dataclass(frozen=True, slots=True)
class Startable:
    workflow_id: UUID
    version_id: UUID
    now: datetime
    rollout: _Rollout | None
    pool: str

    @property
    def version_ids(self) -> set[UUID]:
        return {self.version_id} | ({self.rollout.candidate_id} if self.rollout else set())

    def fresh(self, value: Json, created_by: UUID) -> Run:
        """The run of a start with this input, on the version that it is for."""
        # The database's time in the id: then `created_at` and the order of ids agree.
        run_id = new_id(self.now)
        candidate = self.rollout is not None and self.rollout.split.takes(value, run_id)
        return Run(
            id=run_id,
            workflow_id=self.workflow_id,
            version_id=self.rollout.candidate_id if self.rollout and candidate else self.version_id,
            status=RunStatus.QUEUED,
            wait_reason=None,
            error=None,
            cancel_requested=False,
            pause_requested=False,
            parent_run_id=None,
            parent_step=None,
            created_at=self.now,
            started_at=None,
            finished_at=None,
            fence=(0, 0),
            epoch=0,
            pool=self.pool,
            created_by=created_by,
        )


async def startables(
    db: Db, tenant_id: UUID, wishes: Sequence[Wish], answers: MutableMapping[int, Answer]
) -> Mapping[tuple[str, int | None], Startable]:
    """What would run for each (workflow, version); starts for which nothing would are answered."""
    places = {(wish.start.workflow, wish.start.version): None for wish in wishes}
    if not places:
        return {}
    wanted = list(places)
    rows = await db.fetch(_sql.startable, tenant_id, [name for name, _ in wanted], [v for _, v in wanted])
    found: dict[tuple[str, int | None], Startable] = {}
    refused: dict[tuple[str, int | None], HeadraceError] = {}
    for row in rows:
        place = wanted[row["n"] - 1]
        refusal = TenantEnding(row["ends_at"]) if row["ends_at"] else _refusal(row, place[1])
        if refusal is None:
            found[place] = Startable(
                row["workflow_id"], row["version_id"], row["now"], _rollout(row), named(row["pool"])
            )
        else:
            refused[place] = refusal
    for wish in wishes:
        if refusal := refused.get((wish.start.workflow, wish.start.version)):
            answers[wish.n] = refusal
    return found


def _refusal(row: Any, version: int | None) -> HeadraceError | None:
    if row["workflow_id"] is None:
        return NotFound("workflow")
    match row["status"]:
        case "PUBLISHED":
            return None
        case None if version is None:
            return Conflict("the workflow has no published version")
        case None:
            return NotFound("workflow version")
        case "DRAFT":
            return Conflict("the version is a draft; publish it first")
        case _:
            return Conflict("the version is deprecated; start a published one")


def _rollout(row: Any) -> _Rollout | None:
    if row["candidate_id"] is None:
        return None
    key = compile_path(row["key"]) if row["key"] is not None else None
    chosen = frozenset(value for values in row["cohorts"].values() for value in values)
    return _Rollout(row["candidate_id"], Split(row["share"], row["salt"], key, chosen))


async def rule_of_start(db: Db, tenant_id: UUID, start: RunStart, parameters: Parameters) -> StartRule:
    """What the version that would run asks of its starts. Raises `NotFound` and `Conflict`, as the start would."""
    (row,) = await db.fetch(_sql.startable, tenant_id, [start.workflow], [start.version])
    if (refusal := _refusal(row, start.version)) is not None:
        raise refusal
    return (await parameters.of(db, tenant_id, [row["version_id"]]))[row["version_id"]]
