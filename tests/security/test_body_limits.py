"""What a process holds of what is sent to it: how much of one body, of all together, and for whom."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

import orjson
import pytest
from fixtures_edge import RUNNER_TOKEN, Edge, listening
from headrace.ids import new_id
from headrace_control.body_budget import BodyBudget
from headrace_control.body_limit import Bodies, BodyLimit
from headrace_control.graphql.view import MAX_BODY
from headrace_control.web import server
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from tests.security.public_face import NAME, code

pytestmark = pytest.mark.asyncio(loop_scope="module")

KIB = 1024


async def reads(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers with how long the body is."""
    body = await Request(scope, receive).body()
    await Response(str(len(body)))(scope, receive, send)


async def reached(*_: Any) -> None:
    raise AssertionError("half a body is none")


def posted(client: str = "1.2.3.4", **headers: str) -> dict[str, Any]:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": "/taken", "headers": given, "client": (client, 1)}


class Sender:
    """A client that sends `parts`, and then nothing for ever. `size` is how long what it has sent is."""

    def __init__(self, *parts: bytes, whole: bool = False) -> None:
        self._parts, self._whole = list(parts), whole
        self.size = 0
        self.answer: list[Message] = []

    async def receive(self) -> Message:
        if not self._parts:
            return await asyncio.get_running_loop().create_future()
        part = self._parts.pop(0)
        self.size += len(part)
        more = bool(self._parts) or not self._whole
        return {"type": "http.request", "body": part, "more_body": more}

    async def send(self, message: Message) -> None:
        self.answer.append(message)

    @property
    def status(self) -> int | None:
        return self.answer[0]["status"] if self.answer else None

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.answer[0]["headers"])


@contextlib.asynccontextmanager
async def beginning(*calls: Awaitable[None]) -> Any:
    """The calls as tasks that have come as far as they do by themselves."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    for _ in range(10):
        await asyncio.sleep(0)
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def limit(app: Any, most: int, budget: BodyBudget | None = None, **more: Any) -> BodyLimit:
    return BodyLimit(app, {"/taken": Bodies(most, budget or BodyBudget(1000 * most))}, **more)


async def test_a_body_that_does_not_come_is_not_waited_for_without_end() -> None:
    sender = Sender()
    await limit(reached, 10, seconds=0.01)(posted(content_length="5"), sender.receive, sender.send)
    assert sender.status == 408
    assert orjson.loads(sender.answer[1]["body"])["errors"][0]["extensions"]["code"] == "REQUEST_TIMEOUT"


async def test_who_leaves_in_the_middle_of_a_body_is_forgotten() -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    budget = BodyBudget(100)
    await limit(reached, 10, budget)(posted(), receive, reached)
    assert budget.held == 0


async def test_bodies_that_are_under_way_stay_within_their_room() -> None:
    budget = BodyBudget(64 * KIB)
    app = limit(reads, 4 * KIB, budget)
    senders = [Sender(b"x" * (4 * KIB - 1)) for _ in range(40)]
    calls = [
        app(posted(f"1.2.3.{number}", content_length=str(4 * KIB)), sender.receive, sender.send)
        for number, sender in enumerate(senders)
    ]
    async with beginning(*calls):
        waiting = [sender for sender in senders if sender.status is None]
        assert sum(sender.size for sender in waiting) == budget.held <= 64 * KIB
        assert len(waiting) == 16
        refused = [sender for sender in senders if sender.status is not None]
        assert {sender.status for sender in refused} == {503}
        assert {sender.headers[b"retry-after"] for sender in refused} == {b"1"}
        extensions = orjson.loads(refused[0].answer[1]["body"])["errors"][0]["extensions"]
        assert extensions["code"] == "UNAVAILABLE"
    assert budget.held == 0
    again = Sender(b"x" * KIB, whole=True)
    await app(posted(), again.receive, again.send)
    assert (again.status, again.answer[1]["body"]) == (200, b"1024")


async def test_who_announces_much_and_sends_nothing_takes_no_room() -> None:
    budget = BodyBudget(8 * KIB)
    app = limit(reads, 4 * KIB, budget)
    silent = [Sender() for _ in range(40)]
    calls = [app(posted(content_length=str(4 * KIB)), sender.receive, sender.send) for sender in silent]
    async with beginning(*calls):
        honest = Sender(b"x" * 4 * KIB, whole=True)
        await app(posted(), honest.receive, honest.send)
        assert honest.status == 200


async def test_one_owner_has_half_of_the_room() -> None:
    budget = BodyBudget(16 * KIB)
    app = limit(reads, 4 * KIB, budget)
    senders = [Sender(b"x" * 4 * KIB) for _ in range(3)]
    async with beginning(*(app(posted(), sender.receive, sender.send) for sender in senders)):
        assert [sender.status for sender in senders] == [None, None, 503]
        another = Sender(b"x" * 4 * KIB, whole=True)
        await app(posted("1.2.3.5"), another.receive, another.send)
        assert another.status == 200


async def test_a_body_is_held_until_its_request_ends() -> None:
    budget, held = BodyBudget(16 * KIB), []

    async def looks(scope: Scope, receive: Receive, send: Send) -> None:
        held.append(len(await Request(scope, receive).body()) == budget.held > 0)
        raise KeyError

    sender = Sender(b"x" * KIB, b"y" * KIB, whole=True)
    with pytest.raises(KeyError):
        await limit(looks, 4 * KIB, budget)(posted(), sender.receive, sender.send)
    assert held == [True]
    assert budget.held == 0


async def test_an_endless_body_is_read_no_further_than_its_path_takes() -> None:
    sender = Sender(*[b"x" * KIB] * 100)
    await limit(reached, 4 * KIB)(posted(), sender.receive, sender.send)
    assert (sender.status, sender.size) == (413, 5 * KIB)
    assert sender.headers[b"connection"] == b"close"


@pytest.mark.parametrize(("method", "path"), [("GET", "/taken"), ("PUT", "/taken"), ("POST", "/elsewhere")])
async def test_a_body_where_none_is_taken_is_not_read(method: str, path: str) -> None:
    sender = Sender(b"x" * KIB)
    scope = {**posted(content_length=str(KIB)), "method": method, "path": path}
    await limit(reads, 4 * KIB)(scope, sender.receive, sender.send)
    assert (sender.status, sender.answer[1]["body"], sender.size) == (200, b"0", 0)


async def half(port: int, path: str, size: int, sent: int, **headers: str) -> tuple[int, str, str]:
    """What is answered to a body of `size` of which no more than `sent` comes: the status, the code and the head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        given = {"host": "x", "content-type": "application/json", "content-length": str(size), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        writer.write(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + b"x" * sent)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        (error,) = orjson.loads(await reader.readexactly(length))["errors"]
        return int(head.split(" ")[1]), error["extensions"]["code"], head
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("path", "most"), [("/auth/token", 16), ("/callbacks/x", 64), ("/webhooks/x", 256), ("/graphql", 4096)]
)
async def test_each_path_has_a_most_of_its_own(edge: Edge, path: str, most: int) -> None:
    headers = {"content-type": "application/json", "authorization": f"Bearer {edge.admin.key}"}
    async with asyncio.timeout(20):
        larger = await half(edge.port, path, most * KIB + 1, 10, **headers)
    assert larger[:2] == (413, "LIMIT_EXCEEDED")
    fits = await edge.http.post(path, content=b" " * most * KIB, headers=headers)
    assert fits.status_code in (400, 404, 422)


@pytest.mark.parametrize("authorization", [None, "Bearer x", "Bearer hr_00000000_" + "x" * 43])
async def test_nothing_of_an_operation_is_read_for_who_shows_no_key(
    edge: Edge, authorization: str | None
) -> None:
    headers = {"authorization": authorization} if authorization else {}
    async with asyncio.timeout(20):
        status, named, head = await half(edge.port, "/graphql", MAX_BODY, 10, **headers)
    assert (status, named) == (401, "UNAUTHENTICATED")
    assert "www-authenticate: bearer" in head


async def test_an_operation_whose_body_does_not_come_is_no_operation(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_control.graphql.view.BODY_SECONDS", 0.05)
    answer = await half(edge.port, "/graphql", 100, 10, authorization=f"Bearer {edge.admin.key}")
    assert answer[:2] == (408, "REQUEST_TIMEOUT")


async def test_the_time_of_a_body_is_none_of_its_operation(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = next(m.kwargs["view"] for m in edge.public_app.user_middleware if "view" in m.kwargs)
    monkeypatch.setattr(view, "_policy", type(view._policy)(operation_seconds=1))
    asked = orjson.dumps({"query": NAME})

    async def slowly() -> Any:
        yield asked[:5]
        await asyncio.sleep(1.2)  # longer than an operation may take
        yield asked[5:]

    headers = {"content-type": "application/json", "authorization": f"Bearer {edge.admin.key}"}
    answer = await edge.http.post("/graphql", content=slowly(), headers=headers)
    assert answer.json()["data"] == {"tenant": {"name": "acme"}}


async def test_one_tenants_bodies_keep_out_no_other_tenants_and_strangers_keep_out_none(edge: Edge) -> None:
    """By the application's own figures: half of the callers' room is 6 bodies, half of the strangers' 32."""
    bodies = next(m.kwargs["paths"] for m in edge.public_app.user_middleware if m.cls is BodyLimit)
    callers, strangers = bodies["/graphql"].budget, bodies["/webhooks/"].budget

    async def begun(path: str, size: int) -> int:
        key = f"Bearer {edge.admin.key}"
        return (await half(edge.port, path, size, size - 1, authorization=key))[0]

    theirs = [begun("/graphql", MAX_BODY) for _ in range(7)]
    strange = [begun("/webhooks/x", 256 * KIB) for _ in range(40)]
    async with beginning(*theirs, *strange) as tasks, asyncio.timeout(30):
        while sum(task.done() for task in tasks) < 1 + 8:
            await asyncio.sleep(0.01)
        assert {task.result() for task in tasks if task.done()} == {503}
        assert callers.held <= 24 * KIB * KIB
        assert strangers.held <= 8 * KIB * KIB
        assert (await edge.stranger(NAME))["tenant"]["name"].startswith("stranger")
        assert (await edge.admin.post(NAME)).status_code == 503
    async with asyncio.timeout(30):
        while callers.held or strangers.held:
            await asyncio.sleep(0.01)


async def test_strangers_keep_no_runners_body_out(edge: Edge) -> None:
    sent = {"runner_id": str(new_id()), "session": "hrs_" + "x" * 43, "more": "x" * 16 * KIB}
    opening = await edge.internal.post(
        "/internal/sessions", json=sent, headers={"authorization": f"Bearer {RUNNER_TOKEN}"}
    )
    assert (opening.status_code, code(opening)) == (413, "LIMIT_EXCEEDED")
    bodies = next(m.kwargs["paths"] for m in edge.internal_app.user_middleware if m.cls is BodyLimit)
    assert bodies["/internal/sessions"].budget is not bodies["/internal/"].budget


async def app_that_asks_for_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("no")(scope, receive, send)


async def test_what_comes_after_the_answer_is_not_kept_and_not_read_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "REST_SECONDS", 0.2)
    made: list[server.PatientConnection] = []
    connected = server.PatientConnection.connection_made

    def connection_made(self: server.PatientConnection, transport: asyncio.Transport) -> None:
        made.append(self)
        connected(self, transport)

    monkeypatch.setattr(server.PatientConnection, "connection_made", connection_made)
    async with listening(app_that_asks_for_nothing) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n"
        writer.write(head + b"x" * 60_000)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert not made[0].cycle.body
        ended = asyncio.ensure_future(reader.read())
        with contextlib.suppress(OSError):
            # A byte now and then, which is as much as uvicorn asks for.
            while not ended.done():
                writer.write(b"x")
                await asyncio.sleep(0.02)
            await ended
        writer.close()
        # Who sends the rest in time goes on as before.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab")
            assert (await reader.readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 200 ")
            writer.write(b"cde")
        await asyncio.sleep(0.4)  # nothing tells of a connection that is left alone
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_nothing_of_a_body_is_taken_in_before_it_is_asked_for(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while Postgres stands still, and nobody knows whose keys are good."""
    going, begun, taken_in = asyncio.Event(), asyncio.Event(), bytearray()
    caller, received = type(edge.composed.authenticator).caller, server.PatientConnection.data_received

    async def waiting(*given: Any) -> Any:
        begun.set()
        await going.wait()
        return await caller(*given)

    def counting(connection: server.PatientConnection, data: bytes) -> None:
        taken_in.extend(data)
        received(connection, data)

    monkeypatch.setattr(type(edge.composed.authenticator), "caller", waiting)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    with contextlib.closing(writer):
        writer.write(
            b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 40000\r\n\r\n"
        )
        async with asyncio.timeout(30):
            await begun.wait()
        with monkeypatch.context() as counted:
            counted.setattr(server.PatientConnection, "data_received", counting)
            writer.write(b"x" * 40_000)
            await writer.drain()
            assert (await edge.http.get("/health")).status_code == 200
            assert taken_in.startswith(b"GET /health")
            assert b"xxx" not in taken_in
        going.set()
        async with asyncio.timeout(30):
            assert (await reader.readline()).startswith(b"HTTP/1.1 401")
