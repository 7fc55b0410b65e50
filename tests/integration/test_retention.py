"""What is kept for a time, and not for ever: records of the audit, keys of starts, tokens of approvals."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from fixtures_claims import World
from headrace.ids import lowest_id, new_id
from headrace.postgres.pool import API, AUDIT, WORKER, Pool, open_pool
from headrace_control.audit import pruning
from headrace_control.audit.pruning import Pruning
from headrace_control.expiry import expire as expiry
from headrace_control.expiry.expire import Kept, drop_months, expire

from tests.integration.sealing import Audit, verified

KEPT = timedelta(days=90)
GONE = Kept(timedelta(days=30), KEPT)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, AUDIT, max_size=4) as opened:
        yield opened


async def old_and_new(audit: Audit, name: str, old: int, new: int = 3) -> UUID:
    """A tenant's chain with so many records of a hundred days ago, and so many of now."""
    tenant = await audit.tenant(name)
    await audit.act(tenant, *(f"app/old-{n}" for n in range(old)))
    await audit.admin.execute(
        "UPDATE audit_inbox SET at = at - interval '100 days' WHERE tenant_id = $1", tenant
    )
    await audit.act(tenant, *(f"app/new-{n}" for n in range(new)))
    await audit.sealer.seal_all()
    return tenant


async def test_old_records_go_and_the_rest_proves_itself(audit: Audit, pool: Pool) -> None:
    mine, other = await old_and_new(audit, "mine", 5), await old_and_new(audit, "other", 0)
    whole = await audit.entries(mine)
    assert await Pruning(pool, KEPT).prune_all() == 5
    left = await audit.entries(mine)
    assert [one["seq"] for one in left] == [6, 7, 8, 9]
    assert left[:3] == whole[5:]
    said = left[3]
    assert (said["action"], said["actorName"]) == ("audit.prune", "control-plane")
    assert said["detail"] == {"seq": 5, "hash": whole[4]["hash"], "records": 5}
    assert verified(left).finding is None
    assert len(await audit.entries(other)) == 3
    # An export of before still proves itself, and what was recorded since follows.
    assert verified(whole).finding is None
    await audit.act(mine, "app/after")
    await audit.sealer.seal_all()
    assert verified(await audit.entries(mine)).seq == 10
    assert await Pruning(pool, KEPT).prune_all() == 0


async def test_a_chain_is_pruned_again_when_its_records_come_of_age(
    audit: Audit,
    pool: Pool,
    database: str,
) -> None:
    tenant = await old_and_new(audit, "mine", 5, 0)
    # Within a day of its age a record stays.
    assert await Pruning(pool, timedelta(days=99, hours=12)).prune_all() == 0
    assert await Pruning(pool, KEPT).prune_all() == 5
    assert [one["seq"] for one in await audit.entries(tenant)] == [6]  # nothing else is left of it
    async with await open_pool(database, AUDIT, **{"headrace.clock_offset": "92 days"}) as later:
        assert await Pruning(later, KEPT).prune_all() == 1
        assert await Pruning(later, KEPT).prune_all() == 0
    left = await audit.entries(tenant)
    assert [(one["seq"], one["detail"]["seq"]) for one in left] == [(7, 6)]
    assert verified(left).finding is None


async def test_much_goes_piece_by_piece_and_many_may_prune_at_once(
    audit: Audit,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pruning, "MOST", 4)
    tenant = await old_and_new(audit, "mine", 10)
    await audit.act(tenant, "app/meanwhile")
    gone = await asyncio.gather(*(Pruning(pool, KEPT).prune_all() for _ in range(3)), audit.sealer.seal_all())
    assert sum(gone[:3]) == 10
    left = await audit.entries(tenant)
    assert sum(one["action"] == "audit.prune" for one in left) == 3
    assert left[0]["seq"] == 11
    assert verified(left).finding is None


async def test_nothing_goes_that_no_record_stands_for(audit: Audit, pool: Pool, database: str) -> None:
    tenant = await old_and_new(audit, "mine", 5)
    for statement in ("SELECT headrace_prune_audit($1, 2)", "DELETE FROM audit_log WHERE tenant_id = $1"):
        with pytest.raises(asyncpg.RaiseError, match="audit_log is immutable"):
            await audit.admin.execute(statement, tenant)
    with pytest.raises(asyncpg.RaiseError, match="audit_log is immutable"):
        await pool.execute("SELECT headrace_prune_audit($1, 2)", tenant)
    assert await Pruning(pool, KEPT).prune_all() == 5
    # Nor more than it stands for; nor by anybody else.
    with pytest.raises(asyncpg.RaiseError, match="audit_log is immutable"):
        await pool.execute("SELECT headrace_prune_audit($1, 6)", tenant)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await audit.api.execute("SELECT headrace_prune_audit($1, 5)", tenant)
    assert len(await audit.entries(tenant)) == 4


async def test_start_keys_and_tokens_of_ended_runs_expire(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "MOST", 2)
    tenant = await world.tenant("one")
    runs = {name: (await world.queued(tenant))[0] for name in ("old", "older", "oldest", "going-on", "new")}
    for name, run in runs.items():
        age = timedelta(days=29 if name == "new" else 31)
        await world.admin.execute(
            """INSERT INTO start_keys (tenant_id, key, run_id, digest, created_at)
               VALUES ($1, $2, $3, '', now() - $4::interval)""",
            tenant,
            name,
            run,
            age,
        )
        await world.admin.execute(
            """INSERT INTO approval_tokens (tenant_id, nonce, run_id, step, digest, seq, approved_by, approved_by_name,
               expires_at) VALUES ($1, $2, $3, $4, sha256('x'), 1, $2, 'kim', now() - $5::interval)""",
            tenant,
            new_id(),
            run,
            name,
            age,
        )
        if name != "going-on":
            await world.admin.execute(
                "UPDATE runs SET status = 'CANCELED', finished_at = now() WHERE id = $1", run
            )
    # Of a run that is not kept any more.
    await world.admin.execute(
        "INSERT INTO start_keys (tenant_id, key, run_id, digest, created_at) VALUES ($1, 'gone', $2, '', '2020-01-01')",
        tenant,
        new_id(),
    )
    assert await expire(world.pool, GONE) == 7
    for column, table in (("key", "start_keys"), ("step", "approval_tokens")):
        left = await world.admin.fetch(f"SELECT {column} AS name FROM {table}")
        assert {row["name"] for row in left} == {"going-on", "new"}, table
    assert await expire(world.pool, GONE) == 0


async def test_dead_letters_of_ended_runs_expire_whatever_became_of_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "MOST", 2)
    tenant = await world.tenant("one")
    ended, going_on = [(await world.queued(tenant))[0] for _ in range(2)]
    await world.admin.execute("UPDATE runs SET status = 'CANCELED', finished_at = now() WHERE id = $1", ended)
    for reason, run, status, days in (
        ("old", ended, "OPEN", 91),
        ("older", ended, "REPLAYED", 92),
        ("of nobody", None, "DISCARDED", 93),
        ("new", ended, "OPEN", 89),
        ("still going on", going_on, "OPEN", 91),
    ):
        await world.admin.execute(
            """INSERT INTO dead_letters (id, tenant_id, run_id, source, reason, status, created_at, closed_at)
               VALUES ($1, $2, $3, 'step', $4, $5::text, now() - make_interval(days => $6),
                       CASE WHEN $5::text <> 'OPEN' THEN now() END)""",
            new_id(),
            tenant if run else None,
            run,
            reason,
            status,
            days,
        )
    assert await expire(world.pool, GONE) == 3
    left = await world.admin.fetch("SELECT reason FROM dead_letters")
    assert {row["reason"] for row in left} == {"new", "still going on"}


LATER = {"headrace.clock_offset": "100 days"}
MONTH = timedelta(days=31)


async def months(world: World) -> int:
    """How many months of runs there are."""
    counted: int = await world.admin.fetchval(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'runs'::regclass"
    )
    return counted


@pytest.fixture
async def later(database: str) -> AsyncIterator[Pool]:
    """A worker's pool, a hundred days on."""
    async with await open_pool(database, WORKER, **LATER) as opened:
        yield opened


async def ended(world: World, tenant: UUID) -> UUID:
    run, _ = await world.queued(tenant)
    await end(world, run)
    return run


async def end(world: World, run: UUID) -> None:
    await world.admin.execute("UPDATE runs SET status = 'CANCELED', finished_at = now() WHERE id = $1", run)


async def test_a_month_of_ended_runs_goes_and_the_months_of_now_stay(world: World, later: Pool) -> None:
    tenant = await world.tenant("one")
    await ended(world, tenant)
    before = await months(world)
    assert (
        await drop_months(world.pool, MONTH) == []
    )  # by today's clock none is over but that before this one
    gone = await drop_months(later, MONTH)
    assert gone == sorted(gone)
    assert len(gone) >= 2
    assert await months(world) == before - len(gone)
    assert await world.admin.fetchval("SELECT count(*) FROM runs") == 0
    assert await drop_months(later, MONTH) == []
    # The hourly round makes what is needed next, and a run of then has its place.
    await later.execute("SELECT headrace_ensure_partitions(3)")
    assert await months(world) > before - len(gone)


@pytest.mark.parametrize(
    "by", ["unfinished", "start key", "dead letter", "origin", "undone", "parent", "lineage"]
)
async def test_a_month_stays_while_one_of_its_runs_is_needed(world: World, later: Pool, by: str) -> None:
    tenant = await world.tenant("one")
    run = await ended(world, tenant)
    other = await ended(world, tenant)
    match by:
        case "unfinished":
            await world.admin.execute(
                "UPDATE runs SET status = 'WAITING', finished_at = NULL WHERE id = $1", run
            )
        case "start key":
            await world.admin.execute(
                "INSERT INTO start_keys (tenant_id, key, run_id, digest) VALUES ($1, 'k', $2, '')",
                tenant,
                run,
            )
        case "dead letter":
            await world.admin.execute(
                "INSERT INTO dead_letters (id, tenant_id, run_id, source, reason) VALUES ($1, $2, $3, 'step', 'r')",
                new_id(),
                tenant,
                run,
            )
        case _:
            # A run of the clock's present that stands on one of the month.
            column = {"origin": "origin_run_id", "undone": "undoes_run_id", "parent": "parent_run_id"}.get(
                by, by
            )
            now = await later.fetchval("SELECT headrace_now()")
            await later.execute("SELECT headrace_ensure_partitions(3)")
            await world.admin.execute(
                f"""UPDATE runs SET id = $2, {column} = $3, status = 'WAITING', finished_at = NULL WHERE id = $1""",
                other,
                lowest_id(now),
                run,
            )
    # Nor do those behind it: they may hold children and re-runs that it still needs. The one before it goes.
    assert len(await drop_months(later, MONTH)) == 1
    assert await world.admin.fetchval("SELECT count(*) FROM runs WHERE id = $1", run) == 1


async def test_who_reads_a_month_for_long_has_it_left_for_another_time(world: World, later: Pool) -> None:
    await ended(world, await world.tenant("one"))
    async with world.admin.transaction():
        await world.admin.fetch("SELECT FROM runs")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await drop_months(later, MONTH)
    assert await drop_months(later, MONTH)


async def test_months_to_come_are_made_in_passing(world: World, later: Pool) -> None:
    """A dump reads all tables for hours: nobody may wait for it who would have all others wait."""
    async with world.admin.transaction():
        await world.admin.fetch("SELECT FROM runs")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await later.execute("SELECT headrace_ensure_partitions(3)")
    before = await months(world)
    await later.execute("SELECT headrace_ensure_partitions(3)")
    assert await months(world) > before


async def test_nobody_but_the_worker_drops_months(world: World, database: str) -> None:
    async with await open_pool(database, API) as api:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute("SELECT headrace_drop_month('1 day')")
