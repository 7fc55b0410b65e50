"""The public face by a policy of a test's own, over HTTP and over websockets."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
from fixtures_edge import Edge, Keyed, listening
from headrace_control.app import create_app
from headrace_control.graphql.schema import create_schema
from headrace_control.graphql.view import GraphQLView
from headrace_control.web.policy import HttpPolicy
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

NAME = "{ tenant { name } }"
LISTED = "https://console.example.com"


def code(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["extensions"]["code"])


def face(edge: Edge, policy: HttpPolicy) -> httpx.AsyncClient:
    app = create_app(edge.composed.services, edge.composed.authenticator, {}, policy)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@contextlib.asynccontextmanager
async def socket_face(
    edge: Edge, policy: HttpPolicy, recheck_seconds: float = 30
) -> AsyncIterator[Callable[..., Any]]:
    view = GraphQLView(
        create_schema(operation_seconds=policy.operation_seconds),
        edge.composed.services,
        edge.composed.authenticator,
        policy,
        recheck_seconds,
    )
    async with listening(Starlette(routes=view.routes("/graphql"))) as port:

        def opened(**more: Any) -> Any:
            protocols = [Subprotocol("graphql-transport-ws")]
            return connect(f"ws://127.0.0.1:{port}/graphql", subprotocols=protocols, proxy=None, **more)

        yield opened


async def init(ws: Any, caller: Keyed) -> None:
    payload = {"authorization": f"Bearer {caller.key}"}
    await ws.send(orjson.dumps({"type": "connection_init", "payload": payload}).decode())
    assert orjson.loads(await ws.recv())["type"] == "connection_ack"


@contextlib.asynccontextmanager
async def opened_socket(edge: Edge, caller: Keyed, policy: HttpPolicy) -> AsyncIterator[Any]:
    async with socket_face(edge, policy) as opened, opened() as ws:
        await init(ws, caller)
        yield ws


async def subscribe(ws: Any, query: str, name: str = "1") -> None:
    await ws.send(orjson.dumps({"id": name, "type": "subscribe", "payload": {"query": query}}).decode())


async def ask(ws: Any, query: str, name: str = "1") -> Any:
    await subscribe(ws, query, name)
    answer = orjson.loads(await ws.recv())
    if answer["type"] == "next":
        assert orjson.loads(await ws.recv())["type"] == "complete"
    return answer
