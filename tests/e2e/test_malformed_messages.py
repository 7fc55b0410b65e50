"""P9: nothing that arrives on a queue stops a service, or loses what stands beside it."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio
from designer import Designer
from fleet import Fleet
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, LOGS, MAX_MESSAGE_BYTES, Bus, Outgoing, events_queue
from headrace.ids import new_id
from headrace.messages import partition_of
from target import Target

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARTITIONS = 2
AT = "2030-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class World:
    fleet: Fleet
    designer: Designer
    target: Target
    bus: Bus
    database: asyncpg.Connection

    async def publish(self, queue: str, *bodies: bytes) -> None:
        await self.bus.publish([Outgoing(queue, body) for body in bodies])

    async def works(self) -> None:
        """A run in every partition."""
        runs: dict[int, str] = {}
        while len(runs) < PARTITIONS:
            run_id = await self.designer.start("sound", id="x")
            runs[partition_of(uuid.UUID(run_id), PARTITIONS)] = run_id
        for run_id in runs.values():
            assert (await self.designer.ended(run_id))["status"] == "SUCCESS"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(module_fleet: Fleet) -> AsyncIterator[World]:
    backends = module_fleet.backends
    async with Target() as target:
        await module_fleet.start_all()
        designer = Designer(module_fleet)
        await designer.app("shop", target.url)
        await designer.action("shop", "get", "GET", "/items/{id}")
        await designer.publish(
            {
                "workflow": "sound",
                "steps": [{"key": "get", "action": "shop/get", "input": {"id": "{{ input.id }}"}}],
            }
        )
        bus = await open_bus(backends.bus_url, partitions=PARTITIONS, namespace=backends.namespace)
        database = await asyncpg.connect(backends.database_url)
        yield World(module_fleet, designer, target, bus, database)
        await bus.close()
        await database.close()


def job(**changes: Any) -> dict[str, Any]:
    some = {"tenant_id": str(new_id()), "run_id": str(new_id()), "dispatch_id": str(new_id())}
    return {"v": 1, **some, **changes}


def event(**changes: Any) -> dict[str, Any]:
    some = {"tenant_id": str(new_id()), "run_id": str(new_id()), "epoch": 1, "seq": 1, "kind": "started"}
    return {**some, "at": AT, "step": "get", "data": {}, **changes}


def events(*given: Any, **changes: Any) -> bytes:
    # Not orjson: it reads 1024 levels and writes 254.
    return json.dumps({"v": 1, "runner_id": str(new_id()), "events": list(given), **changes}).encode()


def record(**changes: Any) -> dict[str, Any]:
    some = {"id": str(new_id()), "tenant_id": str(new_id()), "run_id": str(new_id()), "at": AT}
    return {**some, "level": "INFO", "message": "hello", **changes}


def records(*given: Any) -> bytes:
    return json.dumps({"v": 1, "records": given}).encode()


# No message of any kind.
NONSENSE = [
    b"",
    b"not json",
    b"\0\0\0\0",
    b"\xff\xfe\xfd",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"v": 1}',
    b'{"v": 2}',
    b'{"v": "1"}',
    b'{"v": 1, "v": 9}',
    b'{"v": ' + b"9" * 400 + b"}",
    b"[" * 5000 + b"]" * 5000,
    b'{"v": 1, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"v": 1, "x": "\\ud800"}',
]
BAD_JOBS = [
    orjson.dumps(job(run_id=1)),
    orjson.dumps(job(run_id="no-uuid")),
    orjson.dumps(job(run_id=None)),
    orjson.dumps(job(tenant_id=["x"])),
    orjson.dumps(job(dispatch_id="\0")),
    orjson.dumps(job(dispatch_id=str(new_id()) * 1000)),
]
BAD_EVENTS = [
    events("text"),
    events(event(epoch=0)),
    events(event(epoch=2**40)),
    events(event(epoch=True)),
    events(event(seq=-1)),
    events(event(seq=1.5)),
    events(event(kind="exploded")),
    events(event(at="yesterday")),
    events(event(at="2030-01-01T00:00:00")),
    events(event(data=[1])),
    events(event(step={"a": 1})),
    events(event(run_id="\0")),
    events(event(), runner_id=7),
    orjson.dumps({"v": 1, "runner_id": str(new_id()), "events": {"a": 1}}),
    orjson.dumps({"v": 1, "runner_id": str(new_id())}),
]
BAD_RECORDS = [
    records("text"),
    records(record(level="LOUD")),
    records(record(message=1)),
    records(record(at=5)),
    records(record(attempt="one")),
    records(record(context=[1])),
    records(record(id="\0")),
]


QUEUES = (JOBS, LOGS, *(events_queue(n) for n in range(PARTITIONS)))


async def dead_letters(world: World, queue: str) -> set[bytes]:
    """What was given up of a queue: of a message of events, those that can not be read."""
    if not queue.startswith("events"):
        return {letter.body for letter in await world.bus.dead_letters(1000) if letter.queue == queue}
    rows = await world.database.fetch("SELECT body FROM dead_letters WHERE source = $1", queue)
    bodies = [json.loads(row["body"]) for row in rows]
    whole = [body for body in bodies if "base64" in body]
    return {
        *(unread(base64.b64decode(body["base64"])) for body in whole),
        *(json.dumps(body["events"], sort_keys=True).encode() for body in bodies if body not in whole),
    }


def unread(body: bytes) -> bytes:
    """What is kept of a message: what there is of events, else all of it."""
    try:
        events = json.loads(body)["events"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return body
    return json.dumps(events, sort_keys=True).encode() if isinstance(events, list) else body


@pytest.mark.parametrize(
    ("queue", "bad"),
    [
        (JOBS, [*NONSENSE, *BAD_JOBS]),
        (LOGS, [*NONSENSE, *BAD_RECORDS]),
        *((events_queue(n), [*NONSENSE, *BAD_EVENTS]) for n in range(PARTITIONS)),
    ],
)
async def test_what_is_no_message_is_a_dead_letter(world: World, queue: str, bad: list[bytes]) -> None:
    wanted = {unread(body) for body in bad} if queue.startswith("events") else set(bad)
    _, _, letters = await asyncio.gather(
        world.publish(queue, *bad), world.works(), given_up(world, queue, wanted)
    )
    assert letters == wanted
    await world.works()


async def given_up(world: World, queue: str, wanted: set[bytes]) -> set[bytes]:
    letters: set[bytes] = set()
    async with asyncio.timeout(30):
        while not wanted <= letters:
            letters = await dead_letters(world, queue)
            await asyncio.sleep(0.2)  # nothing tells of a dead letter
    return letters


async def test_what_was_given_up_is_told_to_the_audit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is larger than any of ours could publish, on every queue."""
    for adapter in ("rabbitmq", "postgres"):
        monkeypatch.setattr(f"headrace.bus.{adapter}.bus.check_sizes", lambda _: None)
    large = b'{"v": 1, "x": "' + b"x" * MAX_MESSAGE_BYTES + b'"}'
    before = {queue: await told(world, queue) for queue in QUEUES}
    await asyncio.gather(*(world.publish(queue, large) for queue in QUEUES))
    await world.works()
    async with asyncio.timeout(60):
        for queue in QUEUES:
            while await told(world, queue) <= before[queue]:
                await asyncio.sleep(0.2)  # nothing tells of a record


async def told(world: World, queue: str) -> int:
    """How many oversized messages of a queue the audit tells of."""
    times: int = await world.database.fetchval(
        """SELECT coalesce(sum((detail ->> 'times')::int), 0) FROM (
               SELECT action, target, detail FROM audit_log UNION ALL
               SELECT action, target, detail FROM audit_inbox) a
           WHERE action = 'message.take' AND target = $1 AND detail ->> 'reason' LIKE '%larger%'""",
        f"queue/{queue}",
    )
    return times


async def test_jobs_that_mean_nothing_are_let_go(world: World) -> None:
    """Of a run that is not there, with an old dispatch, in another tenant's name."""
    run_id = await world.designer.start("sound", id="done")
    await world.designer.ended(run_id)
    tenant = await world.database.fetchval("SELECT tenant_id FROM runs WHERE id = $1", uuid.UUID(run_id))
    strange = [job(), job(run_id=run_id), job(run_id=run_id, tenant_id=str(tenant))]
    before = await world.designer.run(run_id)
    await world.publish(JOBS, *map(orjson.dumps, strange))
    await world.works()
    assert await world.designer.run(run_id) == before


# What an event may say about a run that is under way, in its shape, and that no runner of ours says.
ATTEMPT = {"number": 1, "outcome": "SUCCESS", "startedAt": AT, "durationMs": 1}
UNSTORABLE: dict[str, dict[str, Any]] = {
    "data nested deeper than it can be written": {
        "data": json.loads('{"input":' + "[" * 600 + "]" * 600 + "}")
    },
    "a NUL in its data": {"data": {"input": "a\0b"}},
    "a NUL in a name": {"data": {"a\0b": 1}},
    "a NUL in its step": {"step": "a\0b"},
    "a step of a megabyte": {"step": "".join(map(str, range(200_000)))},
    "a number of attempts beyond 32 bits": {
        "kind": "completed",
        "data": {"status": "SUCCESS", "attempt": {**ATTEMPT, "number": 2**40}},
    },
    "a duration beyond 32 bits": {
        "kind": "completed",
        "data": {"status": "SUCCESS", "attempt": {**ATTEMPT, "durationMs": 2**40}},
    },
    "a status code of text": {
        "kind": "completed",
        "data": {"status": "SUCCESS", "attempt": {**ATTEMPT, "httpStatus": "teapot"}},
    },
    "an address that is none": {
        "kind": "completed",
        "data": {"status": "SUCCESS", "attempt": {**ATTEMPT, "address": {"a": 1}}},
    },
    "an outcome that is none": {
        "kind": "completed",
        "data": {"status": "SUCCESS", "attempt": {**ATTEMPT, "outcome": "MAYBE"}},
    },
    "a time without an offset": {
        "kind": "completed",
        "data": {"status": "SUCCESS", "attempt": {**ATTEMPT, "startedAt": "2030-01-01T00:00:00"}},
    },
    "a time that is none": {"kind": "parked", "data": {"reason": "RETRY", "resumeAt": "soon"}},
    "a time at the end of all times": {"at": "9999-12-31T23:59:59-23:00"},
    "a status that is none": {"kind": "completed", "data": {"status": "GREAT"}},
    "no status": {"kind": "finished", "data": {}},
    "an end that is none": {"kind": "finished", "data": {"status": "CANCELED"}},
    "a reason that is none": {"kind": "parked", "data": {"reason": ["RETRY"]}},
    "no step": {"kind": "started", "step": None},
    # And what is no event at all, but for whose it is.
    "a kind of a later release": {"kind": "exploded"},
    "an epoch that is none": {"epoch": "1"},
    "a time of its own that is none": {"at": "yesterday"},
    "data that is a list": {"data": ["x"]},
    "a NUL where there should be data": {"data": "a\0b"},
}


async def test_an_event_that_can_not_be_applied_sets_its_own_run_aside(world: World) -> None:
    world.target.hold("/items/held")
    runs = {what: await world.designer.start("sound", id="held") for what in UNSTORABLE}
    await world.target.called("/items/held", times=len(runs))
    tenant = await world.database.fetchval("SELECT tenant_id FROM runs LIMIT 1")
    forged = {
        what: event(tenant_id=str(tenant), run_id=runs[what], seq=1000, **change)
        for what, change in UNSTORABLE.items()
    }
    neighbours = asyncio.create_task(world.works())
    for partition in range(PARTITIONS):
        mine = [e for e in forged.values() if partition_of(uuid.UUID(e["run_id"]), PARTITIONS) == partition]
        # Together in one message, and once more each in its own.
        await world.publish(events_queue(partition), events(*mine), *(events(each) for each in mine))
    await neighbours
    world.target.release("/items/held")
    for what, run_id in runs.items():
        run = await world.designer.ended(run_id, wanted={"WAITING", "SUCCESS", "FAILED"})
        assert (run["status"], run["waitReason"]) == ("WAITING", "DEAD_LETTER"), what
    await world.works()


async def test_events_that_nobody_was_granted_change_nothing(world: World) -> None:
    """Of a run that is not there, in another tenant's name, of an epoch that no claim ever had."""
    world.target.hold("/items/granted")
    run_id = await world.designer.start("sound", id="granted")
    await world.target.called("/items/granted")
    partition = partition_of(uuid.UUID(run_id), PARTITIONS)
    tenant = str(await world.database.fetchval("SELECT tenant_id FROM runs WHERE id = $1", uuid.UUID(run_id)))
    end = {"kind": "finished", "step": None, "data": {"status": "FAILED", "error": {"code": "FORGED"}}}
    strangers = [
        event(tenant_id=tenant, **end),
        event(run_id=run_id, seq=1000, **end),
        event(run_id=run_id, tenant_id=tenant, epoch=99, **end),
    ]
    await world.publish(events_queue(partition), events(*strangers), *(events(one) for one in strangers))
    await world.works()
    world.target.release("/items/granted")
    assert (await world.designer.ended(run_id))["status"] == "SUCCESS"
    kept = await world.database.fetchval("SELECT count(*) FROM events WHERE data::text LIKE '%FORGED%'")
    assert kept == 0


async def test_records_that_stores_dislike_arrive_all_the_same(world: World) -> None:
    tenant = str(await world.database.fetchval("SELECT id FROM tenants LIMIT 1"))
    run_id = str(new_id())
    nested: Any = 0
    for _ in range(150):
        nested = {"d": [nested]}
    odd: list[dict[str, Any]] = [
        {"message": "a\0b"},
        {"message": "x" * 1_000_000},
        {"message": ""},
        {"message": "words " + " ".join(f"w{n}" for n in range(20_000))},
        {"context": {"a\0b": "c\0d"}},
        {"context": {"": 1, "$where": 1, "a.b": 1}},
        {"context": {"n": 2**63, "m": 2**64 - 1, "f": 1e300}},
        {"context": nested},
        {"step": "a\0b" * 10_000},
        {"attempt": 2**62},
        {"at": "0001-01-01T00:00:00+00:00"},
        {"at": "9999-12-31T23:59:59-23:59"},
    ]
    strange = [record(tenant_id=tenant, run_id=run_id, **change) for change in odd]
    good = record(tenant_id=tenant, run_id=run_id)
    await world.publish(LOGS, records(*strange, good), *(records(each) for each in strange))
    query = "query ($run: ID!) { logs(filter: {run: $run}) { items { id } } }"
    wanted = {each["id"] for each in (*strange, good)}
    async with asyncio.timeout(30):
        while {
            item["id"] for item in (await world.designer.do(query, run=run_id))["logs"]["items"]
        } != wanted:
            await asyncio.sleep(0.2)  # nothing tells of a record's arrival
    await world.works()
