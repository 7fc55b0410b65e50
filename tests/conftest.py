"""Fixtures that every suite shares: a real Postgres, and a fresh migrated database per test."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from databases import fresh_database, migrated_database
from hypothesis import settings
from older_postgres import running_older_postgres

pytest_plugins = [
    "fixtures_parallel",
    "fixtures_rabbitmq",
    "fixtures_bus",
    "fixtures_mongodb",
    "fixtures_claims",
    "fixtures_fleet",
    "fixtures_oauth2",
    "fixtures_edge",
]

# Where a change is judged, by the same examples each time; whoever works on it gets new ones with each run.
if os.environ.get("HEADRACE_REQUIRE_SERVICES") == "1":
    settings.register_profile("judged", derandomize=True)
    settings.load_profile("judged")

_MEMORY = Path("/dev/shm")
_ROOM = 4 * 1024**3


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The DSN of a real Postgres: HEADRACE_TEST_POSTGRES_URL, else the server from the wheel."""
    if given := os.environ.get("HEADRACE_TEST_POSTGRES_URL"):
        yield given
        return
    from headrace_cli.embedded_postgres import running_postgres

    # Not below pytest's own folder: for root the server runs as another user, and the next pytest that starts
    # on this machine takes everybody else's access to that folder away.
    with (
        tempfile.TemporaryDirectory(prefix="headrace-postgres-", dir=_in_memory()) as folder,
        running_postgres(Path(folder)) as dsn,
    ):
        asyncio.run(_made_to_be_lost(dsn))
        yield dsn


@pytest.fixture(scope="session")
def older_postgres(postgres: str) -> Iterator[str]:
    """The DSN of an older server, which the wheel has beside the newest; or of the one that was given."""
    if os.environ.get("HEADRACE_TEST_POSTGRES_URL"):
        yield postgres
        return
    with (
        tempfile.TemporaryDirectory(prefix="headrace-postgres-", dir=_in_memory()) as folder,
        running_older_postgres(Path(folder)) as dsn,
    ):
        asyncio.run(_made_to_be_lost(dsn))
        yield dsn


def _in_memory() -> Path | None:
    """Where files are in memory, if there is room; None: the system's place for what is passing.

    Each test's database is six hundred files, which on a busy disk take longer than most tests.
    """
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ROOM:
        return None
    return _MEMORY


async def _made_to_be_lost(dsn: str) -> None:
    """Nothing here has to outlive the machine, and a database is made for nearly every test.

    Without whole pages in the WAL, what a run writes is also the same when there has just been a checkpoint.
    """
    connection = await asyncpg.connect(dsn)
    for setting, value in (("fsync", "off"), ("full_page_writes", "off"), ("max_wal_size", "'256MB'")):
        await connection.execute(f"ALTER SYSTEM SET {setting} = {value}")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """The name of a database with the newest schema, to be cloned."""
    return asyncio.run(migrated_database(postgres))


@pytest.fixture(scope="session")
def older_template(older_postgres: str) -> str:
    """As `template`, on the older server."""
    return asyncio.run(migrated_database(older_postgres))


@pytest.fixture(params=["newest", "older"])
async def each_server(
    request: pytest.FixtureRequest, postgres: str, template: str, older_postgres: str, older_template: str
) -> AsyncIterator[str]:
    """As `database`, on each of the two servers in turn: for what hangs on how a release of Postgres reads."""
    place = (postgres, template) if request.param == "newest" else (older_postgres, older_template)
    async with fresh_database(*place) as dsn:
        yield dsn


@pytest.fixture
async def database(postgres: str, template: str) -> AsyncIterator[str]:
    """The DSN of a fresh, migrated database of this test alone."""
    async with fresh_database(postgres, template) as dsn:
        yield dsn
