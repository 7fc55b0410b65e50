"""Migrations in two phases, beside services that are at work: what is applied when, what waits, and what is refused."""

import asyncio
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from databases import fresh_database
from headrace.errors import Conflict, DatabaseUnavailable, InvalidInput
from headrace.postgres import migrate as migrating
from headrace.postgres.migrate import migrate
from headrace.postgres.migrations import Phase
from headrace.postgres.pool import WORKER, open_pool
from headrace.postgres.release import NEEDED, SCHEMA
from headrace.postgres.schema import check_schema


@pytest.fixture
async def empty(postgres: str) -> AsyncIterator[str]:
    async with fresh_database(postgres) as dsn:
        yield dsn


class Release:
    """A package of migrations that grows."""

    def __init__(self, folder: Path) -> None:
        self.package = f"release_{uuid.uuid4().hex[:8]}"
        self._folder = folder / self.package
        self._folder.mkdir()
        (self._folder / "__init__.py").touch()

    def add(self, name: str, text: str) -> None:
        (self._folder / f"{name}.sql").write_text(textwrap.dedent(text).lstrip())


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Release(tmp_path)
    made.add("0001_notes", "CREATE TABLE notes (id int PRIMARY KEY, text text, old text);")
    return made


@pytest.fixture
async def db(empty: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty)
    yield connection
    await connection.close()


async def _columns(db: asyncpg.Connection) -> list[str]:
    return [
        row["attname"]
        for row in await db.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'notes'::regclass AND attnum > 0 AND NOT attisdropped"
        )
    ]


DROP_OLD = """
    -- phase: contract
    -- needs: 0002
    ALTER TABLE notes DROP COLUMN old;
"""


DROP_INDEX = """
    -- phase: contract
    -- needs: 0002
    -- transaction: none
    DROP INDEX CONCURRENTLY IF EXISTS notes_pkey_again;
"""


async def test_a_contract_waits_until_it_is_asked_for(
    empty: str, release: Release, db: asyncpg.Connection
) -> None:
    await migrate(empty, release.package)
    release.add("0002_new", "-- phase: expand\nALTER TABLE notes ADD COLUMN new text;")
    release.add("0003_without_old", DROP_OLD)
    release.add("0004_newer", "-- phase: expand\nALTER TABLE notes ADD COLUMN newer text;")
    assert await migrate(empty, release.package) == ["0002_new.sql", "0004_newer.sql"]
    assert await _columns(db) == ["id", "text", "old", "new", "newer"]
    assert await migrate(empty, release.package, Phase.CONTRACT) == ["0003_without_old.sql"]
    assert await _columns(db) == ["id", "text", "new", "newer"]


async def test_where_there_is_nothing_yet_everything_is_applied(empty: str, release: Release) -> None:
    release.add("0002_new", "-- phase: expand\nALTER TABLE notes ADD COLUMN new text;")
    release.add("0003_without_old", DROP_OLD)
    assert len(await migrate(empty, release.package)) == 3


@pytest.mark.parametrize("contract", [DROP_OLD, DROP_INDEX])
@pytest.mark.parametrize("knows", ["headrace:headrace_worker", "headrace:headrace_api/1"])
async def test_a_contract_is_refused_while_somebody_needs_what_it_takes(
    empty: str, release: Release, knows: str, contract: str
) -> None:
    await migrate(empty, release.package)
    release.add("0002_new", "-- phase: expand\nALTER TABLE notes ADD COLUMN new text;")
    release.add("0003_without_old", contract)
    older = await asyncpg.connect(empty, server_settings={"application_name": knows})
    with pytest.raises(Conflict, match=r"0003_without_old.*1 of headrace:headrace_"):
        await migrate(empty, release.package, Phase.CONTRACT)
    await older.close()
    newer = await asyncpg.connect(empty, server_settings={"application_name": "headrace:headrace_api/2"})
    assert await migrate(empty, release.package, Phase.CONTRACT) == ["0003_without_old.sql"]
    await newer.close()


async def test_who_waits_for_a_lock_holds_nobody_up(
    empty: str, release: Release, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "LOCK_MILLISECONDS", 50)
    await migrate(empty, release.package)
    release.add("0002_new", "-- phase: expand\nALTER TABLE notes ADD COLUMN new text;")
    reading = db.transaction()
    await reading.start()
    await db.fetch("SELECT FROM notes")
    applying = asyncio.create_task(migrate(empty, release.package))
    other = await asyncpg.connect(empty)
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'notes'::regclass"
    async with asyncio.timeout(20):
        while not await other.fetchval(waits):
            await asyncio.sleep(0.005)  # nothing tells of a lock that is waited for
    await other.fetch("SELECT FROM notes", timeout=20)
    assert not applying.done()
    await reading.rollback()
    assert await applying == ["0002_new.sql"]
    await other.close()


async def test_who_never_gets_its_locks_says_so(
    empty: str, release: Release, db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "LOCK_MILLISECONDS", 20)
    monkeypatch.setattr(migrating, "TRIES", 2)
    await migrate(empty, release.package)
    release.add("0002_new", "-- phase: expand\nALTER TABLE notes ADD COLUMN new text;")
    async with db.transaction():
        await db.fetch("SELECT FROM notes")
        with pytest.raises(DatabaseUnavailable, match="0002_new"):
            await migrate(empty, release.package)


async def test_an_index_is_built_beside_writers_and_after_an_unfinished_try(
    empty: str, release: Release, db: asyncpg.Connection
) -> None:
    await migrate(empty, release.package)
    await db.execute("INSERT INTO notes VALUES (1, 'a'), (2, 'a')")
    release.add(
        "0002_by_text",
        """
        -- phase: expand
        -- transaction: none
        -- One for each text.
        CREATE UNIQUE INDEX CONCURRENTLY notes_by_text ON notes (text)
            WHERE text IS NOT NULL;
        """,
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await migrate(empty, release.package)  # leaves an index behind that is not valid
    await db.execute("DELETE FROM notes WHERE id = 2")
    # Two at once: one waits, without a snapshot that the other's index would wait for.
    assert sorted(await asyncio.gather(*(migrate(empty, release.package) for _ in range(2)))) == [
        [],
        ["0002_by_text.sql"],
    ]
    assert await db.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'notes_by_text'::regclass")


async def test_an_index_of_a_table_in_parts_is_built_part_by_part(
    empty: str, release: Release, db: asyncpg.Connection
) -> None:
    release.add(
        "0002_days",
        """
        -- phase: expand
        CREATE TABLE days (id int, a int) PARTITION BY RANGE (id);
        CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (10);
        CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM (10) TO (20);
        """,
    )
    await migrate(empty, release.package)
    release.add(
        "0003_by_a",
        "-- phase: expand\n-- transaction: none\nCREATE INDEX CONCURRENTLY days_by_a ON days (a);",
    )
    assert await migrate(empty, release.package) == ["0003_by_a.sql"]
    await db.execute("CREATE TABLE days_3 PARTITION OF days FOR VALUES FROM (20) TO (30)")
    attached = await db.fetch(
        """SELECT t.relname AS part, i.indisvalid AS valid FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
           WHERE t.relname LIKE 'days%' ORDER BY 1"""
    )
    assert [(row["part"], row["valid"]) for row in attached] == [
        ("days", True),
        ("days_1", True),
        ("days_2", True),
        ("days_3", True),
    ]


async def test_a_column_may_be_added_with_its_index(
    empty: str, release: Release, db: asyncpg.Connection
) -> None:
    await migrate(empty, release.package)
    release.add(
        "0002_new",
        "-- phase: expand\n-- transaction: none\nALTER TABLE notes ADD COLUMN IF NOT EXISTS kind text;\n"
        "CREATE INDEX CONCURRENTLY notes_kinds ON notes (kind) WHERE kind IS NOT NULL;",
    )
    await db.execute("ALTER TABLE notes ADD COLUMN kind text")  # by a try that was killed behind it
    assert await migrate(empty, release.package) == ["0002_new.sql"]
    assert await db.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'notes_kinds'::regclass")


async def test_without_a_transaction_only_indexes_are_made(empty: str, release: Release) -> None:
    release.add("0002_else", "-- transaction: none\nALTER TABLE notes DROP COLUMN old;")
    with pytest.raises(InvalidInput, match="0002_else"):
        await migrate(empty, release.package)


async def test_a_service_looks_whether_the_schema_is_its_own(database: str) -> None:
    owner = await asyncpg.connect(database)
    pool = await open_pool(database, WORKER)

    async def looked_at() -> None:
        async with pool.acquire() as session:
            await check_schema(session)

    await looked_at()
    note = "INSERT INTO schema_migrations (name, digest, phase, needs) VALUES ($1, '', $2, $3)"
    await owner.execute(note, "9001_more.sql", "expand", None)
    await owner.execute(note, "9002_less.sql", "contract", SCHEMA)
    await looked_at()
    await owner.execute(note, "9003_less.sql", "contract", 9001)
    with pytest.raises(InvalidInput, match=f"9001.*{SCHEMA:04}"):
        await looked_at()
    await owner.execute("DELETE FROM schema_migrations WHERE left(name, 4)::int >= $1", NEEDED)
    with pytest.raises(DatabaseUnavailable, match="headrace migrate"):
        await looked_at()
    await pool.close()
    await owner.close()


async def test_a_service_whose_schema_is_too_old_leaves_and_comes_again(
    database: str, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute("DELETE FROM schema_migrations WHERE left(name, 4)::int >= $1", NEEDED)
    await owner.close()
    reporter = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headrace_reporter",
        env={
            "HEADRACE_DATABASE_URL": database,
            "HEADRACE_BUS_URL": database,
            "HEADRACE_LOG_STORE_URL": database,
        },
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    _, said = await reporter.communicate()
    assert reporter.returncode == 4
    assert b"HEADRACE_DATABASE_URL: the schema is older" in said
