"""What a run costs in counts that a busy machine does not change much: transactions, WAL, messages, bytes.

They are the gate against a cost that grows unseen. Bounds are about twice what was counted when they were set, which
stands beside each; a change that makes a run dearer on purpose raises its bound in the same commit.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
from designer import Designer
from fleet import Fleet
from headrace_cli.bench.work import chain3
from target import Target

RUNS = 60
# One statement's messages in one row; unlogged, so that counting adds nothing to the WAL that is counted.
COUNTED = """
CREATE UNLOGGED TABLE published (queue text, messages bigint, bytes bigint);
CREATE FUNCTION count_published() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO public.published SELECT split_part(queue, '.', 1), count(*), sum(octet_length(body)) FROM new_messages
        GROUP BY 1;
    RETURN NULL;
END $$;
CREATE TRIGGER count_published AFTER INSERT ON bus_messages REFERENCING NEW TABLE AS new_messages
    FOR EACH STATEMENT EXECUTE FUNCTION count_published()"""
# An id is given to a transaction when it writes, so this counts those alone, and at once.
COUNTERS = """SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS transactions,
    (pg_current_wal_insert_lsn() - '0/0')::bigint AS wal,
    (SELECT coalesce(sum(messages), 0) FROM published)::bigint AS messages,
    (SELECT coalesce(sum(bytes), 0) FROM published)::bigint AS bytes"""
START = """mutation ($items: [RunStart!]!) { startRuns(items: $items) {
    ok: __typename ... on StartedRuns { items { ... on Run { id } ...Failed } } ...Failed } }"""
SUCCEEDED = "SELECT count(*) FROM runs WHERE status = 'SUCCESS'"


@dataclass(frozen=True)
class Costs:
    """Of one run: write transactions, bytes of WAL, messages on the bus (jobs, events, log records) and their bytes."""

    transactions: float
    wal: float
    messages: float
    bytes: float


class Counter:
    def __init__(self, db: asyncpg.Connection, designer: Designer) -> None:
        self._db, self._designer = db, designer

    async def of(self, runs: int, at_once: int) -> Costs:
        """What each of so many runs costs, `at_once` of them started together."""
        before = await self._db.fetchrow(COUNTERS)
        for _ in range(0, runs, at_once):
            items = [{"workflow": "chain3", "input": {"n": 1}}] * at_once
            wanted = await self._db.fetchval(SUCCEEDED) + at_once
            await self._designer.mutate(START, items=items)
            async with asyncio.timeout(60):
                while await self._db.fetchval(SUCCEEDED) < wanted:
                    await asyncio.sleep(0.05)  # nothing tells of it without costing what is counted
        after = await self._db.fetchrow(COUNTERS)
        assert before is not None
        assert after is not None
        return Costs(*((new - old) / runs for old, new in zip(before, after, strict=True)))


@pytest.fixture
async def counter(fleet: Fleet, target: Target) -> AsyncIterator[Counter]:
    db = await asyncpg.connect(fleet.backends.database_url)
    await _autovacuum(db, "off")
    await db.execute(COUNTED)
    await fleet.start_all()
    designer = Designer(fleet)
    work = chain3()
    await designer.app(work.name, target.url)
    for name in work.actions:
        await designer.action(work.name, name, "POST", f"/{name}", idempotency={"mode": "KEY"})
    await designer.publish(work.document)
    counter = Counter(db, designer)
    await counter.of(20, 20)
    yield counter
    await _autovacuum(db, "on")
    await db.close()


async def _autovacuum(db: asyncpg.Connection, setting: str) -> None:
    """Of the whole server, whose WAL is counted: tidying up after other tests would be counted among the six runs."""
    await db.execute(f"ALTER SYSTEM SET autovacuum = {setting}")
    await db.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize("backends", ["embedded"], indirect=True)
async def test_what_a_run_of_three_calls_costs(counter: Counter) -> None:
    together = await counter.of(RUNS, at_once=RUNS)
    assert together.transactions < 5  # 1 to 2
    assert together.wal < 45_000  # 21,000
    assert 1 <= together.messages < 5  # 1.4
    assert together.bytes < 9_000  # 4,300
    alone = await counter.of(6, at_once=1)
    assert alone.transactions < 36  # 16 to 18, with what the services do by the clock
    assert alone.wal < 50_000  # 21,000 to 24,000
    assert alone.messages < 12  # 6
    assert alone.bytes < 9_000  # 4,300
