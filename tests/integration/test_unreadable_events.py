"""A message of many runs' events of which one can not be read: it costs its own run alone, from there on."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
import pytest
from fixtures_claims import World
from headrace.bus.port import LOGS, Delivery, Reject, events_queue
from headrace.ids import new_id
from headrace.messages import Event, EventBatch, LogBatch, LogLevel, LogRecord
from headrace.workflow.state import EventKind
from headrace_reporter.consumer import EventConsumer, LogConsumer

from tests.integration.test_refusals import NOW, claimed, platform, recorded

__all__ = ["platform"]

EVENTS = events_queue(3)
MALFORMED = ("message.take", f"queue/{EVENTS}", "MALFORMED_MESSAGE", 1)
LATER_KIND: dict[str, Any] = {"kind": "of-a-later-release"}


@dataclass(frozen=True)
class Scene:
    """Two runs of one tenant, the second of which gets what can not be read, and one of another tenant."""

    world: World
    consumer: EventConsumer
    tenants: tuple[UUID, UUID]
    runs: tuple[UUID, UUID, UUID]

    def event(self, n: int, seq: int, kind: str = "started", **data: Any) -> dict[str, Any]:
        step = None if kind == "finished" else "a"
        tenant = self.tenants[n // 2]
        event = Event(tenant, self.runs[n], 1, seq, EventKind(kind), NOW, step, data)
        read: dict[str, Any] = orjson.loads(event.encode())
        return read

    async def handle(self, *messages: list[Any]) -> None:
        await self.consumer.handle([delivery(*events) for events in messages])

    async def states(self) -> list[tuple[str, str | None]]:
        rows = await self.world.admin.fetch("SELECT id, status, wait_reason FROM runs")
        found = {row["id"]: (row["status"], row["wait_reason"]) for row in rows}
        return [found[run] for run in self.runs]

    async def applied(self, n: int) -> list[int]:
        rows = await self.world.admin.fetch(
            "SELECT seq FROM events WHERE run_id = $1 ORDER BY seq", self.runs[n]
        )
        return [row["seq"] for row in rows]

    async def letters(self) -> list[tuple[Any, ...]]:
        """Source, tenant, run, code, and the seqs of what is kept."""
        rows = await self.world.admin.fetch("SELECT * FROM dead_letters ORDER BY id")
        return [
            (row["source"], row["tenant_id"], row["run_id"], row["code"], seqs(row["body"])) for row in rows
        ]


def seqs(body: str) -> list[Any]:
    return [each["seq"] if isinstance(each, dict) else each for each in orjson.loads(body)["events"]]


def delivery(*events: Any) -> Delivery:
    body = orjson.loads(EventBatch(new_id(), []).encode()) | {"events": events}
    return Delivery(EVENTS, orjson.dumps(body))


@pytest.fixture
async def scene(world: World, platform: UUID) -> Scene:
    mine, other = await world.tenant("mine"), await world.tenant("other")
    runs = (await claimed(world, mine), await claimed(world, mine), await claimed(world, other))
    consumer = EventConsumer(world.pool, world.applier, world.refusals.note)
    return Scene(world, consumer, (mine, other), runs)


@pytest.mark.parametrize(
    "change",
    [LATER_KIND, {"at": "soon"}, {"data": [1]}, {"step": 7}, {"epoch": "1"}, {"seq": None}],
    ids=lambda change: next(iter(change)),
)
async def test_an_event_that_can_not_be_read_costs_its_own_run_alone(
    scene: Scene, change: dict[str, Any]
) -> None:
    done, end = {"status": "SUCCESS"}, {"status": "SUCCESS"}
    bad = scene.event(1, 2) | change
    message = [
        scene.event(0, 1),
        scene.event(1, 1),
        bad,
        scene.event(0, 2, "completed", **done),
        scene.event(1, 3, "completed", **done),
        scene.event(2, 1, "completed", **done),
        scene.event(2, 2, "finished", **end),
        scene.event(0, 3, "finished", **end),
        scene.event(1, 4, "finished", **end),
    ]
    behind = [scene.event(1, 5, "finished", **end)]
    await scene.handle(message, behind)
    assert await scene.states() == [("SUCCESS", None), ("WAITING", "DEAD_LETTER"), ("SUCCESS", None)]
    assert await scene.applied(1) == [1]
    kept = [("reporter", scene.tenants[0], scene.runs[1], "NOT_APPLIED", [bad["seq"], 3, 4])]
    assert await scene.letters() == kept
    # Whatever comes again changes nothing; and nobody was refused: the run's own people see what is kept.
    await scene.handle(message, behind)
    assert await scene.letters() == kept
    assert await recorded(scene.world) == []


async def test_what_no_table_takes_is_kept_in_base64(scene: Scene) -> None:
    await scene.handle([scene.event(1, 1) | {"data": "a\0b"}])
    assert (await scene.states())[1] == ("WAITING", "DEAD_LETTER")
    body = await scene.world.admin.fetchval("SELECT body FROM dead_letters")
    kept = orjson.loads(base64.b64decode(orjson.loads(body)["base64"]))
    assert [each["data"] for each in kept["events"]] == ["a\0b"]


async def test_its_holder_hears_that_the_run_is_its_own_no_more(world: World, platform: UUID) -> None:
    tenant, runner = await world.tenant("mine"), new_id()
    run, dispatch = await world.queued(tenant)
    assert await world.outcome(runner, (run, dispatch)) == "GRANTED"
    assert (await world.beat(runner, run))["lost"] == []
    bad = orjson.loads(Event(tenant, run, 1, 1, EventKind.STARTED, NOW, "a", {}).encode()) | LATER_KIND
    consumer = EventConsumer(world.pool, world.applier, world.refusals.note)
    await consumer.handle([delivery(bad)])
    assert (await world.beat(runner, run))["lost"] == [str(run)]


async def test_what_does_not_say_whose_it_is_is_kept_alone(scene: Scene, platform: UUID) -> None:
    bad = scene.event(1, 1) | {"run_id": "nobody"}
    nothing = scene.event(1, 1)
    del nothing["tenant_id"]
    await scene.handle([bad, scene.event(0, 1), "text", nothing, scene.event(1, 1)])
    assert [await scene.applied(n) for n in (0, 1)] == [[1], [1]]
    assert await scene.letters() == [(EVENTS, None, None, "UNREADABLE", [1, "text", 1])]
    assert await recorded(scene.world) == [(platform, *MALFORMED)]


@pytest.mark.parametrize("change", [{"epoch": 7}, {"tenant": 2}, {"run": "none"}], ids=str)
async def test_what_nobody_was_granted_holds_up_no_run(
    scene: Scene, platform: UUID, change: dict[str, Any]
) -> None:
    """In another tenant's name, of an epoch that no claim had, of a run that is not there."""
    bad = scene.event(0, 9) | LATER_KIND
    if "epoch" in change:
        bad |= change
    elif "tenant" in change:
        bad["tenant_id"] = str(scene.tenants[1])
    else:
        bad["run_id"] = str(new_id())
    await scene.handle([bad, scene.event(0, 1)])
    assert await scene.applied(0) == [1]
    assert await scene.states() == [("RUNNING", None)] * 3
    assert await scene.letters() == [(EVENTS, None, None, "UNREADABLE", [9])]
    assert await recorded(scene.world) == [(platform, *MALFORMED)]


async def test_what_is_below_the_fence_or_behind_the_end_changes_nothing(scene: Scene) -> None:
    before = [scene.event(0, 1), scene.event(0, 2)]
    await scene.handle([*before, scene.event(2, 1, "finished", status="SUCCESS")])
    late = [scene.event(0, 1) | LATER_KIND, scene.event(2, 2) | LATER_KIND, scene.event(0, 3)]
    await scene.handle(late)
    assert await scene.states() == [("RUNNING", None), ("RUNNING", None), ("SUCCESS", None)]
    assert await scene.applied(0) == [1, 2, 3]
    assert await scene.letters() == []


async def test_what_is_no_batch_is_kept_as_it_came(scene: Scene, platform: UUID) -> None:
    good = scene.event(0, 1)
    await scene.consumer.handle([Delivery(EVENTS, b"\xff no JSON"), delivery(good)])
    assert await scene.applied(0) == [1]
    (letter,) = await scene.world.admin.fetch("SELECT * FROM dead_letters")
    assert (letter["source"], letter["run_id"], orjson.loads(letter["body"])["bytes"]) == (EVENTS, None, 9)
    assert await recorded(scene.world) == [(platform, *MALFORMED)]


class Store:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []

    async def append(self, records: Sequence[LogRecord]) -> None:
        self.records += records


async def test_log_records_beside_one_that_can_not_be_read_are_stored(world: World, platform: UUID) -> None:
    line = LogRecord(new_id(), platform, new_id(), NOW, LogLevel.INFO, "before")
    lines = [line, replace(line, id=new_id(), message="bad"), replace(line, id=new_id(), message="after")]
    body = orjson.loads(LogBatch(lines).encode())
    body["records"][1]["level"] = "LOUD"
    store = Store()
    with pytest.raises(Reject, match="not a log batch"):
        await LogConsumer(store, world.refusals.note).handle(Delivery(LOGS, orjson.dumps(body)))
    assert store.records == [lines[0], lines[2]]
    assert await recorded(world) == [(platform, "message.take", "queue/logs", "MALFORMED_MESSAGE", 1)]
