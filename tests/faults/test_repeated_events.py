"""P4 and P9: events that come again, too late or out of order change nothing; bad ones harm their own run alone."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from fleet import Fleet
from headrace.bus.open import open_bus
from headrace.bus.port import Bus, Outgoing, events_queue
from headrace.ids import new_id
from headrace.messages import Event, EventBatch, partition_of
from headrace.workflow.state import EventKind

from tests.faults.fault import Fault, Name, What, When
from tests.faults.kills import ONCE
from tests.faults.ledger import Wanted
from tests.faults.scene import Scenario, Scene

pytestmark = pytest.mark.asyncio(loop_scope="session")

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


async def everything_is_applied(scenario: Scenario, run_id: str) -> None:
    """Partitions keep their order: when a run of the same one that came later has ended, all is dealt with."""
    designer = scenario.scene.designer
    later = await designer.start("later-on")
    while partition_of(UUID(later), PARTITIONS) != partition_of(UUID(run_id), PARTITIONS):
        later = await designer.start("later-on")
    assert (await designer.ended(later))["status"] == "SUCCESS"


@pytest.mark.parametrize("scene", ["production", "embedded"], indirect=True)
async def test_what_comes_again_or_too_late_changes_nothing(scene: Scene) -> None:
    async with scene.scenario("events repeated, reordered and late") as scenario:
        run_id = await scenario.in_the_call(wanted=Wanted(calls={**ONCE, "two": 2}))
        await scenario.kill(Name.RUNNER)
        await scene.begin(Name.RUNNER)
        await scenario.called("two", 2)
        # The second holder's call may reach the target before what was reported ahead of it reaches the tables.
        await everything_is_applied(scenario, run_id)
        async with partition_of_run(scene.fleet, run_id) as partition:
            applied = await partition.events()
            assert {e.epoch for e in applied} == {1, 2}
            first = [e for e in applied if e.epoch == 1]
            # What the first holder would still say if it were alive, behind its successor's mark.
            last = replace(first[-1], seq=first[-1].seq + 1, at=datetime.now(UTC))
            failed = {"status": "FAILED", "error": {"code": "LATE"}}
            late = [
                replace(last, kind=EventKind.COMPLETED, data=failed),
                replace(
                    last, seq=last.seq + 1, kind=EventKind.PARKED, step=None, data={"reason": "HANDED_BACK"}
                ),
                replace(
                    last, seq=last.seq + 2, kind=EventKind.FINISHED, step=None, data={"status": "SUCCESS"}
                ),
                replace(last, seq=last.seq + 3, kind=EventKind.CANCELED, step=None, data={}),
            ]
            shuffled = random.Random(7).sample([*applied, *late], len(applied) + len(late))
            strange = [applied, applied, applied[::-1], shuffled, late, *([e] for e in shuffled)]

            under_way = await partition.rows()
            await partition.publish(*strange)
            await everything_is_applied(scenario, run_id)
            assert await partition.rows() == under_way

            scenario.release("two")
            await scenario.arrived()
            ended, applied = await partition.rows(), await partition.events()
            await partition.publish(*strange, applied, applied[::-1], [applied[-1]])
            await everything_is_applied(scenario, run_id)
            assert await partition.rows() == ended
        await scenario.settle()


@pytest.mark.parametrize("scene", ["production"], indirect=True)
@pytest.mark.parametrize(
    "renewed",
    [pytest.param(Fault(Name.RUNNER, "headrace_runner.lease:Lease.renew", When.AFTER, 2, What.DELAY), id="")],
)
async def test_an_event_that_can_not_be_applied_sets_aside_its_own_run_alone(
    scene: Scene, renewed: Fault
) -> None:
    async with scene.scenario("poisonous and malformed events") as scenario:
        poisoned = Wanted("WAITING", "DEAD_LETTER", {"one": 1, "two": 1, "three": 0})
        run_id = await scenario.in_the_call(wanted=poisoned)
        scenario.begin(count=3, wanted=Wanted(calls=ONCE))
        await scenario.called("two", 4)
        await scenario.begun()
        await everything_is_applied(scenario, run_id)
        await scenario.now_under_way()
        async with partition_of_run(scene.fleet, run_id) as partition:
            last = (await partition.events())[-1]
            bad = replace(last, seq=last.seq + 1, kind=EventKind.COMPLETED, data={"status": "NONSENSE"})
            queue = events_queue(partition_of(last.run_id, PARTITIONS))
            await partition.bus.publish([Outgoing(queue, b"\xff no events at all")])
            await partition.publish([bad])
            await everything_is_applied(scenario, run_id)
            # Its holder hears with its next renewal that it is its own no more.
            scenario.arm(renewed)
            await scenario.struck(renewed)
            scenario.release("two")
            await scenario.settle()
            kept = "SELECT source, body FROM dead_letters WHERE run_id = $1"
            ((source, body),) = await partition.database.fetch(kept, partition.run_id)
            assert source == "reporter"
            assert "NONSENSE" in body
