"""`python deploy/local` where something is in its way: it says what, and leaves nothing half done."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest
import servers
from loopback import listens

LOCAL = Path(__file__).resolve().parents[2] / "deploy" / "local"
each_server = pytest.mark.parametrize("name", ["rabbitmq", "mongodb"])


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A copy of deploy/local with nothing installed."""
    ignored = shutil.ignore_patterns(".cache", "__pycache__")
    return shutil.copytree(LOCAL, tmp_path / "local", ignore=ignored)


def program(folder: Path, name: str, script: str) -> None:
    """A program of that name, alone in its folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


async def local(
    folder: Path, *arguments: str, path: str | None = None, options: tuple[str, ...] = ()
) -> tuple[int, str, str]:
    """Its exit code, and what it wrote to either stream."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *options,
        folder,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **({"PATH": path} if path else {})},
    )
    try:
        async with asyncio.timeout(60):
            said, complained = await process.communicate()
    except TimeoutError:
        process.terminate()
        raise
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


def required(name: str) -> None:
    if not servers.local(name).program():
        servers.missing(f"no {name} on this machine: python deploy/local install {name}")


@each_server
async def test_a_port_that_is_taken_is_said_and_not_taken_for_the_servers(name: str) -> None:
    required(name)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, said, complained = await local(LOCAL, "serve", name, "--port", str(port))
    assert (status, said) == (1, "")
    assert complained.startswith(f"port {port} can not be had")
    assert "Traceback" not in complained


@each_server
async def test_a_server_leaves_when_the_command_is_killed(name: str, tmp_path: Path) -> None:
    required(name)
    process = await asyncio.create_subprocess_exec(
        sys.executable, LOCAL, "serve", name, "--data", tmp_path / "data", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    address = (await process.stdout.readline()).decode()
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    port = int(address.rpartition(":")[2].partition("/")[0])
    async with asyncio.timeout(60):
        while await listens(port):
            await asyncio.sleep(0.05)  # nothing tells


async def test_a_command_that_is_not_there_is_named() -> None:
    required("mongodb")
    status, _, complained = await local(LOCAL, "run", "--only", "mongodb", "--", "no-such-command")
    assert (status, complained) == (127, "no-such-command: No such file or directory\n")


async def test_what_can_not_be_installed_says_why_and_keeps_nothing_else_from_it(
    elsewhere: Path, tmp_path: Path
) -> None:
    program(tmp_path / "bin", "go", """[ "$1" = mod ] && echo '{"Error": "no way to the proxy"}'; exit 1""")
    program(tmp_path / "bin", "node", "exit 0")
    program(tmp_path / "bin", "npm", "exit 0")
    status, said, complained = await local(
        elsewhere, "install", "mongodb", "helm", "oauth2", path=str(tmp_path / "bin")
    )
    assert (status, said) == (1, "oauth2: installed\n")
    assert "mongodb: `" in complained
    assert "Helm: k8s.io/kubernetes v1.30.14 can not be fetched: no way to the proxy" in complained
    assert "Traceback" not in complained


async def test_two_may_install_the_same_at_once(elsewhere: Path, tmp_path: Path) -> None:
    here = tmp_path / "begun"
    here.mkdir()
    # Neither goes on before both have begun.
    program(tmp_path / "bin", "npm", f"touch {here}/$$; until [ $(ls {here} | wc -l) = 2 ]; do :; done")
    program(tmp_path / "bin", "node", "exit 0")
    path = f"{tmp_path}/bin:{os.defpath}"
    answers = await asyncio.gather(*(local(elsewhere, "install", "oauth2", path=path) for _ in range(2)))
    assert answers == [(0, "oauth2: installed\n", "")] * 2
    assert not list((elsewhere / ".cache").glob("*.part"))


async def test_it_runs_on_a_python_with_nothing_installed(elsewhere: Path) -> None:
    status, said, complained = await local(elsewhere, "--help", options=("-I", "-S"))
    assert (status, complained) == (0, "")
    assert "install what is missing" in said
