"""What commands say of a server that is no Headrace: a proxy's page, an empty body, JSON of another kind."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
import yaml
from headrace_cli.client import Client
from headrace_cli.main import app
from headrace_cli.profile import Profile
from typer.main import get_command
from typer.testing import CliRunner
from websockets.sync.server import ServerConnection, serve

HTML = b"<html><body>Welcome to the proxy</body></html>"
ODD: dict[str, tuple[int, bytes]] = {
    "a page": (200, HTML),
    "a bad gateway": (502, b"upstream is away"),
    "a gateway without words": (504, b""),
    "no body": (200, b""),
    "nothing found": (404, HTML),
    "another way": (301, b""),
    "too large": (413, HTML),
    "a proxy's question": (407, HTML),
    "a gateway's question": (401, HTML),
    "a gateway's no": (403, b'{"message": "Forbidden"}'),
    "an error": (500, b"Internal Server Error"),
    "a list": (200, b"[]"),
    "a null": (200, b"null"),
    "half of it": (200, b'{"data": {"runs"'),
    "no UTF-8": (200, b'{"data": "\xff"}'),
    "an object": (200, b'{"status": "ok"}'),
    "no data": (200, b'{"data": null}'),
    "a list for data": (200, b'{"data": [1]}'),
    "other data": (200, b'{"data": {"status": "ok"}}'),
    "a word for errors": (200, b'{"errors": "none"}'),
    "words for errors": (500, b'{"errors": ["none"]}'),
}


class Odd(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    elsewhere = "/elsewhere"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("location", self.elsewhere)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_CONNECT = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def odd_server(answer: tuple[int, bytes], handler: type[BaseHTTPRequestHandler] = Odd) -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.answer = answer  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def said(url: str, *words: str, code: int = 4) -> str:
    """What a command says to people."""
    env = {"HEADRACE_URL": url, "HEADRACE_API_KEY": "hr_x", "HEADRACE_WEBHOOK_SECRET": "whsec_" + "QUJD" * 8}
    done = CliRunner().invoke(app, [*words], env=env)
    assert done.exit_code == code, (words, done.output, done.exception)
    assert isinstance(done.exception, SystemExit | None), (words, done.exception)
    return done.stderr


def url_of(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize("answer", ODD.values(), ids=[*ODD])
def test_an_odd_answer_is_told_in_words(answer: tuple[int, bytes]) -> None:
    with odd_server(answer) as server:
        for words in (("run", "list"), ("run", "watch", "x"), ("logs",)):
            assert said(url_of(server), *words).startswith(("UNAVAILABLE", "INTERNAL"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_it_is_said_where_an_answer_sends_who_asks(status: int) -> None:
    class Elsewhere(Odd):
        elsewhere = "https://user:word@headrace.example.com:8443/api/graphql?session=word"

    with odd_server((status, HTML), Elsewhere) as server:
        told = said(url_of(server), "run", "list").replace("\n", " ")
    assert "sends on to https://headrace.example.com:8443/api:" in told
    assert "word" not in told


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "credentials of its own"), (403, "credentials of its own"), (407, "NO_PROXY")],
)
def test_who_asks_for_other_credentials_than_the_key_is_told_from_headrace(status: int, words: str) -> None:
    with odd_server((status, HTML)) as server:
        told = said(url_of(server), "run", "list")
    assert words in told
    assert "this key" not in told


def test_a_proxy_that_wants_a_password_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with odd_server((407, HTML)) as server:
        monkeypatch.setenv("HTTPS_PROXY", url_of(server))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert "NO_PROXY" in said("https://headrace.invalid", "run", "list")


# What each needs to get as far as asking; {file} is a workflow.
LINES = """
apply --yes -f {file}
approvals
dry-run x
logs
workflows show x | workflows check {file}
tenants create x | tenants new-key x | tenants list | tenants delete x --confirm x | tenants keep x
pools list | pools own | pools create x | pools remove x | pools tenant x y | pools workflow x y
pools drain x --into y
run start x | run start -w x | run watch x | run get x | run list | run cancel x | run verify x | run history x
run show x | run rerun x | run move x --to 1 | run moves x | run pause x | run resume x | run signal x y
run settle x y RETRY | run approve x y | run reject x y
schedules list | schedules firings x | schedules pause x | schedules resume x | schedules delete x
schedules backfill start x --from 2030-01-01T00:00:00Z --until 2030-01-02T00:00:00Z
schedules backfill show x | schedules backfill stop x | schedules backfill resume x
rollouts publish {file} | rollouts begin x --version 1 | rollouts change x --percent 1 | rollouts promote x
rollouts rollback x | rollouts show x | rollouts compare x
webhooks list | webhooks deliveries x | webhooks send x | webhooks rotate x | webhooks pause x | webhooks resume x
webhooks delete x
hooks list | hooks create x https://x.test --event RUN_FAILED | hooks update x | hooks messages x | hooks resend x
hooks rotate x | hooks pause x | hooks resume x | hooks delete x
dead-letters list | dead-letters groups | dead-letters replay x | dead-letters replays | dead-letters stop x
dead-letters resume x | dead-letters discard x --reason y
dead-letters nobodys | dead-letters discard-nobodys x --reason y
audit list | audit head | audit export | audit verify
cached-results list | cached-results forget x/y
connections list | connections authorize x
keys status | keys rotate | keys rewrap
policy list | policy show x/y | policy set x B | policy remove x
"""
# They do something else than to ask by GraphQL, and are tested by themselves.
OTHERS = {"login", "logout", "doctor"}


def asking(group: Any, *path: str) -> Iterator[str]:
    """The commands that ask a deployment."""
    for name in group.commands:
        one = group.commands[name]
        if hasattr(one, "commands"):
            yield from asking(one, *path, name)
        elif any("--url" in param.opts for param in one.params):
            yield " ".join((*path, name))


def test_no_command_takes_another_answer_for_headrace_s(tmp_path: Path) -> None:
    file = tmp_path / "greet.yaml"
    steps = [{"key": "words", "type": "transform", "input": "Hello"}]
    file.write_text(yaml.safe_dump({"workflow": "greet", "steps": steps}))
    lines = [line.strip() for line in LINES.strip().replace("\n", "|").split("|")]
    untold = {
        name
        for name in asking(get_command(app))
        if not any(f"{one} ".startswith(f"{name} ") for one in lines)
    }
    assert untold == OTHERS
    with odd_server(ODD["other data"]) as server:
        for line in lines:
            words = [word.replace("{file}", str(file)) for word in line.split()]
            assert "what answered is no Headrace" in said(url_of(server), *words), line


class WithWebhook(Odd):
    """A deployment but for its webhooks."""

    def do_POST(self) -> None:
        if self.path != "/graphql":
            self.do_GET()
            return
        self.rfile.read(int(self.headers.get("content-length", 0)))
        found = {"data": {"webhook": {"url": f"{url_of(self.server)}/webhooks/x"}}}
        self.send_response(200)
        body = json.dumps(found).encode()
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize("answer", ODD.values(), ids=[*ODD])
def test_an_odd_answer_to_a_message_is_told_in_words(answer: tuple[int, bytes]) -> None:
    with odd_server(answer, WithWebhook) as server:
        assert said(url_of(server), "webhooks", "send", "x").startswith(("UNAVAILABLE", "INTERNAL"))


@pytest.mark.parametrize("answer", ODD.values(), ids=[*ODD])
def test_an_odd_answer_begins_no_session(
    answer: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def back(*_: Any, **__: Any) -> dict[str, str]:
        return {"code": "c"}

    monkeypatch.setattr("headrace_cli.login.command.brought_back", back)
    file = tmp_path / "profiles.toml"
    with odd_server(answer) as server:
        told = said(url_of(server), "login", "--tenant", "acme", "--profile-file", str(file))
    assert told.startswith(("UNAVAILABLE", "INTERNAL"))
    assert not file.exists() or "session" not in file.read_text()


@pytest.mark.parametrize(
    "frame", ["<html>", "[]", "1", '{"type": "next"}', '{"type": "next", "payload": 1}', b"\xff"]
)
def test_an_odd_frame_is_told_in_words(frame: str | bytes) -> None:
    def talk(socket: ServerConnection) -> None:
        socket.send(frame)

    with serve(talk, "127.0.0.1", 0, subprotocols=["graphql-transport-ws"]) as server:  # type: ignore[list-item]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = server.socket.getsockname()[1]
            assert said(f"http://127.0.0.1:{port}", "logs", "-f").startswith("UNAVAILABLE")
        finally:
            server.shutdown()
            thread.join()


def test_no_redirect_of_a_websocket_takes_the_key_elsewhere() -> None:
    came = []

    def listen(socket: ServerConnection) -> None:
        came.append(socket.recv())

    with serve(listen, "127.0.0.1", 0, subprotocols=["graphql-transport-ws"]) as other:  # type: ignore[list-item]
        thread = threading.Thread(target=other.serve_forever)
        thread.start()

        class Elsewhere(Odd):
            elsewhere = f"ws://127.0.0.1:{other.socket.getsockname()[1]}/graphql"

        try:
            with odd_server((302, b""), Elsewhere) as server:
                assert said(url_of(server), "logs", "-f").startswith("UNAVAILABLE")
        finally:
            other.shutdown()
            thread.join()
    assert came == []


async def test_nothing_is_sent_on_a_connection_that_a_control_plane_is_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + later)
    monkeypatch.setattr("httpcore._async.http11.time", clock)
    places = set()

    class Kept(Odd):
        def do_POST(self) -> None:
            places.add(self.client_address)
            self.do_GET()

    with odd_server((200, b'{"data": {}}'), Kept) as server:
        async with Client(Profile(url_of(server), "hr_x")) as client:
            await client.execute("{ x }")
            later = uvicorn.Config(None).timeout_keep_alive - 0.5  # type: ignore[arg-type]
            await client.execute("{ x }")
    assert len(places) == 2
