"""RabbitMQ without Docker: Debian's package, as a child process with its own folder, ports and cookie."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import child
import stopping

START_SECONDS = 90.0
STOP_SECONDS = 30.0

_PACKAGED = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_POLICY = Path("/usr/sbin/policy-rc.d")
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
# Schedulers that spin while idle would take the tests' own cores.
_ERLANG_ARGUMENTS = "-noinput +sbwt none +sbwtdcpu none +sbwtdio none"


def program() -> Path | None:
    """The server's own script; Debian's wrapper on the PATH would change user and folder."""
    if _PACKAGED.exists():
        return _PACKAGED
    found = shutil.which("rabbitmq-server")
    return Path(found) if found else None


def install() -> None:
    """Install Debian's `rabbitmq-server` if it is missing; its service is neither started nor enabled.

    Needs root and apt; `SystemExit` says so where they are not there.
    """
    if program():
        return
    if not shutil.which("apt-get"):
        raise SystemExit("RabbitMQ: no apt-get here; install rabbitmq-server 3.10 or newer by hand")
    if os.geteuid() != 0:
        raise SystemExit(
            f"RabbitMQ: installing needs root: sudo {sys.executable} deploy/local install rabbitmq"
        )
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _services_kept_down():
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "rabbitmq-server"],
            check=True,
            env=quiet,
            stdout=subprocess.DEVNULL,
        )
    if shutil.which("systemctl"):
        subprocess.run(["systemctl", "disable", "--quiet", "rabbitmq-server"], check=False)


@contextlib.contextmanager
def _services_kept_down() -> Iterator[None]:
    """Debian starts a service as it installs it, unless policy-rc.d says 101 (invoke-rc.d(8))."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


@contextlib.contextmanager
def running(
    port: int | None = None, data: Path | None = None, management_port: int | None = None
) -> Iterator[str]:
    """A broker on the loopback; gives its AMQP address, and ends its processes by their ids on leaving.

    With the same `port` and `data` again, a broker goes on from where its forerunner stood. With a `management_port` it
    has the management plugin's HTTP API there, with figures a second old. Raises
    `FileNotFoundError` when it is not installed, `RuntimeError` when the port is taken, and with the log's end when it
    does not start.
    """
    script = program()
    if script is None:
        raise FileNotFoundError("RabbitMQ is not installed: python deploy/local install rabbitmq")
    port = port or child.spare_port()
    child.require_free(port)
    with contextlib.ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-rabbitmq-")))
        folder.mkdir(parents=True, exist_ok=True)
        environment = _environment(folder, port)
        if management_port is not None:
            _with_management(folder, management_port)
        (folder / "environment.json").write_text(json.dumps(environment))
        stack.enter_context(_child(["epmd", "-port", environment["ERL_EPMD_PORT"]], environment, folder))
        # Data that nobody will see again needs no tidy end, which takes seconds.
        server = stack.enter_context(_child([str(script)], environment, folder, in_order=data is not None))
        _wait_until_ready(server, port, folder)
        yield f"amqp://guest:guest@127.0.0.1:{port}/%2F"


def control(data: Path, *arguments: str) -> str:
    """What `rabbitmqctl` says to `arguments`, asked of the broker that runs on `data`."""
    script = program()
    if script is None:
        raise FileNotFoundError("RabbitMQ is not installed: python deploy/local install rabbitmq")
    environment = json.loads((data / "environment.json").read_text())
    answer = subprocess.run(
        [str(script.with_name("rabbitmqctl")), *arguments],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return answer.stdout


def _environment(folder: Path, port: int) -> dict[str, str]:
    cookie = folder / ".erlang.cookie"
    if not cookie.exists():
        cookie.touch(0o600)
        cookie.write_text(secrets.token_hex(20))
        cookie.chmod(0o400)
    (folder / "enabled_plugins").write_text("[].\n")
    (folder / "rabbitmq.conf").write_text("disk_free_limit.absolute = 50MB\n")
    return {
        "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        # A mapper of our own: the usual one is a daemon that would stay behind.
        "ERL_EPMD_PORT": str(child.spare_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # The folder's name is tied to the node's, so a restart needs the same.
        "RABBITMQ_NODENAME": f"headrace-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(child.spare_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        # Settings of a system-wide broker are none of ours.
        "RABBITMQ_CONF_ENV_FILE": str(folder / "absent.conf"),
        # The script then becomes the virtual machine, rather than its parent, so that we can reap it.
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG_ARGUMENTS,
    }


def _with_management(folder: Path, port: int) -> None:
    (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
    with (folder / "rabbitmq.conf").open("a") as configuration:
        configuration.write(f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n")
        configuration.write("collect_statistics_interval = 1000\n")


@contextlib.contextmanager
def _child(
    command: list[str], environment: dict[str, str], folder: Path, *, in_order: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """A process and its group, ended together and reaped."""

    def end(process: subprocess.Popen[bytes]) -> None:
        if in_order and process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    with (
        (folder / "console.log").open("ab") as console,
        child.running(
            command,
            end,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        ) as process,
    ):
        yield process


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        stopping.check()
        if server.poll() is not None:
            raise RuntimeError(f"RabbitMQ ended while starting:\n{_end_of(folder / 'console.log')}")
        if _greets(port):
            return
        time.sleep(0.1)
    raise RuntimeError(f"RabbitMQ was not ready in {START_SECONDS:.0f} s:\n{_end_of(folder / 'console.log')}")


def _greets(port: int) -> bool:
    """Whether a broker answers the protocol header with Connection.Start (AMQP 0-9-1, 2.2.4)."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        peer.sendall(_PROTOCOL_HEADER)
        return peer.recv(1) == b"\x01"
    return False


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
