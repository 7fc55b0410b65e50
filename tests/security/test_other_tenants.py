"""Nothing of another tenant by any operation: every argument, cursor, list and looked-up field."""

import asyncio
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from graphql import GraphQLError
from graphql_operations import leaves, loaded_fields, operation, placed, required
from headrace.errors import NotFound
from headrace.ids import new_id
from headrace_control.auth.roles import Role
from headrace_control.graphql.context import Context
from headrace_control.graphql.schema import create_schema
from strawberry.extensions import SchemaExtension

from tests.security.two_tenants import DOCUMENT, ROOTS, SCALARS, SCHEMA, World, shown

pytestmark = pytest.mark.asyncio(loop_scope="module")

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
