"""An OAuth2 server: oidc-provider, a certified one from npm, with the settings of oidc-provider/server.mjs."""

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
_SOURCE = _HERE / "oidc-provider"
_FILES = ("package.json", "package-lock.json", "server.mjs")
_CACHE = _HERE / ".cache"


def program() -> Path | None:
    """The server's script, installed from the sources as they are now; None too when there is no node."""
    script = _installed() / "server.mjs"
    return script if shutil.which("node") and script.exists() else None


def install() -> None:
    """Install the packages of package-lock.json with the npm on the PATH; a few seconds.

    `SystemExit` says what is missing. No package's own script is run.
    """
    if program():
        return
    if not (shutil.which("node") and shutil.which("npm")):
        raise SystemExit("OAuth2: node and npm are needed on the PATH; install Node.js 20 or newer")
    unfinished = _CACHE / f"oidc-provider-{os.getpid()}.part"
    unfinished.mkdir(parents=True)
    try:
        for name in _FILES:
            shutil.copy(_SOURCE / name, unfinished)
        subprocess.run(
            ["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=unfinished,
            check=True,
        )
        child.keep(unfinished, _installed())
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def running(port: int | None = None, data: Path | None = None) -> Iterator[str]:
    """The server on the loopback; gives its address, and ends its process by its id on leaving.

    It keeps nothing; `data` is for its output. Raises `FileNotFoundError` when it is not installed,
    `RuntimeError` with its output's end when it does not start.
    """
    script = program()
    if script is None:
        raise FileNotFoundError("no OAuth2 server is installed: python deploy/local install oauth2")
    port = port or child.spare_port()
    with contextlib.ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-oauth2-")))
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(child.listening(["node", str(script), str(port)], port, folder))
        yield f"http://127.0.0.1:{port}"


def _installed() -> Path:
    """Named by what it is made from, so that a change is installed anew."""
    sources = b"\0".join((_SOURCE / name).read_bytes() for name in _FILES)
    return _CACHE / f"oidc-provider-{hashlib.sha256(sources).hexdigest()[:16]}"
