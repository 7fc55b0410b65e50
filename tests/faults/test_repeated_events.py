"""P4: events that come again, out of order, or from an epoch that is over, change nothing in Postgres."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from designer import Designer
from fleet import Fleet
from headrace.bus.open import open_bus
from headrace.bus.port import Bus, Outgoing, events_queue
from headrace.ids import new_id
from headrace.messages import Event, EventBatch, partition_of
from headrace.workflow.state import EventKind
from target import Target

from tests.faults.test_kills import prepare

PARTITIONS = 2
# Everything that events can change.
TABLES = ("runs", "step_runs", "attempts", "events", "dispatches", "dead_letters")


@dataclass(frozen=True)
class Partition:
    """The bus and the tables of one run."""

    bus: Bus
    database: asyncpg.Connection
    run_id: UUID

    async def publish(self, *batches: Sequence[Event]) -> None:
        queue = events_queue(partition_of(self.run_id, PARTITIONS))
        await self.bus.publish([Outgoing(queue, EventBatch(new_id(), batch).encode()) for batch in batches])

    async def rows(self) -> list[Any]:
        """All rows of the run, as text."""
        return [
            await self.database.fetch(
                f"SELECT t::text FROM {table} t WHERE {'id' if table == 'runs' else 'run_id'} = $1 ORDER BY 1",
                self.run_id,
            )
            for table in TABLES
        ]

    async def events(self) -> list[Event]:
        """What has been applied, in its order; the marks of take-overs are not kept."""
        rows = await self.database.fetch(
            "SELECT * FROM events WHERE run_id = $1 ORDER BY epoch, seq", self.run_id
        )
        return [
            Event(
                *(row[n] for n in ("tenant_id", "run_id", "epoch", "seq")),
                EventKind(row["kind"]),
                row["at"],
                row["step"],
                orjson.loads(row["data"]),
            )
            for row in rows
        ]


@asynccontextmanager
async def partition_of_run(fleet: Fleet, run_id: str) -> AsyncIterator[Partition]:
    backends = fleet.backends
    bus = await open_bus(backends.bus_url, partitions=PARTITIONS, namespace=backends.namespace)
    database = await asyncpg.connect(backends.database_url)
    try:
        yield Partition(bus, database, UUID(run_id))
    finally:
        await bus.close()
        await database.close()


async def taken_over(fleet: Fleet, designer: Designer, target: Target) -> str:
    """A run whose second holder is in the call of its second step."""
    target.hold("/two")
    run_id = await designer.start("three")
    await target.called("/two")
    (victim,) = [s for s in fleet.services if s.name == "headrace_runner"]
    await victim.kill()
    await fleet.runner()
    await target.called("/two", times=2)
    return run_id


async def everything_is_applied(designer: Designer, run_id: str) -> None:
    """Partitions keep their order: when a run of the same one that came later has ended, all is dealt with."""
    later = await designer.start("later")
    while partition_of(UUID(later), PARTITIONS) != partition_of(UUID(run_id), PARTITIONS):
        later = await designer.start("later")
    assert (await designer.ended(later))["status"] == "SUCCESS"


async def test_what_comes_again_or_too_late_changes_nothing(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = await prepare(fleet, target)
    await designer.publish(
        {"workflow": "later", "steps": [{"key": "a", "type": "transform", "input": {"x": 1}}]}
    )
    run_id = await taken_over(fleet, designer, target)
    # The second holder's call may reach the target before what was reported ahead of it reaches the tables.
    await everything_is_applied(designer, run_id)
    async with partition_of_run(fleet, run_id) as partition:
        applied = await partition.events()
        assert {e.epoch for e in applied} == {1, 2}
        first = [e for e in applied if e.epoch == 1]
        # What the first holder would still say if it were alive, behind its successor's mark.
        last = replace(first[-1], seq=first[-1].seq + 1, at=datetime.now(UTC))
        late = [
            replace(last, kind=EventKind.COMPLETED, data={"status": "FAILED", "error": {"code": "LATE"}}),
            replace(last, seq=last.seq + 1, kind=EventKind.PARKED, step=None, data={"reason": "HANDED_BACK"}),
            replace(last, seq=last.seq + 2, kind=EventKind.FINISHED, step=None, data={"status": "SUCCESS"}),
            replace(last, seq=last.seq + 3, kind=EventKind.CANCELED, step=None, data={}),
        ]
        shuffled = random.Random(7).sample([*applied, *late], len(applied) + len(late))
        strange = [applied, applied, applied[::-1], shuffled, late, *([e] for e in shuffled)]

        under_way = await partition.rows()
        await partition.publish(*strange)
        await everything_is_applied(designer, run_id)
        assert await partition.rows() == under_way

        target.release("/two")
        assert (await designer.ended(run_id))["status"] == "SUCCESS"
        ended, applied = await partition.rows(), await partition.events()
        await partition.publish(*strange, applied, applied[::-1], [applied[-1]])
        await everything_is_applied(designer, run_id)
        assert await partition.rows() == ended
    assert [len(target.of(path)) for path in ("/one", "/two", "/three")] == [1, 2, 1]
