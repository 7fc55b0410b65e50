"""Role by operation by tenant: every field of the schema and every route, as the table says, and nothing of another
tenant by any of them."""

import asyncio
import base64
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import httpx
import orjson
import pytest
import pytest_asyncio
from fixtures_edge import Edge
from graphql import GraphQLError, GraphQLInterfaceType
from graphql_operations import leaves, loaded_fields, operation, placed, required, root_fields
from headrace.errors import NotFound
from headrace.ids import new_id
from headrace_control.auth.caller import Caller
from headrace_control.auth.roles import Role
from headrace_control.graphql.context import Context
from headrace_control.graphql.schema import Schema, create_schema
from starlette.routing import BaseRoute, Route, WebSocketRoute
from strawberry.extensions import SchemaExtension

from tests.security.access_table import INTERNAL_ROUTES, LOADED, PUBLIC_ROUTES, Door, Who, fields

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLE = fields()
SCHEMA = create_schema()
ROOTS = root_fields(SCHEMA.core)
SCALARS: Mapping[str, Any] = {
    "ID": str(new_id()),
    "String": "nothing-of-this-name",
    "Int": 1,
    "Float": 1.0,
    "Boolean": False,
    "JSON": {},
    "DateTime": "2030-01-31T12:00:00Z",
}


FAILURE = cast(GraphQLInterfaceType, SCHEMA.core.type_map["Failure"])
FAILURES = {kind.name for kind in SCHEMA.core.get_possible_types(FAILURE)}


# -- the world: one tenant that has something of everything, and one that asks for it --------------------------

DOCUMENT = {
    "workflow": "acme-orders",
    "parameters": {"type": "object"},
    "env": {"TOKEN": {"secret": "acme-token"}},
    "steps": [
        {
            "key": "acme_fetch",
            "action": "acme-shop/acme-get",
            "connection": "acme-shop-main",
            "input": {"order": "1"},
        },
        {"key": "acme_wait", "type": "signal", "signal": {"name": "acme-signal"}},
    ],
}


@dataclass(frozen=True)
class World:
    """`ids` and `names` are what only the tenant acme has; `callers` its own by role. `stranger` is another's admin."""

    edge: Edge
    callers: dict[str, Caller]
    stranger: Caller
    ids: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    cursors: set[str] = field(default_factory=set)

    async def ask(
        self, caller: Caller, query: str, variables: Mapping[str, Any], schema: Schema = SCHEMA
    ) -> Any:
        context = Context(self.edge.composed.services, caller)
        if not query.startswith("subscription"):
            return await schema.execute(query, variable_values=dict(variables), context_value=context)
        stream = aiter(await schema.stream(query, variable_values=dict(variables), context_value=context))
        try:
            # A log that nobody writes tells nothing for ever; of a run there is an answer at once.
            async with asyncio.timeout(0.3 if "logTail" in query else 30):
                return await anext(stream)
        except TimeoutError:
            return SimpleNamespace(data=None, errors=None)
        finally:
            await stream.aclose()

    async def done(self, name: str, /, **given: Any) -> Any:
        """The one field of an operation of acme's admin, which must go well; names have their type before them."""
        query, variables = operation(name, ROOTS[name], given)
        found = await self.ask(self.callers[Role.ADMIN], query, variables)
        assert not found.errors, found.errors
        (value,) = found.data.values()
        assert value["__typename"] not in FAILURES, value
        return value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(edge: Edge) -> AsyncIterator[World]:
    authenticator = edge.composed.authenticator
    callers: dict[str, Caller] = {
        role: await authenticator.caller(f"Bearer {keyed.key}") for role, keyed in edge.keys.items()
    }
    callers["platform"] = await authenticator.caller(f"Bearer {edge.platform.key}")
    made = World(edge, callers, await authenticator.caller(f"Bearer {edge.stranger.key}"))
    await furnish(made)
    yield made


async def furnish(world: World) -> None:
    """Something of every kind that the schema shows, by the API where it is the quickest way, else by rows."""
    app = {"name": "acme-shop", "baseUrl": "http://acme.invalid", "auth": {"kind": "BASIC"}}
    connection = {
        "app": "acme-shop",
        "name": "acme-shop-main",
        "config": {"username": "acme-user"},
        "secrets": {"password": "acme-canary-password"},
    }
    action = {"method": "GET", "endpointTemplate": "/acme/{order}", "approvalClass": "A"}
    done, ids = world.done, world.ids
    ids["app"] = (await done("mutation createApp", input=app))["App_id"]
    await done("mutation saveAction", app="acme-shop", name="acme-get", definition=action)
    ids["connection"] = (await done("mutation createConnection", input=connection))["Connection_id"]
    await done("mutation setSecret", name="acme-token", value="acme-canary-secret")
    published = await done("mutation publishWorkflow", document=DOCUMENT)
    ids["version"] = published["PublishedVersion_version"]["id"]
    saved = await done("mutation saveDraft", document={**DOCUMENT, "env": {}})
    ids["draft"] = saved["SavedDraft_version"]["id"]
    started = await done("mutation startRun", workflow="acme-orders", input={})
    ids["run"] = run = started["Run_id"]
    schedule = {"name": "acme-nightly", "workflow": "acme-orders", "cron": "@daily", "input": {}}
    ids["schedule"] = (await done("mutation createSchedule", input=schedule))["Schedule_id"]
    webhook = {"name": "acme-paid", "workflow": "acme-orders"}
    made = await done("mutation createWebhook", input=webhook)
    ids["webhook"] = made["IssuedWebhook_webhook"]["id"]
    hook = {"name": "acme-hook", "url": "http://acme.invalid/acme-path", "events": ["RUN_FAILED"]}
    ids["hook"] = (await done("mutation createHook", **hook))["IssuedHook_hook"]["id"]
    last_week = {"from": "2020-01-01T00:00:00Z", "until": "2020-01-03T00:00:00Z"}
    backfill = await done("mutation startBackfill", schedule="acme-nightly", **last_week)
    ids["backfill"] = backfill["Backfill_id"]
    await done("mutation setPolicyRule", app="acme-shop", approvalClass="B", reason="acme-reason")
    invited = await done("mutation inviteMember", email="acme@acme.invalid", role="VIEWER")
    ids["member"] = invited["IssuedInvitation_member"]["id"]
    await rows(world, run)
    world.ids["tenant"] = str(world.callers[Role.ADMIN].tenant_id)
    world.ids["key"] = str(world.callers[Role.VIEWER].actor.id)
    world.names.update(
        app="acme-shop",
        action="acme-get",
        connection="acme-shop-main",
        secret="acme-token",
        workflow="acme-orders",
        schedule="acme-nightly",
        webhook="acme-paid",
        hook="acme-hook",
        step="acme_fetch",
        signal="acme-signal",
        tenant="acme",
    )
    for caller in world.callers.values():
        if caller.tenant_id == world.callers[Role.ADMIN].tenant_id:
            for name, root in ROOTS.items():
                if name.startswith("query ") and "first" in root.args:
                    query, given = operation(name, root, {**required(root, SCALARS), "first": 1})
                    text = orjson.dumps((await world.ask(caller, query, given)).data, default=str).decode()
                    world.cursors.update(re.findall(r'endCursor":"([^"]+)"', text))
            break


async def rows(world: World, run: str) -> None:
    """What runners, the reporter and the loop of schedules would have written."""
    owner, tenant = world.edge.owner, world.callers[Role.ADMIN].tenant_id
    await owner.execute(
        """INSERT INTO schedule_firings (tenant_id, id, schedule_id, at, outcome, run_id)
           SELECT $1, $2, id, now(), 'STARTED', $3::uuid FROM schedules WHERE tenant_id = $1""",
        tenant,
        new_id(),
        run,
    )
    await owner.execute(
        """INSERT INTO webhook_deliveries (tenant_id, id, webhook_id, message_id, digest, run_id)
           SELECT $1, $2, id, 'acme-message', '', $3::uuid FROM webhooks WHERE tenant_id = $1""",
        tenant,
        new_id(),
        run,
    )
    await owner.execute(
        """INSERT INTO waits (tenant_id, run_id, step, kind, data, opened_at)
           VALUES ($1, $2::uuid, 'acme_wait', 'APPROVAL', '{"kind": "APPROVAL", "message": "acme-question"}', now())""",
        tenant,
        run,
    )
    await owner.execute(
        """INSERT INTO log_records (tenant_id, id, run_id, at, expires_at, level, message, terms)
           VALUES ($1, $2, $3::uuid, now(), now() + interval '1 day', 20, 'acme-words', '{acme,words,INFO}')""",
        tenant,
        new_id(),
        run,
    )


def shown(result: Any, *given: str) -> str:
    """A result without what differs by chance: correlation ids, times, and what was asked with."""
    errors = [
        {
            "message": e.message,
            "path": e.path,
            "extensions": {k: v for k, v in (e.extensions or {}).items() if k != "correlationId"},
        }
        for e in result.errors or ()
    ]
    text = orjson.dumps({"data": result.data, "errors": errors}, default=str).decode()
    assert '"LIMIT_EXCEEDED"' not in text, "the operation asks for too much, and proves nothing"
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    for value in given:
        text = text.replace(value, "<given>")
    return text


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


# -- another tenant ------------------------------------------------------------------------------------------

# Names that these make anew: each tenant has its own, so another's is as good as any.
MADE_ANEW = frozenset(
    {
        ("mutation createTenant", "name"),
        ("mutation createApp", "input.name"),
        ("mutation createApiKey", "name"),
        ("mutation createConnection", "input.name"),
        ("mutation createSchedule", "input.name"),
        ("mutation createWebhook", "input.name"),
        ("mutation createHook", "name"),
        ("mutation setSecret", "name"),
    }
)
# These change what the stranger has itself, by any argument.
OWN_WORK = frozenset({"mutation rotateDataKey"})


async def test_another_tenants_things_are_as_if_they_were_not(world: World) -> None:
    """For each place of each operation: what acme has is answered as what nobody has."""
    tried = 0
    for name, root in ROOTS.items():
        # What lasts is asked for below, one by one: nothing coming is what it waits for.
        for at, kind in () if name.startswith("subscription") else leaves(root, "ID", "String"):
            place = ".".join(str(part) for part in at)
            if (name, place) in MADE_ANEW or name in OWN_WORK or at[-1] == "after":
                continue
            pool = world.ids if kind.name == "ID" else world.names  # type: ignore[union-attr]
            nobodys = str(new_id()) if kind.name == "ID" else "nobody-has-this"  # type: ignore[union-attr]
            query, given = operation(name, root, placed(root, at, nobodys, SCALARS), depth=0)
            expected = shown(await world.ask(world.stranger, query, given), nobodys)
            for what, value in pool.items():
                query, given = operation(name, root, placed(root, at, value, SCALARS), depth=0)
                found = shown(await world.ask(world.stranger, query, given), value)
                assert found == expected, (name, place, what)
                tried += 1
    assert tried > 250


async def test_what_must_name_two_things_does_not_find_them_elsewhere(world: World) -> None:
    """Operations whose references stand together, or in a document."""
    ids, names = world.ids, world.names
    document = {**DOCUMENT, "workflow": "theirs"}
    pairs: list[tuple[str, dict[str, Any]]] = [
        ("query action", {"app": names["app"], "name": names["action"]}),
        ("query actionRevisions", {"app": names["app"], "name": names["action"]}),
        ("query effectivePolicy", {"app": names["app"], "action": names["action"]}),
        ("query workflowVersion", {"workflow": names["workflow"], "number": 1}),
        ("query diffVersions", {"a": ids["version"], "b": ids["draft"]}),
        ("query logs", {"filter": {"runId": ids["run"]}}),
        ("query logs", {"filter": {"runId": ids["run"], "step": names["step"]}}),
        ("query runs", {"filter": {"workflow": names["workflow"]}}),
        ("query validateWorkflow", {"document": document}),
        ("mutation publishWorkflow", {"document": document}),
        ("mutation decideApproval", {"runId": ids["run"], "step": "acme_wait", "decision": "APPROVED"}),
        ("mutation settleStep", {"runId": ids["run"], "step": names["step"], "outcome": "SUCCEEDED"}),
        ("mutation signalRun", {"runId": ids["run"], "name": names["signal"]}),
        ("mutation startRun", {"workflow": names["workflow"], "version": 1}),
        ("mutation startRuns", {"items": [{"workflow": names["workflow"]}]}),
        ("mutation removePolicyRule", {"app": names["app"]}),
        ("subscription runChanged", {"id": ids["run"]}),
        ("subscription logTail", {"filter": {"runId": ids["run"]}}),
    ]
    acme = set(ids.values()) | set(names.values())
    for name, given in pairs:
        text = orjson.dumps(given).decode()
        unknown = orjson.loads(re.sub("acme-", "nobodys-", _fresh_ids(text, ids)))
        answers = []
        for asked in (given, unknown):
            query, variables = operation(name, ROOTS[name], {**required(ROOTS[name], SCALARS), **asked})
            found = shown(await world.ask(world.stranger, query, variables))
            answers.append(
                re.sub("acme-|nobodys-", "", _fresh_ids(found, dict.fromkeys(_ids_in(found), ""), "<id>"))
            )
            if asked is unknown:
                assert not [value for value in acme if value in found], name
        assert answers[0] == answers[1], name
    run = await world.done("query run", id=ids["run"])
    assert (run["status"], run["cancelRequested"]) == ("QUEUED", False)


def _ids_in(text: str) -> list[str]:
    return re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text)


def _fresh_ids(text: str, known: Mapping[str, str], by: str | None = None) -> str:
    for value in known if by else known.values():
        text = text.replace(value, by or str(new_id()))
    return text


async def test_another_tenants_cursor_shows_nothing_of_it(world: World) -> None:
    assert len(world.cursors) > 5
    for name, root in ROOTS.items():
        if "after" not in root.args:
            continue
        for cursor in world.cursors:
            query, given = operation(name, root, {**required(root, SCALARS), "after": cursor})
            found = shown(await world.ask(world.stranger, query, given))
            assert "acme" not in found, (name, cursor)
            assert not [value for value in world.ids.values() if value in found], (name, cursor)


async def test_nothing_of_another_tenant_is_in_any_list(world: World) -> None:
    for name, root in ROOTS.items():
        if name.startswith("query "):
            query, given = operation(name, root, required(root, SCALARS))
            found = shown(await world.ask(world.stranger, query, given))
            assert "acme" not in found, name
            assert not [value for value in world.ids.values() if value in found], name


async def test_what_an_object_loads_is_loaded_for_who_asks(world: World) -> None:
    """Every field that is looked up is asked for by another tenant, on an object that it should never have held."""
    seen: dict[str, tuple[Any, dict[str, Any]]] = {}

    class Remember(SchemaExtension):
        async def resolve(self, _next: Any, root: Any, info: Any, *args: Any, **kwargs: Any) -> Any:
            seen.setdefault(f"{info.parent_type.name}.{info.field_name}", (root, kwargs))
            found = _next(root, info, *args, **kwargs)
            return await found if asyncio.iscoroutine(found) or asyncio.isfuture(found) else found

    noticing = create_schema()
    noticing.extensions = [*noticing.extensions, Remember]
    for name, root in ROOTS.items():
        if name.startswith("query "):
            ours = {"id": "run", "name": "app", "workflow": "workflow", "app": "app"}
            given = required(root, SCALARS)
            for arg in given:
                if name == f"query {arg}" or arg in ours:
                    given[arg] = world.ids["run"] if arg == "id" else world.names[ours[arg]]
            given |= (
                {"name": world.names[name.split()[1]]}
                if name.split()[1] in world.names and "name" in given
                else {}
            )
            given |= {"name": world.names["action"]} if name == "query actionRevisions" else {}
            query, given = operation(name, root, given, depth=3)
            await world.ask(world.callers[Role.ADMIN], query, given, noticing)
    stranger = Context(world.edge.composed.services, world.stranger)
    asked = 0
    for name, loaded in loaded_fields(SCHEMA.core).items():
        if name not in seen or seen[name][0] is None:
            continue
        source, kwargs = seen[name]
        resolver = loaded.extensions["strawberry-definition"].base_resolver.wrapped_func
        try:
            found = await resolver(source, info=SimpleNamespace(context=stranger), **kwargs)
        except (NotFound, GraphQLError):
            found = None
        assert not getattr(found, "items", found), (name, found)
        asked += 1
    assert asked >= 12, sorted(seen)


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
