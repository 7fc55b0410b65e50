"""A database that was restored knows nothing of what was granted and done after its backup was taken.

What is left of that time elsewhere (runners that still run, events in the broker) must not become part of the runs that
go on from the backup: see `begin_anew`.
"""

from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

from headrace.errors import Conflict
from headrace.ids import new_id
from headrace.postgres.pool import Pool, one_statement, transaction
from headrace.postgres.queries import load
from headrace.postgres.schema import check_schema

_sql = load("headrace_control.restores")

# The new epochs, by the seconds since `SINCE`: more than a run is claimed in that time, so that they are above all that
# was granted before, by a restore of the same backup too. An epoch is 32 bits: there is room until 2043.
EPOCHS_A_SECOND = 4
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
_LOT = 1_000


async def begin_anew(owner: Pool, worker: Pool) -> int:
    """Fence off what is left of the time that was lost; how many unfinished runs there are.

    `owner` is a pool of the login that migrates, `worker` one of the role headrace_worker. To be called before a runner
    is started; calling it again does no harm. Raises what `refuse_unready` does.
    """
    await refuse_unready(owner)
    async with one_statement(worker) as db:
        await db.execute(_sql.forget_processes)
    runs: Counter[UUID] = Counter()
    last = UUID(int=0)
    while True:
        async with transaction(worker) as db:
            lot = await db.fetch(_sql.begin_anew, last, _LOT, SINCE, EPOCHS_A_SECOND)
        runs.update(row["tenant_id"] for row in lot)
        if len(lot) < _LOT:
            break
        last = lot[-1]["id"]
    async with transaction(worker) as db:
        tenants = [row["id"] for row in await db.fetch(_sql.tenants)]
        await db.execute(
            _sql.note_restore, tenants, [new_id() for _ in tenants], [runs[tenant] for tenant in tenants]
        )
    return runs.total()


async def refuse_unready(owner: Pool) -> None:
    """Raises `Conflict` while the database is still being recovered, or holds events of runs that are not applied yet
    (the embedded bus: they belong to what was restored, and would be fenced off with the rest); and what `check_schema`
    raises, where the backup is an older release's."""
    async with one_statement(owner) as db:
        if await db.fetchval(_sql.in_recovery):
            raise Conflict(
                "this database is still being recovered, and can only be read: wait until pg_is_in_recovery() is false"
            )
        await check_schema(db)
        if waiting := await db.fetchval(_sql.events_on_the_bus):
            raise Conflict(
                f"{waiting} messages with events are on the bus in this database and not applied yet: "
                "start a reporter, and no runner, until there are none"
            )
