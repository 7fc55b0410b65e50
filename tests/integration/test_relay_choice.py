"""Which dispatches the relay sends next: the promised order, found without reading all queues."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from fixtures_claims import World
from headrace.postgres.queries import load
from headrace_control.dispatch.choosing import BY_QUEUE, DUE_BY_DEFAULT, DUE_IN_POOL, choose

_tables = load("headrace_control.scaling")
MANY = 40


@pytest.fixture
def database(each_server: str) -> str:
    return each_server


class Queues:
    """Dispatches as they stand in the table, and what of them comes next by the rule, said without SQL."""

    def __init__(self, tenants: list[UUID], dice: random.Random) -> None:
        self.rows: list[tuple[UUID, UUID, UUID, datetime, datetime | None, str | None]] = []
        self.limits = {tenant: dice.randint(1, 12) for tenant in tenants}
        self.now = datetime.now(UTC)
        for tenant in tenants:
            busy = dice.random() < 0.3
            for _ in range(dice.randint(0, 30 if busy else 3)):
                at = self.now + timedelta(
                    seconds=dice.choice([-9, -9, -9, 3600]), microseconds=len(self.rows)
                )
                self._add(tenant, at, None, dice.choice([None, None, "eu"]))
            for _ in range(dice.randint(0, 8)):
                self._add(tenant, self.now, self.now, dice.choice([None, "eu"]))

    def _add(self, tenant: UUID, at: datetime, sent: datetime | None, pool: str | None) -> None:
        self.rows.append((uuid4(), tenant, uuid4(), at, sent, pool))

    def next_ones(self, most: int, pool: str | None) -> list[UUID]:
        order = []
        for tenant, limit in self.limits.items():
            sent = [row for row in self.rows if row[1] == tenant and row[4] is not None]
            here = sum(row[5] == pool for row in sent)
            due = sorted(
                (row[3], row[0])
                for row in self.rows
                if row[1] == tenant and row[4] is None and row[5] == pool and row[3] <= self.now
            )
            for turn, (at, dispatch) in enumerate(due[: max(limit - len(sent), 0)], 1):
                order.append((turn + here, at, dispatch))
        return [dispatch for _, _, dispatch in sorted(order)[:most]]


@pytest.mark.parametrize("seed", range(4))
async def test_tenants_take_turns_whatever_their_queues_look_like(world: World, seed: int) -> None:
    dice = random.Random(seed)
    tenants = [await world.tenant(f"t{number}") for number in range(12)]
    for _ in range(MANY):
        queues = Queues(dice.sample(tenants, dice.randint(1, 12)), dice)
        await world.admin.execute("TRUNCATE dispatches")
        await world.admin.copy_records_to_table(
            "dispatches",
            records=queues.rows,
            columns=["id", "tenant_id", "run_id", "due_at", "sent_at", "pool"],
        )
        for tenant, limit in queues.limits.items():
            await world.admin.execute(
                "UPDATE tenants SET max_runs_in_flight = $2 WHERE id = $1", tenant, limit
            )
        most = dice.randint(1, 25)
        default = await choose(world.admin, most)
        assert [row["id"] for row in default] == queues.next_ones(most, None)
        pooled = await choose(world.admin, most, "eu")
        assert [row["id"] for row in pooled] == queues.next_ones(most, "eu")


COUNTED = pytest.mark.parametrize("counted", ["now", "of one tenant", "of none due", "of an empty table"])


@COUNTED
@pytest.mark.parametrize(
    ("query", "given", "pool"),
    [(DUE_BY_DEFAULT, "50, 50", None), (DUE_IN_POOL, "50, 50, 'eu'", "eu")],
    ids=["default", "eu"],
)
async def test_what_is_read_does_not_grow_with_the_queues_of_many(
    world: World, query: str, given: str, pool: str | None, counted: str
) -> None:
    """Nor when what Postgres knows of the table is out of date, as it is in any burst."""
    tenants = [await world.tenant(f"t{number}") for number in range(50)]
    short, long = [await _read(world.admin, tenants, pool, each, query, given, counted) for each in (5, 500)]
    assert long <= 2 * short, (short, long)


@COUNTED
@pytest.mark.parametrize("pool", [None, "eu"])
async def test_signals_count_each_due_run_once(world: World, pool: str | None, counted: str) -> None:
    tenants = [await world.tenant(f"t{number}") for number in range(50)]
    read = await _read(world.admin, tenants, pool, 100, _tables.due, "20", counted)
    assert 50 * 100 <= read <= 50 * 100 + 2 * 51, read  # and two probes for each tenant


async def _read(
    admin: asyncpg.Connection,
    tenants: list[Any],
    pool: str | None,
    each: int,
    query: str,
    given: str,
    counted: str,
) -> int:
    """How many rows of queues are looked at, with so many due for each tenant, by a plan that is made while the table
    is as it was `counted`."""
    await admin.execute("TRUNCATE dispatches")
    if counted in ("of one tenant", "of none due"):
        await _fill(admin, tenants[:1], pool, 500, sent=counted == "of none due")
    await admin.execute("VACUUM ANALYZE dispatches")
    async with admin.transaction():
        await admin.execute(BY_QUEUE)
        await admin.execute(f"PREPARE look AS {query}")
        await admin.execute(f"EXECUTE look ({given})")  # its plan is made now, once for all
        await admin.execute("DELETE FROM dispatches")
        await _fill(admin, tenants, pool, each)
        if counted == "now":
            await admin.execute("ANALYZE dispatches")
        explained = await admin.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE look ({given})")
    await admin.execute("DEALLOCATE look")
    return _rows(orjson.loads(explained)[0]["Plan"])


async def _fill(
    admin: asyncpg.Connection, tenants: list[Any], pool: str | None, each: int, *, sent: bool = False
) -> None:
    await admin.execute(
        """INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool, sent_at)
           SELECT gen_random_uuid(), tenant, gen_random_uuid(), now() - interval '1 minute', $2,
                  CASE WHEN $4 THEN now() END
           FROM unnest($1::uuid[]) tenant, generate_series(1, $3::int)""",
        tenants,
        pool,
        each,
        sent,
    )


def _rows(node: dict[str, Any]) -> int:
    """Of all looks at the table, those that a filter left out among them."""
    read = 0
    if node.get("Relation Name") == "dispatches":
        read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return int(read) + sum(_rows(each) for each in node.get("Plans", ()))
