"""The tutorial, done as it is written: its files, its commands, in its order."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fleet import free_port

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent


def ended(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    if process.stdout:
        process.stdout.close()


def blocks(port: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """Each block's language, its marks and its text, with a spare port for the API."""
    for language, marks, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        pairs = (mark.partition("=") for mark in marks.split())
        yield language, {name: value for name, _, value in pairs}, text.replace("9000", port)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "greeter").mkdir()
    return tmp_path


def answers(port: str) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", int(port))):
        return True
    return False


def started(folder: Path, port: str, environment: dict[str, str]) -> list[subprocess.Popen[str]]:
    """What the tutorial has in its first terminal."""
    api = subprocess.Popen(
        [sys.executable, "greeter/api.py"], cwd=folder, stderr=subprocess.DEVNULL, text=True
    )
    ports = ["--port", str(free_port()), "--internal-port", str(free_port())]
    dev = subprocess.Popen(
        [BIN / "headrace", "dev", "--allow", f"127.0.0.1:{port}", "--json", *ports],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert dev.stdout
    assert "url" in json.loads(dev.stdout.readline())
    deadline = time.monotonic() + 20
    while not answers(port):
        assert time.monotonic() < deadline
    return [api, dev]


def test_the_tutorial_works_as_it_is_written(folder: Path) -> None:
    port, running, shown = str(free_port()), [], ""
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(folder)}
    # One shell's memory for all blocks: what one exports, the next one has.
    memory = folder / "exports"
    memory.touch()
    try:
        for language, marks, text in blocks(port):
            title = marks.get("title")
            if title == "terminal-1":
                running = started(folder, port, environment)
            elif title:
                (folder / title).write_text(text)
            elif language == "sh":
                if edit := marks.get("edit"):
                    name, before, after = edit.split(":")
                    file = folder / name
                    file.write_text(file.read_text().replace(f"operator: {before}", f"operator: {after}"))
                lines = text.replace("export PATH=$PWD/.venv/bin:$PATH\n", "")
                script = f". {memory}\nset -e\n{lines}\nexport -p | grep GREETER > {memory} || true\n"
                done = subprocess.run(
                    ["bash", "-c", script],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=90,
                )
                assert done.returncode == int(marks.get("fails", "0")), (
                    f"{text}\n{done.stdout}\n{done.stderr}"
                )
                shown += done.stdout + done.stderr
    finally:
        for process in running:
            ended(process)
    for promised in ("4 to create", "the target answered 503", "HTTP_401"):
        assert promised in shown, promised
    assert '"status": "SKIPPED"' in shown  # version 2 asks for more than ten letters, and Grace has five
