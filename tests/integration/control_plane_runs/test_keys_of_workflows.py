"""Keys for runs of named workflows: those, and nothing else of the tenant."""

from typing import Any

import pytest
from graphql_operations import operation, required, root_fields
from headrace_control.graphql.schema import create_schema

from tests.integration.control_plane_runs.acting import FAILURE, Client, orders, publish

CREATE = f"""mutation($workflows: [String!], $permissions: [Permission!], $role: Role! = ADMIN) {{
  createApiKey(name: "limited", role: $role, workflows: $workflows, permissions: $permissions) {{
    ... on IssuedApiKey {{ key apiKey {{ workflows permissions }} }} {FAILURE} }} }}"""
START = f"""mutation($workflow: String!) {{ startRun(workflow: $workflow, input: {{order: "1"}}) {{
  ... on Run {{ id workflow {{ name }} }} {FAILURE} }} }}"""
WHOLE = """query($id: ID!) { run(id: $id) { id input result workflow { name } version { number document }
  parent { id } children { items { id } } events { items { kind } }
  steps { key input output attempts { number } items { items { key } } } } }"""
LIST = "query($f: RunFilter) { runs(filter: $f) { items { id workflow { name } } } }"
SCALARS = {"ID": "01890000-0000-7000-8000-000000000000", "String": "orders", "Int": 1, "Float": 1.0}
SCALARS |= {"Boolean": False, "JSON": {}, "DateTime": "2030-01-31T12:00:00Z"}
# What such a key is for; and who one is.
ITS_OWN = {
    "query run",
    "query runs",
    "query runAt",
    "query runRevisions",
    "query me",
    "mutation startRun",
    "mutation startRuns",
}
PAST = "query($id: ID!) { runAt(id: $id) { status } }"
REVISIONS = "query($id: ID!) { runRevisions(id: $id) { items { revision } } }"


async def key_of(client: Client, *workflows: str, **given: Any) -> Client:
    made = await client(CREATE, workflows=list(workflows), **given)
    assert made["apiKey"]["workflows"] == sorted(workflows), made
    return Client(client.http, made["key"])


@pytest.fixture
async def designed(acme: Client) -> Client:
    for name in ("orders", "refunds", "salaries"):
        await publish(acme, orders(workflow=name))
    return acme


async def started(client: Client, workflow: str) -> Any:
    return await client(START, workflow=workflow)


async def test_it_starts_and_sees_runs_of_its_workflows(designed: Client) -> None:
    limited = await key_of(designed, "orders", "refunds")
    own = await started(limited, "orders")
    assert own["workflow"] == {"name": "orders"}
    others = await started(designed, "salaries")
    theirs = await started(designed, "refunds")
    assert (await started(limited, "salaries")) == (await started(limited, "nobodys"))
    assert (await started(limited, "salaries"))["code"] == "NOT_FOUND"
    seen = [item["id"] for item in (await limited(LIST, f=None))["items"]]
    assert seen == [theirs["id"], own["id"]]
    for wanted, expected in (("refunds", [theirs["id"]]), ("salaries", []), ("nobodys", [])):
        found = (await limited(LIST, f={"workflow": wanted}))["items"]
        assert [item["id"] for item in found] == expected
    whole = await limited(WHOLE, id=own["id"])
    assert (whole["version"]["number"], whole["input"]) == (1, {"order": "1"})
    assert whole["steps"]
    hidden, nobodys = [
        await limited.error(WHOLE, id=run) for run in (others["id"], "01890000-0000-7000-8000-000000000000")
    ]
    assert hidden["extensions"]["code"] == nobodys["extensions"]["code"] == "NOT_FOUND"
    assert hidden["message"] == nobodys["message"]
    # Nor is a past of theirs.
    assert (await limited(PAST, id=own["id"]))["status"] == "QUEUED"
    assert len((await limited(REVISIONS, id=own["id"]))["items"]) == 1
    for query in (PAST, REVISIONS):
        assert (await limited.error(query, id=others["id"]))["extensions"]["code"] == "NOT_FOUND"


async def test_many_starts_are_answered_each_on_its_own(designed: Client) -> None:
    limited = await key_of(designed, "orders")
    items = [
        {"workflow": name, "input": {"order": "1"}} for name in ("salaries", "orders", "refunds", "orders")
    ]
    query = f"""mutation($items: [RunStart!]!) {{ startRuns(items: $items) {{
      ... on StartedRuns {{ items {{ ... on Run {{ workflow {{ name }} }} {FAILURE} }} }} {FAILURE} }} }}"""
    answers = (await limited(query, items=items))["items"]
    assert [one.get("code") for one in answers] == ["NOT_FOUND", None, "NOT_FOUND", None]
    none = (await limited(query, items=items[:1]))["items"]
    assert [one["code"] for one in none] == ["NOT_FOUND"]


async def test_relatives_of_other_workflows_are_not_seen(designed: Client, admin: Any) -> None:
    parent, child = await started(designed, "salaries"), await started(designed, "orders")
    await admin.execute(
        "UPDATE runs SET parent_run_id = $1::uuid, parent_step = 's' WHERE id = $2::uuid",
        parent["id"],
        child["id"],
    )
    of_child, of_parent = await key_of(designed, "orders"), await key_of(designed, "salaries")
    both = await key_of(designed, "orders", "salaries")
    assert (await of_child(WHOLE, id=child["id"]))["parent"] is None
    assert (await of_parent(WHOLE, id=parent["id"]))["children"]["items"] == []
    assert (await both(WHOLE, id=child["id"]))["parent"]["id"] == parent["id"]
    assert (await both(WHOLE, id=parent["id"]))["children"]["items"] == [{"id": child["id"]}]


async def test_everything_else_is_refused_whatever_its_role(designed: Client) -> None:
    """Every field of the schema, but for those that are named above: a new one is refused until it heeds the limit."""
    limited = await key_of(designed, "orders")
    run = await started(limited, "orders")
    roots = root_fields(create_schema().core)
    asked = 0
    for name, root in roots.items():
        if name in ITS_OWN or name.startswith("subscription"):
            continue
        given = {
            key: run["id"] if key in ("id", "runId") else value
            for key, value in required(root, SCALARS).items()
        }
        query, variables = operation(name, root, given, depth=0)
        answer = await limited.post(query, **variables)
        assert "FORBIDDEN" in str(answer), (name, answer)
        asked += 1
    assert asked > 50


async def test_what_such_a_key_can_not_be(designed: Client) -> None:
    for given, path in (
        ({"workflows": []}, "workflows"),
        ({"workflows": ["orders", "nobodys"]}, "workflows[1]"),
        ({"workflows": [f"w{n}" for n in range(51)]}, "workflows"),
        ({"workflows": ["orders"], "permissions": ["READ", "DESIGN"]}, "permissions"),
    ):
        refused = await designed(CREATE, **given)
        assert path in [problem["path"] for problem in refused["problems"]], (given, refused)
    reader = await key_of(designed, "orders", permissions=["READ"])
    assert (await started(reader, "orders"))["code"] == "FORBIDDEN"
    viewer = await key_of(designed, "orders", role="VIEWER")
    assert (await started(viewer, "orders"))["code"] == "FORBIDDEN"
