"""Tenants that were deleted, and what a restored database has to be told of them.

A backup holds tenants that were deleted after it was taken. What says that they were is lost with the database that was
replaced, unless the list was kept elsewhere.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from headrace.errors import InvalidInput, Problem
from headrace.postgres.pool import Pool, one_statement, transaction
from headrace.postgres.queries import load
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

_sql = load("headrace_control.restores")
_MOST = 1_000


class DeletedTenant(BaseModel):
    """One line of the list: ids and times alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    tenant_id: UUID
    asked_at: AwareDatetime
    asked_by: UUID
    asked_in: UUID
    due_at: AwareDatetime
    done_at: AwareDatetime | None

    def encode(self) -> str:
        return self.model_dump_json(by_alias=True)

    def shown(self) -> dict[str, object]:
        return self.model_dump(mode="json", by_alias=True)


def read_list(text: str) -> list[DeletedTenant]:
    """Raises `InvalidInput` that names the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found.append(DeletedTenant.model_validate_json(line))
        except ValidationError:
            mend = "Give a file that `headrace tenants deleted --file` wrote."
            raise InvalidInput([Problem(f"line {number}", "is no deleted tenant", mend)]) from None
    return found


async def deleted_tenants(worker: Pool) -> list[DeletedTenant]:
    """All whose deletion has begun, the first one first; nobody takes these back."""
    async with one_statement(worker) as db:
        return [DeletedTenant(**row) for row in await db.fetch(_sql.deleted_tenants)]


async def delete_again(owner: Pool, worker: Pool, deleted: Sequence[DeletedTenant]) -> int:
    """Delete what came back of these tenants, but for their records in a log store elsewhere: a control plane does that
    when it starts. How many had come back. Safe to repeat.

    To be called before the runs of the restored database go on: theirs must not.
    """
    back = 0
    for one in deleted:
        async with transaction(owner) as db:
            came_back = await db.fetchval(
                _sql.note_deleted, one.tenant_id, one.asked_at, one.asked_by, one.asked_in, one.due_at
            )
        back += bool(came_back)
        while True:
            async with transaction(worker) as db:
                if not await db.fetchval(_sql.end_lot, one.tenant_id, _MOST):
                    break
    return back


async def put_off(owner: Pool) -> Sequence[tuple[UUID, datetime]]:
    """Give deletions that had not begun a week at least: that they were taken back may be among what was lost. The
    tenants, and when they are due now."""
    async with transaction(owner) as db:
        return [(row["tenant_id"], row["due_at"]) for row in await db.fetch(_sql.put_off)]
