"""A MongoDB-protocol server without Docker: `mongod` where it is installed, else FerretDB over SQLite.

FerretDB 1.24 knows neither TTL nor text indexes, and reads a collection whole for each search: it shows that
the adapter is right, not how fast it is.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import child

_HERE = Path(__file__).resolve().parent
_SOURCE = _HERE / "ferretdb"
_CACHE = _HERE / ".cache"


def program() -> Path | None:
    """`mongod` on the PATH, else the FerretDB that `install` built from the sources as they are now."""
    if found := shutil.which("mongod"):
        return Path(found)
    built = _built()
    return built if built.exists() else None


def install() -> None:
    """Build FerretDB with the Go on the PATH, unless there is a server already; about a minute on two cores.

    Its modules come from the Go module proxy, checked against go.sum. `SystemExit` says what is missing.
    """
    if program():
        return
    go = shutil.which("go")
    if go is None:
        raise SystemExit(
            "MongoDB: neither mongod nor go is on the PATH; install Go 1.24 or newer, or MongoDB 6"
        )
    _CACHE.mkdir(exist_ok=True)
    unfinished = _CACHE / f"ferretdb-{os.getpid()}.part"
    try:
        subprocess.run([go, "build", "-trimpath", "-o", str(unfinished), "."], cwd=_SOURCE, check=True)
        unfinished.replace(_built())
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def running(port: int | None = None, data: Path | None = None) -> Iterator[str]:
    """A server on the loopback; gives its address, and ends its process by its id on leaving.

    With the same `data` again, it goes on with what was stored. Raises `FileNotFoundError` when none is
    installed, `RuntimeError` with its output's end when it does not start.
    """
    server = program()
    if server is None:
        raise FileNotFoundError("no MongoDB server is installed: python deploy/local install mongodb")
    port = port or child.spare_port()
    with contextlib.ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-mongodb-")))
        folder.mkdir(parents=True, exist_ok=True)
        # FerretDB ends when its standard input does, so that it can not outlive us.
        stack.enter_context(child.listening(_command(server, port, folder), port, folder))
        yield f"mongodb://127.0.0.1:{port}/"


def _built() -> Path:
    """Named by what it is built from, so that a change is built anew."""
    sources = b"\0".join((_SOURCE / name).read_bytes() for name in ("main.go", "lazy.go", "go.mod", "go.sum"))
    return _CACHE / f"ferretdb-{hashlib.sha256(sources).hexdigest()[:16]}"


def _command(server: Path, port: int, folder: Path) -> list[str]:
    if server.name == "mongod":
        return [str(server), "--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", str(folder)]
    return [str(server), "-listen", f"127.0.0.1:{port}", "-data", str(folder)]
