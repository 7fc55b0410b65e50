"""Bring a database to the newest schema, one numbered file after another, under a lock.

Each file is applied once, in its own transaction, and its digest is kept: a file that was changed after it was applied
is refused, because nobody could say what the database then holds. Services work on the database meanwhile: a statement
that does not get its locks at once gives way and is tried again, so that nobody queues up behind it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import asyncpg

from headrace.errors import Conflict, DatabaseUnavailable
from headrace.postgres.concurrently import build
from headrace.postgres.migrations import Migration, Phase, read_migrations
from headrace.postgres.pool import connecting, session_name, translated

_LOCK = 0x48454144  # "HEAD": one migration at a time per database
_LOOK_AGAIN = 0.2

# How long a statement may hold up those who come after it, and how often it is tried: a minute and a half in all.
LOCK_MILLISECONDS = 1000
TRIES = 40
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.5

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    digest     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_COLUMNS = (
    "SELECT count(*) FROM pg_attribute WHERE attrelid = 'schema_migrations'::regclass AND attname = 'needs'"
)
_ADD_COLUMNS = (
    "ALTER TABLE schema_migrations ADD COLUMN phase text NOT NULL DEFAULT 'expand', ADD COLUMN needs integer"
)

# Sessions of services say which schema they know; those of releases before that say nothing.
_OLDER = """
SELECT split_part(application_name, '/', 1) AS who, count(*) AS sessions
FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'headrace:%' AND application_name <> $2
  AND coalesce(nullif(split_part(application_name, '/', 2), ''), '0')::int < $1
GROUP BY 1 ORDER BY 1
"""


async def migrate(dsn: str, package: str, phase: Phase = Phase.EXPAND) -> list[str]:
    """Apply what is missing of the `.sql` files in `package`; the names applied, oldest first.

    Contracts are applied when `phase` is `CONTRACT`, and where there is nothing yet. Needs a login that may create
    roles and tables. Safe to call from many processes at once. Raises `DatabaseUnavailable`, also when locks are not to
    be had; `Conflict` for a file that was changed, and for a contract while a service is connected that does not know
    what the contract needs.
    """
    scripts = read_migrations(package)
    with translated(), connecting():
        db = await asyncpg.connect(
            dsn, timeout=10, server_settings={"application_name": session_name("migrate")}
        )
    try:
        # Not waited for inside of Postgres: a session that waits there has a snapshot, and an index that is being built
        # concurrently waits for all of those.
        while not await db.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN)
        return await _apply(db, scripts, phase)
    finally:
        await db.close(timeout=5)


async def _apply(db: asyncpg.Connection, scripts: Sequence[Migration], phase: Phase) -> list[str]:
    await db.execute(_TABLE)
    if not await db.fetchval(_COLUMNS):
        await db.execute(_ADD_COLUMNS)
    done = {
        row["name"]: row["digest"] for row in await db.fetch("SELECT name, digest FROM schema_migrations")
    }
    due = _due(scripts, done, contracts=phase is Phase.CONTRACT or not done)
    if not done:
        await _apply_hurriedly(db, due[:-1])
    for script in due if done else due[-1:]:
        await _apply_one(db, script)
    return [script.name for script in due]


def _due(scripts: Sequence[Migration], done: Mapping[str, str], *, contracts: bool) -> list[Migration]:
    """Those to apply; `done` are the digests of those that were applied."""
    for script in scripts:
        if done.get(script.name, script.digest) != script.digest:
            raise Conflict(f"migration {script.name} was changed after it was applied")
    return [s for s in scripts if s.name not in done and (contracts or s.phase is Phase.EXPAND)]


async def _apply_hurriedly(db: asyncpg.Connection, scripts: Sequence[Migration]) -> None:
    """Without waiting for the disk after each, of which nobody knows yet; the next commit waits for all before it."""
    await db.execute("SET synchronous_commit = off")
    for script in scripts:
        await _apply_one(db, script)
    await db.execute("RESET synchronous_commit")


async def _refuse_while_needed(db: asyncpg.Connection, contract: Migration) -> None:
    if contract.needs is None:
        return
    older = await db.fetch(_OLDER, contract.needs, session_name("migrate"))
    if older:
        who = ", ".join(f"{row['sessions']} of {row['who']}" for row in older)
        raise Conflict(
            f"{contract.name} takes away what services need that are connected now ({who}); "
            f"stop or upgrade those that do not know migration {contract.needs:04}"
        )


async def _apply_one(db: asyncpg.Connection, script: Migration) -> None:
    if script.in_transaction:
        await _patiently(script.name, lambda: _in_transaction(db, script))
        return

    async def statement(sql: str) -> None:
        async def once() -> None:
            async with db.transaction():
                await _give_way(db)
                await _refuse_while_needed(db, script)
                await db.execute(sql)

        await _patiently(script.name, once)

    await _refuse_while_needed(db, script)
    await build(db, script.name, script.text, statement)
    await _note(db, script)


async def _in_transaction(db: asyncpg.Connection, script: Migration) -> None:
    async with db.transaction():
        await _give_way(db)
        await db.execute(script.text)
        await _refuse_while_needed(db, script)  # now that it has its locks: somebody may have come meanwhile
        await _note(db, script)


async def _give_way(db: asyncpg.Connection) -> None:
    await db.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")


async def _note(db: asyncpg.Connection, script: Migration) -> None:
    await db.execute(
        "INSERT INTO schema_migrations (name, digest, phase, needs) VALUES ($1, $2, $3, $4)",
        script.name,
        script.digest,
        script.phase.value,
        script.needs,
    )


async def _patiently(name: str, apply: Callable[[], Awaitable[None]]) -> None:
    for tried in range(1, TRIES + 1):
        try:
            await apply()
            break
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if tried == TRIES:
                raise DatabaseUnavailable(
                    f"migration {name} does not get its locks: end the transactions that have been open for long "
                    "(pg_stat_activity), then try again"
                ) from error
            await asyncio.sleep(min(_FIRST_PAUSE * tried, _LONGEST_PAUSE))
