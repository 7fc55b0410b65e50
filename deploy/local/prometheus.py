"""Prometheus and promtool without Docker: Debian's package, unpacked beside this file and not installed."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import child

_CACHE = Path(__file__).resolve().parent / ".cache" / "prometheus"


def program(name: str = "prometheus") -> Path | None:
    """`prometheus` or `promtool`: on the PATH, else what `install` unpacked."""
    if found := shutil.which(name):
        return Path(found)
    unpacked = _CACHE / "usr" / "bin" / name
    return unpacked if unpacked.exists() else None


def install() -> None:
    """Fetch Debian's `prometheus` and unpack it, unless it is there. `SystemExit` says so where there is no apt."""
    if program() and program("promtool"):
        return
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise SystemExit("Prometheus: no apt-get here; install prometheus 2.40 or newer by hand")
    with tempfile.TemporaryDirectory(prefix="headrace-prometheus-") as folder:
        fetch = ["apt-get", "download", "-qq", "prometheus"]
        if subprocess.run(fetch, cwd=folder, check=False, capture_output=True).returncode != 0:
            if os.geteuid() != 0:
                raise SystemExit("Prometheus: apt knows no package of that name: sudo apt-get update")
            subprocess.run(["apt-get", "update", "-qq"], check=True)
            subprocess.run(fetch, cwd=folder, check=True)
        (package,) = Path(folder).glob("prometheus_*.deb")
        # Renamed when it is whole: one that is half there would be taken for installed.
        unfinished = _CACHE.with_name(f"prometheus-{os.getpid()}.part")
        unfinished.mkdir(parents=True)
        try:
            subprocess.run(["dpkg-deb", "--extract", str(package), str(unfinished)], check=True)
            if not (program() and program("promtool")):
                shutil.rmtree(_CACHE, ignore_errors=True)
            child.keep(unfinished, _CACHE)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def running(configuration: Path) -> Iterator[str]:
    """A server on the loopback with this configuration; gives its address, and ends its process by its id on leaving.

    Raises `FileNotFoundError` when none is installed, `RuntimeError` with its output's end when it does not start.
    """
    server = program()
    if server is None:
        raise FileNotFoundError("no Prometheus is installed: python deploy/local install prometheus")
    port = child.spare_port()
    with tempfile.TemporaryDirectory(prefix="headrace-prometheus-") as folder:
        command = [
            str(server),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with child.listening(command, port, Path(folder)):
            yield f"http://127.0.0.1:{port}"
