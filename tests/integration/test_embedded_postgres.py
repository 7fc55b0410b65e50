"""The embedded server: it starts, keeps its data, is closed to others, and goes with who started it."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import psutil
import pytest
from headrace.errors import DatabaseUnavailable
from headrace.postgres.migrate import migrate
from headrace_cli import embedded_postgres as module
from headrace_cli.embedded_postgres import EmbeddedPostgres, embedded_postgres, running_postgres


def pid_of(folder: Path) -> int:
    return int((folder / "postmaster.pid").read_text().split()[0])


async def test_data_outlives_the_server_and_the_server_ends(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running_postgres(folder) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE kept (word text)")
        await connection.execute("INSERT INTO kept VALUES ('äöü')")
        await connection.close()
        server = psutil.Process(pid_of(folder))
    assert not server.is_running()
    with running_postgres(folder) as dsn:
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT upper(word) FROM kept") == "ÄÖÜ"
        # Connected still: a server that waits for its clients would not end.
    connection.terminate()


async def test_two_servers_run_beside_each_other(tmp_path: Path) -> None:
    with running_postgres(tmp_path / "a") as a, running_postgres(tmp_path / "b") as b:
        for dsn, value in ((a, 1), (b, 2)):
            connection = await asyncpg.connect(dsn)
            await connection.execute(f"CREATE TABLE mine AS SELECT {value} AS value")
            await connection.close()


def test_it_is_closed_to_others_and_to_the_network(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running_postgres(folder) as dsn:
        sockets = Path(unquote(urlsplit(dsn).query.removeprefix("host=")))
        assert sockets.stat().st_mode & 0o077 == 0
        server = psutil.Process(pid_of(folder))
        assert [c for c in server.net_connections("inet") if c.status == psutil.CONN_LISTEN] == []
        assert server.uids().real != 0


async def test_a_folder_with_a_name_too_long_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long and spaced " * 8)
    with running_postgres(folder) as dsn:
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        sockets = Path(unquote(urlsplit(dsn).query.removeprefix("host=")))
    assert not sockets.exists()


async def test_a_schema_that_was_just_made_outlives_a_crash(tmp_path: Path) -> None:
    folder, migrations = tmp_path / "data", "headrace_control.migrations"
    with running_postgres(folder) as dsn:
        assert await migrate(dsn, migrations)
        os.kill(pid_of(folder), signal.SIGQUIT)  # it ends at once, and writes nothing more
    with running_postgres(folder) as dsn:
        assert await migrate(dsn, migrations) == []


def test_a_cluster_left_half_made_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "base").mkdir(parents=True)
    with running_postgres(folder):
        assert (folder / "PG_VERSION").exists()


def test_what_does_not_start_says_where_to_look(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running_postgres(folder):
        pass
    (folder / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(DatabaseUnavailable, match="log"), running_postgres(folder):
        pass


async def test_one_that_was_killed_is_started_again_with_its_data(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    heard: asyncio.Queue[str] = asyncio.Queue()
    with embedded_postgres(folder) as server:
        connection = await asyncpg.connect(server.dsn)
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        killed = pid_of(folder)
        keeping = asyncio.create_task(server.keep(heard.put_nowait))
        os.kill(killed, signal.SIGKILL)
        assert "ended with -9" in await heard.get()
        connection.terminate()
        async with asyncio.timeout(60):
            while True:
                try:
                    connection = await asyncpg.connect(server.dsn)
                    break
                except (OSError, asyncpg.PostgresError):
                    await asyncio.sleep(0.05)  # nothing tells that it takes connections
        assert await connection.fetchval("SELECT value FROM kept") == 7
        connection.terminate()
        keeping.cancel()
        again = psutil.Process(pid_of(folder))
        assert again.pid != killed
    assert not again.is_running()


async def test_one_that_recovers_for_long_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that others keep busy a recovery takes longer than a server may otherwise take to start."""
    monkeypatch.setattr(module, "_START_SECONDS", 0.0)
    server = EmbeddedPostgres(tmp_path, tmp_path, tmp_path, None)
    pid_file = tmp_path / "postmaster.pid"
    with subprocess.Popen(["sleep", "600"]) as recovering:
        try:
            monkeypatch.setattr(server, "_launch", lambda: recovering)
            starting = asyncio.create_task(server._start_again())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(starting), 0.5)
            pid_file.write_text(f"{recovering.pid}\n" + "\n" * 6 + "ready   \n")
            await asyncio.wait_for(starting, 30)
            pid_file.unlink()
            monkeypatch.setattr(module, "_RECOVERY_SECONDS", 0.0)
            with pytest.raises(DatabaseUnavailable, match="log"):
                await server._start_again()
        finally:
            recovering.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="syncfs is Linux's")
async def test_a_recovery_waits_for_the_disk_once_and_not_for_each_file(tmp_path: Path) -> None:
    with running_postgres(tmp_path / "data") as dsn:
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SHOW recovery_init_sync_method") == "syncfs"
        await connection.close()


OWNER = """
import sys, time
from pathlib import Path
from headrace_cli.embedded_postgres import running_postgres
with running_postgres(Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word to orphans is Linux's")
def test_it_ends_with_who_started_it_and_starts_again_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"up\n"
        orphan = psutil.Process(pid_of(folder))
        os.kill(owner.pid, signal.SIGKILL)
    with running_postgres(folder):
        assert pid_of(folder) != orphan.pid
