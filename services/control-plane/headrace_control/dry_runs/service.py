"""Dry runs as people ask for them: a version or a draft, an input, and what stands for the answers."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

from headrace.errors import Conflict, InvalidInput, LimitExceeded, NotFound, Problem
from headrace.ids import new_id
from headrace.json_types import Json, JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.postgres.queries import load
from headrace.sealed_outputs import INPUT_ROW, OutputPlace, seal_value
from headrace.workflow.schemas import compile_schema
from headrace.workflow.state import ENDED_RUN, RunStatus

from headrace_control.answer_size import Sized, look_up
from headrace_control.answer_text import made_of
from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.dry_runs.model import DryRun, DryRunStatus, DryRunWish
from headrace_control.dry_runs.reports import with_texts
from headrace_control.dry_runs.responses import checked
from headrace_control.reruns.inputs import is_sealed, merged, opened
from headrace_control.vault.output_keys import OutputKeys
from headrace_control.workflows.publishing import prepare
from headrace_control.workflows.text import read_document

_sql = load("headrace_control.dry_runs")

# Dry runs of one tenant that wait or are walked.
MOST_UNFINISHED = 20


class DryRunService:
    """Over a pool of the role headrace_api."""

    def __init__(self, pool: Pool, keys: OutputKeys) -> None:
        self._pool, self._keys = pool, keys

    async def start(self, caller: Caller, wish: DryRunWish) -> DryRun:
        """Have it walked. Raises `NotFound`, `Conflict`, `LimitExceeded`, and `InvalidInput` with what is wrong with
        the document, the input or the responses."""
        caller.require(Permission.START_RUNS)
        if wish.draft or wish.document is not None:
            caller.require(Permission.DESIGN)
        if wish.run_id:
            caller.require(Permission.READ)  # its outputs answer
        tenant_id = caller.tenant_id
        responses = checked(wish.responses)
        run = await self._recorded(tenant_id, wish.run_id) if wish.run_id else None
        version_id, number, resolved = await self._candidate(tenant_id, wish, run)
        name = str(resolved["document"]["workflow"])
        # Another version may show in parts what the run's own one hides as a whole.
        opens = run is None or version_id == run["version_id"] or caller.may(Permission.CONTROL_RUNS)
        if run is not None and not opens and wish.given is None and is_sealed(run["input"]):
            caller.require(Permission.CONTROL_RUNS)
        given = await self._input(tenant_id, wish, run)
        await asyncio.to_thread(_check_input, resolved["document"].get("parameters"), given)
        dry_run_id = new_id()
        async with tenant_transaction(self._pool, tenant_id) as db:
            await db.execute(_sql.lock_count, tenant_id)
            if await db.fetchval(_sql.unfinished, tenant_id) >= MOST_UNFINISHED:
                raise LimitExceeded(
                    f"{MOST_UNFINISHED} dry runs wait already: try again when some have ended"
                )
            # Input and responses may hold what the parameters and schemas mark as sensitive.
            keys = await self._keys.within(db, tenant_id, [dry_run_id])
            place = OutputPlace(tenant_id, dry_run_id, INPUT_ROW, "")
            sealed = seal_value(keys[dry_run_id], place, {"input": given, "responses": responses})
            await db.execute(
                _sql.add,
                tenant_id,
                dry_run_id,
                name,
                number,
                version_id,
                None if number is not None else resolved,
                run["version_id"] if run else None,
                wish.run_id,
                sealed,
                caller.actor.id,
                opens,
            )
            detail: JsonObject = {"workflow": name, "number": number}
            if wish.run_id:
                detail["run"] = str(wish.run_id)
            await record(db, caller, Act("dry_run.start", f"dry_run/{dry_run_id}", detail=detail))
            return (await _one(db, tenant_id, dry_run_id, 0)).found[0]

    async def get(self, caller: Caller, dry_run_id: UUID) -> DryRun:
        caller.require(Permission.START_RUNS)
        caller.require(Permission.READ)

        async def read(most: int) -> Sized[tuple[DryRun, bytes | None]]:
            async with tenant_transaction(self._pool, caller.tenant_id) as db:
                return await _one(db, caller.tenant_id, dry_run_id, most)

        dry_run, report = await look_up(1, read)
        if report is None:
            return dry_run
        return replace(dry_run, report=await made_of(report, with_texts))

    async def _recorded(self, tenant_id: UUID, run_id: UUID) -> Any:
        async with tenant_transaction(self._pool, tenant_id) as db:
            run = await db.fetchrow(_sql.recorded_run, tenant_id, run_id)
        if run is None:
            raise NotFound("run")
        if RunStatus(run["status"]) not in ENDED_RUN:
            raise Conflict(f"the run has not ended ({run['status']})")
        if run["undoes_run_id"] is not None:
            raise Conflict("the run undoes another; take that one")
        return run

    async def _candidate(
        self, tenant_id: UUID, wish: DryRunWish, run: Any
    ) -> tuple[UUID, int | None, dict[str, Any]]:
        """What is walked: its id, its number if it is published, and its resolved document."""
        if wish.document is not None:
            data, _ = read_document(wish.document)
            ready = await prepare(self._pool, tenant_id, data)
            return ready.version_id, None, ready.resolved
        workflow, number = wish.workflow, wish.version
        if workflow is None and run is not None:
            workflow = run["workflow"]
            number = number if number is not None else run["number"]
        if workflow is None:
            mend = "Name a workflow, or a run, or give a document."
            raise InvalidInput([Problem("workflow", "there is nothing to walk", mend)])
        async with tenant_transaction(self._pool, tenant_id) as db:
            if not wish.draft:
                found = await db.fetchrow(_sql.candidate, tenant_id, workflow, number)
                if found is None:
                    raise NotFound("published workflow version")
                return found["id"], found["number"], found["resolved"]
            draft = await db.fetchrow(_sql.draft, tenant_id, workflow)
        if draft is None:
            raise NotFound("draft")
        ready = await prepare(self._pool, tenant_id, draft["document"], draft["id"])
        return ready.version_id, None, ready.resolved

    async def _input(self, tenant_id: UUID, wish: DryRunWish, run: Any) -> Json:
        if run is None or wish.given is not None:
            given: Json = {} if wish.given is None else wish.given
        else:
            given = run["input"]
            if is_sealed(given):
                keys = await self._keys.of(tenant_id, [run["id"]])
                given = opened(tenant_id, run["id"], keys[run["id"]], given)
        return given if wish.patch is None else merged(given, wish.patch)


async def _one(db: Db, tenant_id: UUID, dry_run_id: UUID, most: int) -> Sized[tuple[DryRun, bytes | None]]:
    """A dry run without its report; and this as a JSON text, unless it has more than `most` bytes."""
    row = await db.fetchrow(_sql.one, tenant_id, dry_run_id, most)
    if row is None:
        raise NotFound("dry run")
    found = DryRun(
        row["id"],
        row["workflow"],
        row["number"],
        DryRunStatus(row["status"]),
        row["run_id"],
        row["created_at"],
        row["finished_at"],
        row["failure"],
    )
    return Sized(row["size"], (found, row["report"]))


def _check_input(parameters: Any, given: Json) -> None:
    """As a start is checked."""
    if not isinstance(given, dict):
        raise InvalidInput([Problem("input", "an object is needed", "Write names and values.")])
    if parameters is not None and (problems := compile_schema(parameters).validate(given, "input")):
        raise InvalidInput(problems)
