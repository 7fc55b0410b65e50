"""`headrace apply` that ends half way, by Ctrl-C or a lost answer: what was done is named; its question is no trap."""

import json
import os
import pty
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

_PAGE = {"secrets": {"items": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}}
_SECONDS = 60


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Slow)
        self.asked: queue.Queue[str] = queue.Queue()
        self.over = threading.Event()


class Slow(BaseHTTPRequestHandler):
    """Writes one secret, and takes its time over the second."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        data: dict[str, Any] = _PAGE
        if "setSecret" in asked["query"]:
            self.server.asked.put(asked["variables"]["name"])
            if asked["variables"]["name"] == "second":
                self.server.over.wait(_SECONDS)
                self.close_connection = True
                return
            data = {"done": {}}
        body = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def slow() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


def applying(server: Server, folder: Path, *words: str, **streams: Any) -> subprocess.Popen[str]:
    documents = [{"kind": "Secret", "name": name, "value": "v"} for name in ("first", "second", "third")]
    file = folder / "secrets.yaml"
    file.write_text("\n---\n".join(json.dumps(one) for one in documents))
    url = f"http://127.0.0.1:{server.server_address[1]}"
    command = [sys.executable, "-m", "headrace_cli.main", "apply", "-f", str(file), *words]
    env = {**os.environ, "HEADRACE_URL": url, "HEADRACE_API_KEY": "hr_x", "TERM": "dumb"}
    return subprocess.Popen(command, env=env, text=True, **streams)


@pytest.mark.parametrize("machine", [False, True])
@pytest.mark.parametrize(("code", "status"), [("INTERRUPTED", 130), ("UNAVAILABLE", 4)])
def test_what_was_done_stays_and_is_named(
    slow: Any, tmp_path: Path, machine: bool, code: str, status: int
) -> None:
    words = ("--yes", "--json") if machine else ("--yes",)
    process = applying(slow, tmp_path, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert [slow.asked.get(timeout=_SECONDS) for _ in range(2)] == ["first", "second"]
    if code == "INTERRUPTED":
        process.send_signal(signal.SIGINT)
    else:
        slow.over.set()
    out, err = process.communicate(timeout=_SECONDS)
    assert process.returncode == status, (out, err)
    assert "Traceback" not in err
    told = err if machine else out
    assert "done create Secret first" in told
    assert "in doubt create Secret second: it may be done" in told
    assert "not done create Secret third" in told
    assert "1 of 3 applied" in told
    if machine:
        found = json.loads(out)
        assert found["error"]["code"] == code
        assert [one["name"] for one in found["applied"]] == ["first"]
        assert found["inDoubt"]["name"] == "second"
        assert [one["name"] for one in found["notApplied"]] == ["third"]


@pytest.mark.parametrize(("typed", "code"), [("", 130), ("\x04", 0)], ids=["Ctrl-C", "Ctrl-D"])
def test_the_question_is_left_at_once(slow: Server, tmp_path: Path, typed: str, code: int) -> None:
    ours, theirs = pty.openpty()
    process = applying(slow, tmp_path, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"Apply this?" not in shown:
        shown += os.read(ours, 4096)
    if typed:
        os.write(ours, typed.encode())
    else:
        process.send_signal(signal.SIGINT)
    assert process.wait(_SECONDS) == code, shown
    os.close(ours)
    assert slow.asked.empty()
