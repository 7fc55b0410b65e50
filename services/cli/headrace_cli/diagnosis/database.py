"""A look at Postgres: the schema, its clock, what waits in it, who is at work, and what grows."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import asyncpg
from headrace.errors import DatabaseUnavailable, InvalidInput
from headrace.pools import DEFAULT_POOL
from headrace.postgres.migrations import Phase, read_migrations
from headrace.postgres.pool import Db, Pool, one_statement
from headrace.postgres.queries import load
from headrace.postgres.release import SCHEMA
from headrace.postgres.schema import check_schema
from headrace_control.scaling.tables import oldest_unclaimed, read_tables

from headrace_cli.diagnosis.finding import Finding, note, ok, wrong

_sql = load("headrace_cli.diagnosis")

MIGRATIONS = "headrace_control.migrations"
MOST_SKEW = 1.0
LATE = 60.0
MUCH_WAL = 1 << 30


@dataclass(frozen=True, slots=True)
class Pools:
    """One of the login that migrates, the others of the roles that they are named after."""

    owner: Pool
    worker: Pool
    api: Pool
    audit: Pool


async def examine_database(pools: Pools, partitions: int) -> Sequence[Finding]:
    """What is wrong with the schema alone, if anything: nothing else can be asked of a schema that is not ours."""
    async with one_statement(pools.worker) as db:
        try:
            await check_schema(db)
        except (DatabaseUnavailable, InvalidInput) as error:
            return [wrong("schema", error.message, "docs/guides/upgrades.md")]
    found = []
    async with one_statement(pools.owner) as db:
        found += [finding async for finding in _as_owner(db)]
    async with one_statement(pools.worker) as db:
        found += [finding async for finding in _as_worker(db, partitions)]
    async with one_statement(pools.audit) as db:
        found.append(_audit(await _row(db, _sql.unsealed)))
    return found


async def named_pools(pools: Pools) -> list[str]:
    """The runner pools beside the default one."""
    async with one_statement(pools.worker) as db:
        return [row["name"] for row in await db.fetch(_sql.pools)]


async def _row(db: Db, question: str) -> asyncpg.Record:
    row = await db.fetchrow(question)
    assert row is not None, "a question without groups is answered with one row"  # noqa: S101
    return row


async def _as_owner(db: Db) -> AsyncIterator[Finding]:
    applied = {row["name"] for row in await db.fetch(_sql.contracts)}
    waiting = [
        m.name for m in read_migrations(MIGRATIONS) if m.phase is Phase.CONTRACT and m.name not in applied
    ]
    if waiting:
        yield note("schema", f"{', '.join(waiting)} not applied", "headrace migrate --phase contract")
    else:
        yield ok("schema", f"migration {SCHEMA:04}")
    others = [row for row in await db.fetch(_sql.releases) if row["knows"] != SCHEMA]
    if others:
        told = ", ".join(f"{row['sessions']} sessions of {row['who']} ({row['knows']:04})" for row in others)
        yield note("releases", f"others than this command's ({SCHEMA:04}): {told}", "finish the upgrade")
    else:
        yield ok("releases", "every session is of this command's release")
    yield await _clock(db)
    yield _months(await db.fetchval(_sql.months), datetime.now(UTC).date())
    size = await _row(db, _sql.size)
    yield ok("disk", f"{size['bytes'] / 1e9:.2f} GB: {size['largest']}")
    async for finding in _what_keeps(db):
        yield finding


async def _clock(db: Db) -> Finding:
    before = time.time()
    row = await _row(db, _sql.clock)
    skew = row["at"].timestamp() - (before + time.time()) / 2
    if row["set_off"]:
        return wrong("clock", "headrace.clock_offset is set: a test's setting", "ALTER DATABASE ... RESET it")
    if abs(skew) > MOST_SKEW:
        return wrong(
            "clock", f"Postgres is {skew:+.1f} s off this machine's", "slew the one that is wrong (chrony)"
        )
    return ok("clock", f"Postgres is {skew:+.2f} s off this machine's")


def _months(last: date, today: date) -> Finding:
    ahead = (last.year - today.year) * 12 + last.month - today.month
    if ahead < 1:
        detail = "there are no tables for next month" if ahead == 0 else "there are no tables for this month"
        return wrong(
            "months of runs", detail, "see why a control plane logs `upkeep waits`; it makes them hourly"
        )
    return ok("months of runs", f"made {ahead} months ahead")


async def _what_keeps(db: Db) -> AsyncIterator[Finding]:
    try:
        slots = [row for row in await db.fetch(_sql.slots) if row["bytes"] > MUCH_WAL]
    except asyncpg.PostgresError:
        slots = []  # not every login may ask for them, nor every server answer
    for row in slots:
        detail = (
            f"replication slot {row['name']} is read by nobody and keeps {row['bytes'] / 1e9:.1f} GB of WAL"
        )
        yield wrong("disk", detail, "pg_drop_replication_slot, or start its reader")
    long = await _row(db, _sql.long_transactions)
    if long["open"]:
        detail = f"{long['open']} transactions are open, the oldest for {long['oldest_seconds'] / 60:.0f} min"
        yield wrong(
            "transactions", detail, "pg_stat_activity says whose; end them: nothing is cleaned up meanwhile"
        )


async def _as_worker(db: Db, partitions: int) -> AsyncIterator[Finding]:
    by_pool = await read_tables(db)
    tables = by_pool.whole
    if tables.runners:
        yield ok("runners", f"{tables.runners} with a lease, room for {tables.capacity} runs")
    elif waiting := tables.due + tables.in_flight:
        yield wrong("runners", f"none has a lease, and {waiting} runs wait", "start one; see its log")
    else:
        yield note("runners", "none has a lease, and nothing waits")
    for pool, own in by_pool.pools.items():
        waiting = own.due + own.in_flight
        if waiting and not own.runners and (tables.runners or pool != DEFAULT_POOL):
            mend = f"start one with HEADRACE_POOL={pool}"
            if pool != DEFAULT_POOL:
                mend += f", or headrace pools drain {pool} --into another"
            yield wrong(f"pool {pool}", f"it has no runner with a lease, and {waiting} runs wait", mend)
    unclaimed = max((await oldest_unclaimed(db)).values(), default=0.0)
    if tables.oldest_takable > LATE:
        detail = f"the oldest run is due for {tables.oldest_takable:.0f} s"
        yield wrong("dispatches", detail, "add runners; see whether a control plane logs `relay waits`")
    elif unclaimed > LATE:
        detail = f"the oldest run was sent and waits for {unclaimed:.0f} s"
        yield wrong("dispatches", detail, "add runners; see whether one logs `consumer is away`")
    elif full := tables.due - tables.takable:
        detail = f"{tables.due} due, of which {full} wait until their tenants' limits leave room"
        yield note("dispatches", detail, "raise max_runs_in_flight of those tenants, or let them wait")
    else:
        yield ok("dispatches", f"{tables.due} due, the oldest for {tables.oldest_takable:.0f} s")
    if left := await db.fetchval(_sql.left_claims):
        yield wrong(
            "claims",
            f"{left} runs are held by nobody who lives",
            "see why a control plane logs `sweeper waits`",
        )
    yield _partitions(await _row(db, _sql.partitions), partitions)
    letters = await _row(db, _sql.dead_letters)
    if letters["open"]:
        detail = f"{letters['open']} are open, {letters['nobodys']} of them nobody's"
        yield note(
            "dead letters", detail, "headrace dead-letters groups; docs/guides/recovery.md#dead-letters"
        )
    else:
        yield ok("dead letters", "none is open")
    yield _deletions(await _row(db, _sql.deletions))


def _partitions(row: asyncpg.Record, partitions: int) -> Finding:
    if row["highest"] >= partitions:
        detail = f"partition {row['highest']} has been worked on, and HEADRACE_PARTITIONS is {partitions}"
        return wrong("partitions", detail, "put the number back that the deployment began with")
    if missing := sorted(set(range(partitions)) - set(row["leased"])):
        detail = f"nobody reports {', '.join(f'events.{n}' for n in missing)}"
        return wrong("partitions", detail, "start a reporter; see whether one logs `partition leases wait`")
    return ok("partitions", f"all {partitions} are reported")


def _deletions(row: asyncpg.Record) -> Finding:
    if row["overdue"]:
        detail = (
            f"{row['overdue']} tenants should have been deleted, the oldest {row['oldest_hours']:.0f} h ago"
        )
        return wrong("deletions", detail, "see why a control plane logs `deletions of tenants wait`")
    if row["asked"]:
        detail = f"{row['asked']} tenants are to be deleted, the next at {row['next']:%Y-%m-%d %H:%M}Z"
        return note("deletions", detail, "headrace tenants keep, if one of them is not to go")
    return ok("deletions", "no tenant is to be deleted")


def _audit(unsealed: asyncpg.Record) -> Finding:
    if unsealed["oldest_seconds"] > LATE:
        detail = f"{unsealed['waiting']} records wait for {unsealed['oldest_seconds']:.0f} s"
        return wrong("audit", detail, "see why a control plane logs `audit sealer waits`")
    return ok("audit", f"{unsealed['waiting']} records to be sealed")
