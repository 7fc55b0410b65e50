"""Websockets: opened by a key, bounded like everything else, and closed when the key has ended."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import uvicorn
from headrace.postgres.pool import Pool
from headrace_control.app import create_app
from headrace_control.auth.roles import Role
from headrace_control.compose import Composed
from headrace_control.graphql.schema import create_schema
from headrace_control.graphql.view import GraphQLView
from loopback import loopback
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.people import change_role, joined, remove


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The application behind a real socket; yields its address."""
    with loopback() as listening:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        task = asyncio.create_task(server._serve(sockets=[listening]))
        # Who connects before the server is up waits in the socket's backlog.
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/graphql"
        server.should_exit = True
        await task


@pytest.fixture
async def address(composed: Composed) -> AsyncIterator[str]:
    app = create_app(composed.services, composed.authenticator, {})
    async with serving(app) as address:
        yield address


async def revoke(admin: Client, role: Role) -> None:
    """End the tenant's key of this role."""
    keys = (await admin("{ apiKeys { items { id role } } }"))["apiKeys"]["items"]
    key_id = next(key["id"] for key in keys if key["role"] == role)
    await admin("mutation($id: ID!) { revokeApiKey(id: $id) { ... on ApiKey { id } } }", id=key_id)


def opened(address: str, **headers: str) -> Any:
    return connect(
        address,
        subprotocols=[Subprotocol("graphql-transport-ws")],
        additional_headers=headers,
        proxy=None,
    )


async def ask(ws: Any, query: str) -> Any:
    await ws.send(orjson.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}).decode())
    return orjson.loads(await ws.recv())


async def test_a_socket_is_opened_by_a_key_in_the_payload_or_the_header(address: str, admin: Client) -> None:
    authorization = f"Bearer {admin.key}"
    for headers, payload in (({}, {"authorization": authorization}), ({"authorization": authorization}, {})):
        async with opened(address, **headers) as ws:
            await ws.send(orjson.dumps({"type": "connection_init", "payload": payload}).decode())
            assert orjson.loads(await ws.recv())["type"] == "connection_ack"
            message = await ask(ws, "{ tenant { name } }")
            assert message["payload"]["data"] == {"tenant": {"name": "acme"}}


@pytest.mark.parametrize("payload", [None, {}, {"authorization": "Bearer hr_x"}, {"authorization": 1}])
async def test_a_socket_without_a_key_is_closed(address: str, payload: Any) -> None:
    message: dict[str, Any] = {"type": "connection_init"}
    if payload is not None:
        message["payload"] = payload
    async with opened(address) as ws:
        await ws.send(orjson.dumps(message).decode())
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


async def test_a_key_that_opens_no_socket_is_told_to_the_audit(
    address: str, composed: Composed, admin: Client, owner: Pool
) -> None:
    forged = admin.key[:12] + "A" * 43
    for headers, payload in (
        ({}, {"authorization": f"Bearer {forged}"}),
        ({"authorization": f"Bearer {forged}"}, {}),
    ):
        async with opened(address, **headers) as ws:
            await ws.send(orjson.dumps({"type": "connection_init", "payload": payload}).decode())
            with pytest.raises(ConnectionClosed):
                await ws.recv()
    await composed.refused_logins.tally.write()
    (row,) = await owner.fetch("SELECT * FROM audit_inbox WHERE outcome = 'REFUSED'")
    assert (row["action"], row["actor_name"], row["origin"]) == ("api_key.use", "first admin", "127.0.0.1")
    assert row["detail"]["times"] == 2


async def test_an_operation_before_the_key_closes_the_socket(address: str) -> None:
    async with opened(address) as ws:
        with pytest.raises(ConnectionClosed) as closed:
            await ask(ws, "{ tenant { name } }")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


async def test_the_limits_and_the_shape_of_errors_hold_on_a_socket(address: str, admin: Client) -> None:
    async with opened(address, authorization=f"Bearer {admin.key}") as ws:
        await ws.send('{"type": "connection_init"}')
        await ws.recv()
        bomb = "{ ...a0 }" + "".join(
            f"fragment a{i} on Query {{ ...a{i + 1} ...a{i + 1} }}" for i in range(30)
        )
        message = await ask(ws, bomb + "fragment a30 on Query { tenant { name } }")
        assert message["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        message = await ask(ws, "{ nonsense }")
        assert message["payload"][0]["extensions"]["code"] == "BAD_QUERY"
        assert message["payload"][0]["extensions"]["correlationId"]
        for wrong in (
            {"query": "query one { __typename }", "operationName": "other"},
            {"query": "query one { __typename } query two { __typename }"},
            {"query": ""},
        ):
            await ws.send(json.dumps({"id": "w", "type": "subscribe", "payload": wrong}))
            message = json.loads(await ws.recv())
            assert message["payload"][0]["extensions"]["code"] == "BAD_QUERY", wrong


async def test_a_revoked_key_starts_nothing_on_an_open_socket(address: str, admin: Client) -> None:
    viewer = await admin.with_role(Role.VIEWER)
    async with opened(address, authorization=f"Bearer {viewer.key}") as ws:
        await ws.send('{"type": "connection_init"}')
        await ws.recv()
        await revoke(admin, Role.VIEWER)
        message = await ask(ws, "{ tenant { name } }")
        assert message["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_socket_whose_key_has_ended_is_closed(composed: Composed, admin: Client) -> None:
    viewer = await admin.with_role(Role.VIEWER)
    view = GraphQLView(create_schema(), composed.services, composed.authenticator, recheck_seconds=0.05)
    app = Starlette(routes=view.routes("/graphql"))
    async with serving(app) as address, opened(address, authorization=f"Bearer {viewer.key}") as ws:
        await ws.send('{"type": "connection_init"}')
        await ws.recv()
        await revoke(admin, Role.VIEWER)
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


@pytest.mark.parametrize("change", [lambda c, m: change_role(c, m, Role.ADMIN), remove])
async def test_a_socket_ends_with_its_members_role(
    composed: Composed, owner: Pool, admin: Client, change: Any
) -> None:
    member, kim = await joined(owner, admin, "kim@example.com", Role.VIEWER)
    view = GraphQLView(create_schema(), composed.services, composed.authenticator, recheck_seconds=0.05)
    app = Starlette(routes=view.routes("/graphql"))
    async with serving(app) as address, opened(address, authorization=f"Bearer {kim.key}") as ws:
        await ws.send('{"type": "connection_init"}')
        await ws.recv()
        assert (await ask(ws, "{ me { role } }"))["payload"]["data"]["me"]["role"] == "VIEWER"
        await ws.recv()
        await change(admin, member)
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403
