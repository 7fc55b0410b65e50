"""One tenant's operations, many at once and slow, and what is left to the others."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from fixtures_edge import Edge, Keyed
from headrace.errors import RateLimited, Unavailable
from headrace_control.auth.roles import Role
from headrace_control.graphql.beginnings import Beginnings
from headrace_control.graphql.carried import Carried
from headrace_control.graphql.unread import MOST, TakenResponse
from headrace_control.graphql.view import GraphQLView
from headrace_control.web.policy import HttpPolicy

from tests.security.http_answers import refused
from tests.security.public_face import NAME, face, init, socket_face, subscribe

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Of the pool's sessions, those that one tenant has at most.
SHARE = 5
CREATE = """mutation { createApp(input: {name: "locked", baseUrl: "https://one.example", auth: {kind: "NONE"}}) {
              __typename } }"""
RENAME = 'mutation { updateApp(name: "locked", input: {title: "other"}) { __typename } }'
WAITING = """SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'"""


@contextlib.asynccontextmanager
async def locked_app(edge: Edge) -> AsyncIterator[None]:
    """An app of acme's that can not be changed within."""
    await edge.admin(CREATE)
    lock = edge.owner.transaction()
    await lock.start()
    try:
        await edge.owner.execute("SELECT FROM apps WHERE name = 'locked' FOR UPDATE")
        yield
    finally:
        await lock.rollback()


async def count_waiting(edge: Edge) -> int:
    # Else a transaction sees what it saw first.
    await edge.owner.execute("SELECT pg_stat_clear_snapshot()")
    return int(await edge.owner.fetchval(WAITING))


async def wait_for(edge: Edge, waiting: int) -> None:
    async with asyncio.timeout(30):
        while await count_waiting(edge) < waiting:
            await asyncio.sleep(0.05)


async def test_operations_that_wait_in_postgres_leave_others_their_sessions(edge: Edge) -> None:
    async with locked_app(edge):
        flood = [asyncio.create_task(edge.admin.post(RENAME)) for _ in range(40)]
        await wait_for(edge, SHARE)
        async with asyncio.timeout(20):
            assert (await edge.stranger.post(NAME)).status_code == 200
        assert await count_waiting(edge) == SHARE
    assert {answer.status_code for answer in await asyncio.gather(*flood)} == {200}


async def test_operations_on_websockets_have_the_same_share(edge: Edge) -> None:
    async with (
        socket_face(edge, HttpPolicy()) as opened,
        opened() as mine,
        locked_app(edge),
    ):
        await init(mine, edge.admin)
        for number in range(20):
            await subscribe(mine, RENAME, str(number))
        await wait_for(edge, SHARE)
        async with asyncio.timeout(20):
            assert (await edge.stranger.post(NAME)).status_code == 200


async def test_one_tenants_operations_are_bounded_by_number(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, begun = asyncio.Event(), asyncio.Semaphore(0)
    current = type(edge.composed.services.tenants).current

    async def waiting(service: Any, caller: Any) -> Any:
        if caller.role is not Role.VIEWER:
            begun.release()
            await going.wait()
        return await current(service, caller)

    monkeypatch.setattr(type(edge.composed.services.tenants), "current", waiting)
    async with face(edge, HttpPolicy(operations=8)) as http:
        admin, designer, viewer = (
            Keyed(http, edge.keys[role].key) for role in (Role.ADMIN, Role.DESIGNER, Role.VIEWER)
        )
        asked = [asyncio.create_task(keyed.post(NAME)) for keyed in (admin, designer)]
        async with asyncio.timeout(30):
            for _ in asked:
                await begun.acquire()
        # No number of keys makes it more.
        answer = await viewer.post(NAME)
        assert refused(answer) == (429, "RATE_LIMITED")
        assert answer.headers["retry-after"] == "1"
        other = asyncio.create_task(Keyed(http, edge.stranger.key).post(NAME))
        going.set()
        assert [answer.status_code for answer in await asyncio.gather(*asked, other)] == [200] * 3
        assert (await viewer.post(NAME)).status_code == 200


async def test_a_tenant_has_a_quarter_and_all_together_have_the_whole() -> None:
    carried = Carried(HttpPolicy(operations=5))
    tenants = [uuid4() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for tenant in (*tenants[:2], *tenants[:2]):
            stack.enter_context(carried.one_posted(tenant))
        with pytest.raises(RateLimited), carried.one_posted(tenants[0]):
            pass
        stack.enter_context(carried.one_posted(tenants[2]))
        with pytest.raises(Unavailable), carried.one_posted(tenants[2]):
            pass
    assert not carried.posted


async def test_tenants_begin_in_turn() -> None:
    beginnings, begun = Beginnings(), list[str]()
    names = {"many": uuid4(), "one": uuid4()}

    async def begin(name: str) -> None:
        await beginnings.turn(names[name])
        begun.append(name)

    many = [asyncio.create_task(begin("many")) for _ in range(50)]
    gone = asyncio.create_task(begin("one"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(begin("one"), *many)
    assert begun.index("one") < 4
    assert begun.count("many") == 50
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await begin("one")


async def test_answers_that_are_not_read_are_bounded(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    async def large(*_: Any) -> Any:
        return TakenResponse(b"x" * (MOST // 4))

    monkeypatch.setattr(GraphQLView, "_operate", large)
    request = (
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {edge.admin.key}\r\ncontent-length: 2\r\n\r\n{{}}"
    )
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            own = socket.socket()
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            own.setblocking(False)
            await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", edge.port))
            reader, writer = await asyncio.open_connection(sock=own, limit=256)
            stack.callback(writer.close)
            writer.write(request.encode())
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        assert refused(await edge.admin.post(NAME)) == (503, "UNAVAILABLE")
        assert (await edge.stranger.post(NAME)).status_code == 200
    async with asyncio.timeout(30):
        while (await edge.admin.post(NAME)).status_code == 503:
            pass
