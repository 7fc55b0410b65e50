"""Who did what a claimed run may have to undo, where that is another run: what undoes a step sees what the step saw."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Pool, one_statement
from headrace.postgres.queries import load
from headrace.workflow.keys import read_key
from headrace.workflow.state import StepStatus

from headrace_control.answer_text import passed_on
from headrace_control.internal_api.versions import PublishedVersion

_sql = load("headrace_control.internal_api")


class Doers:
    """Asked only for runs that have taken over what can be undone, or that undo another: one statement for all."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of(
        self,
        rows: Sequence[Any],
        versions: Mapping[UUID, PublishedVersion],
        steps: Mapping[UUID, Sequence[Mapping[str, Any]]],
        inputs: Mapping[UUID, str],
    ) -> Mapping[UUID, Mapping[UUID, Any]]:
        """For each claimed run that needs it, by the run that did it: when that was created and had started, and its
        input as it is stored, unless it is the claimed run's own (`inputs`). None stands for a run that is not kept any
        more."""
        wanted = {row["id"]: did for row in rows if (did := set(_doers(row, versions, steps)))}
        if not wanted:
            return {}
        async with one_statement(self._pool) as db:
            read = await db.fetch(_sql.doers, sorted(set().union(*wanted.values())))
        found = {row["id"]: row for row in read}
        tenants = {row["id"]: row["tenant_id"] for row in rows}
        return {
            run_id: {i: _told(found.get(i), tenants[run_id], inputs[run_id]) for i in did}
            for run_id, did in wanted.items()
        }


def _doers(
    row: Any, versions: Mapping[UUID, PublishedVersion], steps: Mapping[UUID, Sequence[Mapping[str, Any]]]
) -> Iterator[UUID]:
    undoes, compensated = row["undoes_run_id"], versions[row["version_id"]].compensated
    if undoes is not None:
        yield undoes
    for step in steps.get(undoes or row["id"], ()):
        did = step["taken_from"]
        if did is None or step["status"] != StepStatus.SUCCESS:
            continue
        if read_key(step["key"]).step in compensated:
            yield did


def _told(row: Any, tenant_id: UUID, own_input: str) -> dict[str, Any] | None:
    if row is None or row["tenant_id"] != tenant_id:
        return None
    told = {"created_at": row["created_at"], "started_at": row["started_at"]}
    return told if row["input"] == own_input else {**told, "input": passed_on(row["input"])}
