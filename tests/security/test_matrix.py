"""Role by operation: every field of the schema and every route, as the table says."""

import base64
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from fixtures_edge import Edge
from graphql import GraphQLInterfaceType
from graphql_operations import loaded_fields, operation, required
from headrace.ids import new_id
from starlette.routing import BaseRoute, Route, WebSocketRoute

from tests.security.access_table import INTERNAL_ROUTES, LOADED, PUBLIC_ROUTES, Door, Who, fields
from tests.security.two_tenants import ROOTS, SCALARS, SCHEMA, World, shown

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLE = fields()
# One's own sessions are a member's to end, and keys have none: what the table speaks of are others'.
ASKED_WITH: Mapping[str, Mapping[str, Any]] = {"mutation revokeSessions": {"member": str(new_id())}}


# -- role by operation ---------------------------------------------------------------------------------------


async def test_every_field_has_a_row_and_every_row_a_field() -> None:
    assert set(ROOTS) == set(TABLE), "say in access_table.py who may"
    assert set(loaded_fields(SCHEMA.core)) == LOADED


async def test_every_route_has_a_row_and_every_row_a_route(edge: Edge) -> None:
    assert set(routes(edge.public_app.routes)) == set(PUBLIC_ROUTES)
    assert set(routes(edge.internal_app.routes)) == set(INTERNAL_ROUTES), (
        "say in access_table.py what it asks for"
    )


def routes(found: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    for route in found:
        if isinstance(route, WebSocketRoute):
            yield "WEBSOCKET", route.path
        elif isinstance(route, Route) or hasattr(route, "methods"):
            yield from ((method, route.path) for method in route.methods)  # type: ignore[union-attr]
        elif inner := getattr(route, "routes", None) or getattr(
            getattr(route, "original_router", None), "routes", None
        ):
            yield from routes(inner)
        else:
            raise AssertionError(f"an unknown kind of route: {route}")


async def test_each_role_may_do_what_the_table_says(world: World) -> None:
    wrong = []
    for name, root in ROOTS.items():
        query, given = operation(name, root, {**required(root, SCALARS), **ASKED_WITH.get(name, {})}, depth=0)
        for role, caller in world.callers.items():
            # What an admin of the platform may do beyond others is all that its key is for here.
            if role == "platform" and TABLE[name] is not Who.PLATFORM:
                continue
            text = shown(await world.ask(caller, query, given))
            if ("FORBIDDEN" not in text) is not (role in TABLE[name].value):
                wrong.append((name, role, text[:200]))
            assert "INTERNAL" not in text, (name, role, text)
    assert wrong == []


async def test_without_a_key_nothing_is_answered(world: World) -> None:
    for name, root in ROOTS.items():
        query, given = operation(name, root, required(root, SCALARS), depth=0)
        if not name.startswith("subscription"):
            answer = await world.edge.http.post("/graphql", json={"query": query, "variables": given})
            assert answer.status_code == 401, name


# -- routes --------------------------------------------------------------------------------------------------


async def test_each_route_asks_for_what_the_table_says(edge: Edge) -> None:
    foreign = [
        {},
        {"authorization": f"Bearer {edge.admin.key}"},
        {"authorization": edge.internal.headers["authorization"]},
        {"authorization": f"Bearer {secrets.token_urlsafe(32)}"},
    ]
    for (method, path), door in {**PUBLIC_ROUTES, **INTERNAL_ROUTES}.items():
        if method == "WEBSOCKET":
            continue
        internal = path.startswith("/internal")
        http = edge.internal if internal else edge.http
        for number, headers in enumerate(foreign):
            body = {"runner_id": str(new_id()), "session": f"hrs_{secrets.token_urlsafe(32)}"}
            status = (
                await http.request(method, path, json=body, headers=headers or {"authorization": ""})
            ).status_code
            opens = {Door.CALLER: {1}, Door.RUNNER: {2}, Door.ENROLMENT: set[int]()}.get(
                door, set(range(len(foreign)))
            )
            if path == "/auth/logout" and number == 1:
                continue  # a key has no session to end
            assert (status != 401) is (number in opens), (method, path, number, status)


async def test_a_forged_callback_is_answered_like_one_of_nobody(world: World) -> None:
    run, tenant = world.ids["run"], world.ids["tenant"]
    forged = [
        "x",
        run,
        base64.urlsafe_b64encode(run.encode()).decode(),
        base64.urlsafe_b64encode(f"{tenant}.{run}.acme_wait".encode()).decode() + "." + "A" * 43,
        secrets.token_urlsafe(80),
        "%00",
        "..%2f..%2fhealth",
    ]
    answers = [await world.edge.http.post(f"/callbacks/{token}", content=b"{}") for token in forged]
    assert {answer.status_code for answer in answers} == {404}
    assert "acme" not in "".join(answer.text for answer in answers)
    assert (
        len(
            {
                _words(answer)
                for answer in answers
                if answer.json()["errors"][0]["message"] != "address not found"
            }
        )
        == 1
    )


def _words(answer: httpx.Response) -> tuple[str, str]:
    (error,) = answer.json()["errors"]
    return error["message"], error["extensions"]["code"]


async def test_interfaces_hold_no_field_that_is_looked_up() -> None:
    """`selection` takes an interface's fields as they stand in its members."""
    for kind in SCHEMA.core.type_map.values():
        if isinstance(kind, GraphQLInterfaceType):
            assert not [name for name in loaded_fields(SCHEMA.core) if name.startswith(f"{kind.name}.")]
