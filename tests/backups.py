"""Two ways in which a deployment's Postgres is kept, and brought back elsewhere when it is lost."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import asyncpg
from databases import fresh_database, with_database
from headrace_cli.embedded_postgres import _programs, embedded_postgres

_DATABASE = "headrace"


class Kept(Protocol):
    """`database_url` is the deployment's, until it is lost."""

    database_url: str

    async def take(self) -> None:
        """What there is at this moment comes back, and nothing that is done later."""

    async def lose(self) -> None: ...

    async def bring_back(self) -> str:
        """Returns where it is now."""

    async def end_recovery(self) -> bool:
        """Whether what is brought back could only be read until now."""


@contextlib.asynccontextmanager
async def dumped(database_url: str, server: str, folder: Path) -> AsyncIterator[Kept]:
    """A dump, restored into another database of the server."""
    async with fresh_database(server) as restored:
        yield _Dump(database_url, restored, folder / "headrace.dump")


@contextlib.asynccontextmanager
async def archived(folder: Path) -> AsyncIterator[Kept]:
    """A server of its own that archives its WAL; from its first hour there is a base backup."""
    with contextlib.ExitStack() as servers:
        kept = _Archive(folder, servers)
        await kept.begin()
        yield kept


class _Dump:
    def __init__(self, database_url: str, restored: str, file: Path) -> None:
        self.database_url = database_url
        self._restored, self._file = restored, file

    async def take(self) -> None:
        await _program("pg_dump", "--format=custom", f"--file={self._file}", self.database_url)

    async def lose(self) -> None:
        async with _connected(self.database_url) as db:
            await db.execute("DROP SCHEMA public CASCADE")

    async def bring_back(self) -> str:
        await _program("pg_restore", "--exit-on-error", f"--dbname={self._restored}", str(self._file))
        return self._restored

    async def end_recovery(self) -> bool:
        return False


class _Archive:
    def __init__(self, folder: Path, servers: contextlib.ExitStack) -> None:
        self._data, self._base, self._wal = folder / "data", folder / "base", folder / "wal"
        self._servers = servers
        self.database_url = self._moment = self._restored = ""

    async def begin(self) -> None:
        self._wal.mkdir()
        _give_to_servers(self._wal)
        with embedded_postgres(self._data) as server:
            async with _connected(server.dsn) as db:
                await db.execute("ALTER SYSTEM SET archive_mode = on")
                await db.execute(f"ALTER SYSTEM SET archive_command = 'cp %p {self._wal}/%f'")
                await db.execute(f"CREATE DATABASE {_DATABASE}")
        dsn = self._start(self._data)
        self.database_url = with_database(dsn, _DATABASE)
        backup = _programs() / "pg_basebackup"
        await _program(str(backup), "--checkpoint=fast", f"--dbname={dsn}", f"--pgdata={self._base}")

    async def take(self) -> None:
        async with _connected(self.database_url) as db:
            self._moment = await db.fetchval("SELECT clock_timestamp()::text")

    async def lose(self) -> None:
        """All but the archive, when it has what was written up to now."""
        async with _connected(self.database_url) as db, asyncio.timeout(30):
            segment = await db.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
            while not await db.fetchval("SELECT last_archived_wal >= $1 FROM pg_stat_archiver", segment):
                await asyncio.sleep(0.05)  # nothing tells
        self._servers.close()
        shutil.rmtree(self._data)

    async def bring_back(self) -> str:
        (self._base / "recovery.signal").touch()
        with (self._base / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"restore_command = 'cp {self._wal}/%f %p'\n")
            settings.write(f"recovery_target_time = '{self._moment}'\n")
            settings.write("recovery_target_action = 'pause'\n")
        _give_to_servers(self._base)
        self._restored = with_database(self._start(self._base), _DATABASE)
        async with asyncio.timeout(60):
            while not await self._is("pg_get_wal_replay_pause_state() = 'paused'"):
                await asyncio.sleep(0.05)  # nothing tells
        return self._restored

    async def end_recovery(self) -> bool:
        await self._is("pg_wal_replay_resume() IS NULL")
        async with asyncio.timeout(60):
            while await self._is("pg_is_in_recovery()"):
                await asyncio.sleep(0.05)  # nothing tells
        return True

    async def _is(self, true: str) -> bool:
        async with _connected(self._restored) as db:
            return bool(await db.fetchval(f"SELECT {true}"))

    def _start(self, data: Path) -> str:
        dsn: str = self._servers.enter_context(embedded_postgres(data)).dsn
        return dsn


def _give_to_servers(folder: Path) -> None:
    """One that the superuser starts runs as nobody."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, "nobody")


@contextlib.asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    db = await asyncpg.connect(dsn)
    try:
        yield db
    finally:
        await db.close()


async def _program(name: str, *arguments: str) -> None:
    """One of Postgres's own: of the wheel, whose server it is, or of the machine where a test's server is given."""
    program = name if os.environ.get("HEADRACE_TEST_POSTGRES_URL") else str(_programs() / name)
    done = await asyncio.create_subprocess_exec(program, *arguments, stderr=asyncio.subprocess.PIPE)
    _, errors = await done.communicate()
    assert done.returncode == 0, errors.decode()
