"""One tenant that has something of everything, and one that asks for it."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import orjson
from fixtures_edge import Edge
from graphql import GraphQLInterfaceType
from graphql_operations import operation, required, root_fields
from headrace.ids import new_id
from headrace_control.auth.caller import Caller
from headrace_control.auth.roles import Role
from headrace_control.graphql.context import Context
from headrace_control.graphql.schema import Schema, create_schema

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
