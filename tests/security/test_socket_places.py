"""Who has how many of the websockets, of the operations on them and of the room for what is sent by them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import orjson
import pytest
from fixtures_edge import Edge, Keyed, issue
from headrace.errors import LimitExceeded
from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.auth.roles import Role
from headrace_control.graphql.carried import UNKNOWN_OF_ONE_ADDRESS, UNKNOWN_SOCKETS, Carried
from headrace_control.graphql.view import CALLERS_BYTES
from headrace_control.web.policy import HttpPolicy
from headrace_control.web.sockets import UNKNOWN_BYTES
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.security.public_face import NAME, ask, init, opened_socket, socket_face, subscribe

pytestmark = pytest.mark.asyncio(loop_scope="module")

TAIL = "subscription { logTail { message } }"
MIB = 1024 * 1024


async def closed_with(ws: Any) -> int:
    with contextlib.suppress(ConnectionClosed):
        async for _ in ws:
            pass
    return int(ws.close_code)


async def follow(ws: Any, *names: str) -> None:
    """Subscribe by each name, and come back when the server has begun them."""
    for name in names:
        await subscribe(ws, TAIL, name)
    await ws.send('{"type": "ping"}')
    assert orjson.loads(await ws.recv())["type"] == "pong"


def refusal(answer: Any) -> str:
    assert answer["type"] == "error"
    return str(answer["payload"][0]["extensions"]["code"])


async def sent_init(ws: Any, caller: Keyed) -> None:
    payload = {"authorization": f"Bearer {caller.key}"}
    await ws.send(orjson.dumps({"type": "connection_init", "payload": payload}).decode())


# -- sockets -------------------------------------------------------------------------------------------------


async def test_sockets_are_bounded(edge: Edge) -> None:
    async with socket_face(edge, HttpPolicy(sockets=1)) as opened:
        async with opened() as ws:
            await init(ws, edge.admin)
            with pytest.raises(InvalidStatus):
                await opened()
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(InvalidStatus):
                    (await opened()).transport.close()
                    break


async def test_one_tenant_holds_not_all_sockets(edge: Edge) -> None:
    async with socket_face(edge, HttpPolicy(sockets=8)) as opened, contextlib.AsyncExitStack() as stack:
        for role in (Role.VIEWER, Role.OPERATOR):
            await init(await stack.enter_async_context(opened()), edge.keys[role])
        third = await stack.enter_async_context(opened())
        await sent_init(third, edge.keys[Role.DESIGNER])
        assert await closed_with(third) == 1013
        mine = await stack.enter_async_context(opened())
        await init(mine, edge.stranger)
        assert (await ask(mine, NAME))["type"] == "next"


async def test_a_socket_that_ends_leaves_its_place_to_its_tenant(edge: Edge) -> None:
    async with socket_face(edge, HttpPolicy(sockets=1)) as opened:
        for _ in range(3):
            async with asyncio.timeout(30):
                while True:
                    with contextlib.suppress(InvalidStatus, ConnectionClosed):
                        async with opened() as ws:
                            await init(ws, edge.admin)
                        break


async def test_strangers_without_a_key_hold_not_all_sockets(edge: Edge) -> None:
    async with (
        socket_face(edge, HttpPolicy(sockets=3)) as opened,
        opened(),
        opened(),
        opened(),
        opened() as mine,
    ):
        await init(mine, edge.stranger)


async def test_one_address_has_few_sockets_that_show_no_key(edge: Edge) -> None:
    async with socket_face(edge, HttpPolicy()) as opened, contextlib.AsyncExitStack() as stack:
        ones = [await stack.enter_async_context(opened()) for _ in range(UNKNOWN_OF_ONE_ADDRESS)]
        with pytest.raises(InvalidStatus):
            await opened()
        # Who shows a key counts for its tenant from then on.
        await init(ones[0], edge.admin)
        await init(await stack.enter_async_context(opened()), edge.stranger)


async def test_unknown_sockets_are_bounded_by_address_and_together() -> None:
    carried = Carried(HttpPolicy())
    places = [carried.place("1.2.3.4") for _ in range(UNKNOWN_OF_ONE_ADDRESS)]
    assert None not in places
    assert carried.place("1.2.3.4") is None
    others = [carried.place(number) for number in range(UNKNOWN_SOCKETS - UNKNOWN_OF_ONE_ADDRESS)]
    assert None not in others
    assert carried.place("another") is None
    for place in places:
        assert place is not None
        place.leave()
    assert carried.place("1.2.3.4") is not None
    assert others[0] is not None
    tenant = uuid4()
    others[0].admit(tenant)
    assert (carried.unknown[0], carried.sockets) == (0, {tenant: 1})
    others[0].leave()
    assert not carried.sockets


async def test_tenants_have_all_sockets_together_and_no_more() -> None:
    carried = Carried(HttpPolicy(sockets=5))
    tenants = [uuid4() for _ in range(4)]
    waiting = [carried.place(number) for number in range(6)]
    for place, tenant in zip(waiting, [tenants[0], *tenants], strict=False):
        assert place is not None
        place.admit(tenant)
    assert waiting[5] is not None
    for tenant in (tenants[0], uuid4()):
        with pytest.raises(LimitExceeded):
            waiting[5].admit(tenant)
    assert carried.place("later") is None
    assert carried.unknown == {5: 1}


# -- operations ----------------------------------------------------------------------------------------------


async def test_operations_on_sockets_are_bounded_by_key(edge: Edge) -> None:
    policy = HttpPolicy(operations_per_key=2)
    async with socket_face(edge, policy) as opened, opened() as first, opened() as second:
        await init(first, edge.admin)
        await init(second, edge.admin)
        await follow(first, "a")
        await subscribe(second, TAIL, "b")
        assert refusal(await ask(second, TAIL, "c")) == "LIMIT_EXCEEDED"
        assert refusal(await ask(first, NAME, "c")) == "LIMIT_EXCEEDED"
        await first.close()
        # The place is free once the server has seen the end of it.
        async with asyncio.timeout(30):
            while (await ask(second, NAME, "d"))["type"] == "error":
                await asyncio.sleep(0)


async def test_one_tenant_takes_not_all_operations_by_many_keys(edge: Edge) -> None:
    policy = HttpPolicy(operations_per_key=2, operations_on_sockets=16)
    async with socket_face(edge, policy) as opened, contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            ws = await stack.enter_async_context(opened())
            await init(ws, await issue(edge.admin, Role.VIEWER))
            await follow(ws, "1", "2")
        fifth = await stack.enter_async_context(opened())
        await init(fifth, edge.admin)
        assert refusal(await ask(fifth, NAME)) == "LIMIT_EXCEEDED"
        mine = await stack.enter_async_context(opened())
        await init(mine, edge.stranger)
        assert (await ask(mine, NAME))["type"] == "next"


async def test_operations_of_all_tenants_are_bounded_together() -> None:
    carried = Carried(HttpPolicy(operations_on_sockets=5))
    callers = [Caller(uuid4(), Actor(ActorKind.API_KEY, uuid4(), "k"), Role.VIEWER) for _ in range(4)]
    for caller in (callers[0], *callers):
        carried.check(caller)
        carried.begin(caller)
    other = Caller(uuid4(), Actor(ActorKind.API_KEY, uuid4(), "k"), Role.VIEWER)
    with pytest.raises(LimitExceeded, match="try again later"):
        carried.check(other)
    carried.end(callers[1])
    carried.check(other)
    assert carried._of_tenant.total() == carried._of_key.total() == 4


# -- what is sent --------------------------------------------------------------------------------------------


def write_frame(ws: Any, size: int, sent: bytes, *, whole: bool = True) -> None:
    """The head of a frame of text of `size` bytes, and the first of them; `whole`: no other one follows."""
    head = bytes([whole << 7 | 1, 0xFF]) + size.to_bytes(8, "big") + b"\0\0\0\0"
    ws.transport.write(head + sent)


@contextlib.asynccontextmanager
async def unknown_socket(edge: Edge) -> AsyncIterator[Any]:
    async with socket_face(edge, HttpPolicy()) as opened, opened() as ws:
        yield ws


async def test_who_shows_no_key_sends_little(edge: Edge) -> None:
    async with unknown_socket(edge) as ws:
        write_frame(ws, 4 * MIB - 1, b"x" * UNKNOWN_BYTES)
        assert await closed_with(ws) == 1009
    async with unknown_socket(edge) as ws:
        # Whatever it is that comes, and in how many pieces.
        with contextlib.suppress(ConnectionClosed):
            for _ in range(UNKNOWN_BYTES // 20):
                await ws.send('{"type": "ping"}')
        assert await closed_with(ws) == 1009
    async with unknown_socket(edge) as ws:
        padded = {"authorization": f"Bearer {edge.admin.key}", "padding": "x" * 15_000}
        await ws.send(orjson.dumps({"type": "connection_init", "payload": padded}).decode())
        assert orjson.loads(await ws.recv())["type"] == "connection_ack"
        large = {"id": "1", "type": "subscribe", "payload": {"query": NAME, "variables": {"x": "y" * MIB}}}
        await ws.send(orjson.dumps(large).decode())
        assert orjson.loads(await ws.recv())["type"] == "next"


@pytest.mark.parametrize("pieces", [1, 100_000])
async def test_messages_that_are_not_whole_stay_within_their_tenants_room(edge: Edge, pieces: int) -> None:
    """Half of it: six sockets of which each has sent almost all of a message, or one that sends it byte by byte."""
    async with socket_face(edge, HttpPolicy()) as opened, contextlib.AsyncExitStack() as stack:
        sockets = [await opened() for _ in range(7)]
        for ws in sockets:
            # What is half sent can not be closed in good order.
            stack.callback(ws.transport.abort)
            await init(ws, edge.admin)
        if pieces == 1:
            for ws in sockets:
                write_frame(ws, 4 * MIB - 1, b"x" * (4 * MIB - 2))
            ends = [asyncio.ensure_future(closed_with(ws)) for ws in sockets]
            async with asyncio.timeout(30):
                done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result() for task in done} == {1013}
            assert len(done) < len(sockets)
        else:
            write_frame(sockets[0], 1, b"x", whole=False)
            for _ in range(pieces):
                sockets[0].transport.write(b"\x00\x81\0\0\0\0x")
            assert await asyncio.wait_for(closed_with(sockets[0]), 30) == 1013
        mine = await stack.enter_async_context(opened())
        await init(mine, edge.stranger)
        assert (await ask(mine, NAME))["type"] == "next"


async def test_of_sockets_that_grow_at_once_only_those_without_room_are_closed(edge: Edge) -> None:
    """All come within one turn of the server's loop: what one leaves by its end is there for the next."""
    async with socket_face(edge, HttpPolicy()) as opened, contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(opened()) for _ in range(7)]
        part = (CALLERS_BYTES // 2 - 64 * 1024) // len(sockets)
        for ws in sockets:
            await init(ws, edge.admin)
            write_frame(ws, part, b"x" * part, whole=False)
            # Told when the part is there.
            await asyncio.wait_for(await ws.ping(), 30)
        ends = [asyncio.ensure_future(closed_with(ws)) for ws in sockets]
        for ws in sockets:
            ws.transport.write(b"\x00\xfe\xf0\x00\0\0\0\0" + b"x" * 0xF000)
        async with asyncio.timeout(30):
            done, under_way = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            assert ({task.result() for task in done}, len(done)) == ({1013}, 1)
            for ws, end in zip(sockets, ends, strict=True):
                if end in under_way:
                    await (await ws.ping())
                    assert not end.done()
                    ws.transport.abort()
            await asyncio.wait(ends)


async def test_what_operations_were_sent_with_is_held_until_they_end(edge: Edge) -> None:
    async with opened_socket(edge, edge.admin, HttpPolicy()) as ws:
        room = CALLERS_BYTES // 2
        for name in range(7):
            size = min(3 * MIB + MIB // 2, room - 4000)
            large = {"query": TAIL, "variables": {"x": "y" * size}}
            text = orjson.dumps({"id": str(name), "type": "subscribe", "payload": large}).decode()
            room -= len(text)
            await ws.send(text)
        await ws.send('{"type": "ping"}')
        first = await ws.recv()
        assert orjson.loads(first)["type"] == "pong", first[:500]
        answer = await ask(ws, NAME + " " * 4000, "more")
        assert (answer["id"], refusal(answer)) == ("more", "UNAVAILABLE")
        await ws.send('{"id": "0", "type": "complete"}')
        async with asyncio.timeout(30):
            while (await ask(ws, NAME, "small"))["type"] == "error":
                await asyncio.sleep(0)
