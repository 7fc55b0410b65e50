"""Who started a run, as the API and the command tell it."""

from typing import Any
from uuid import UUID

import asyncpg
from headrace.ids import new_id
from headrace.postgres.pool import open_pool
from headrace_control.auth.roles import Role

from tests.integration.control_plane import people
from tests.integration.control_plane_runs.acting import Client, orders, publish, started, with_role
from tests.integration.control_plane_runs.commanding import headrace, shown

_ONE = "query($id: ID!) { run(id: $id) { startedBy { kind id name } } }"
_ME = "{ me { actor { kind id name } } }"


async def starter(client: Client, run: str) -> Any:
    return (await client(_ONE, id=run))["startedBy"]


async def test_a_key_and_a_member_are_named_also_when_they_are_gone(
    acme: Client, admin: asyncpg.Connection, database: str
) -> None:
    await publish(acme, orders())
    robot = await with_role(acme, "OPERATOR")
    key = (await robot(_ME))["actor"]
    by_key = await started(robot)
    async with await open_pool(database) as owner:
        member, session = await people.joined(
            owner, people.Client(acme.http, acme.key), "kim@example.com", Role.DESIGNER
        )
    by_member = await started(Client(acme.http, session.key))
    viewer = await with_role(acme, "VIEWER")
    assert key["kind"] == "API_KEY"
    assert await starter(viewer, by_key) == key
    kim = {"kind": "MEMBER", "id": member, "name": "kim@example.com"}
    assert await starter(viewer, by_member) == kim
    await acme("mutation($id: ID!) { revokeApiKey(id: $id) { __typename } }", id=key["id"])
    await acme("mutation($id: ID!) { removeMember(id: $id) { __typename } }", id=member)
    listed = (await viewer("{ runs { items { startedBy { kind id name } } } }"))["items"]
    assert [run["startedBy"] for run in listed] == [kim, key]
    for unknown in (None, new_id()):
        await admin.execute("UPDATE runs SET created_by = $1 WHERE id = $2", unknown, UUID(by_key))
        assert await starter(viewer, by_key) is None


async def test_a_start_tells_who_asked_for_it(acme: Client) -> None:
    await publish(acme, orders())
    started_by = "... on Run { startedBy { kind id name } }"
    items = [{"workflow": "orders", "input": {"order": "17"}}] * 2
    one = await acme(
        f'mutation($item: JSON!) {{ startRun(workflow: "orders", input: $item) {{ {started_by} }} }}',
        item=items[0]["input"],
    )
    many = await acme(
        "mutation($items: [RunStart!]!) { startRuns(items: $items) {"
        f" ... on StartedRuns {{ items {{ {started_by} }} }} }} }}",
        items=items,
    )
    me = (await acme(_ME))["actor"]
    assert [run["startedBy"] for run in (one, *many["items"])] == [me] * 3


async def test_nobody_of_another_tenant_is_named(
    acme: Client, stranger: Client, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    run = await started(acme)
    theirs = (await stranger(_ME))["actor"]["id"]
    await admin.execute("UPDATE runs SET created_by = $1 WHERE id = $2", UUID(theirs), UUID(run))
    assert await starter(acme, run) is None


async def test_by_command(acme: Client) -> None:
    await publish(acme, orders())
    run = await started(acme)
    by = {name: value for name, value in (await acme(_ME))["actor"].items() if name != "id"}
    (listed,) = (await headrace(acme, "run", "list"))["items"]
    assert (listed["id"], listed["startedBy"]) == (run, by)
    assert (await headrace(acme, "run", "get", run))["startedBy"] == by
    for words in (("run", "list"), ("run", "get", run)):
        told = await shown(acme, *words)
        assert by["name"] in told
        assert listed["createdAt"][:10] in told
