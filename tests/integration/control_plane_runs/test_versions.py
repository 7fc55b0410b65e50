"""Drafts, publishing, versions and what is different between them."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.integration.control_plane_runs.acting import (
    FAILURE,
    Client,
    deprecate,
    orders,
    publish,
    publish_version,
    save_action,
    save_draft,
    start,
    with_role,
)

_YAML = """
# A comment that stays.
workflow: orders
steps:
  - key: make
    type: transform
    input: {number: 1, no: no}
"""


async def validate(client: Client, document: object) -> Any:
    found = await client(
        "query($d: JSON!) { validateWorkflow(document: $d) { problems { path message mend code } } }",
        d=document,
    )
    return found["problems"]


async def versions(client: Client, **page: Any) -> Any:
    return await client(
        """query($first: Int! = 50, $after: String) { workflow(name: "orders") {
             draft { number } published { number }
             versions(first: $first, after: $after) {
               items { id number status } pageInfo { hasNextPage endCursor } } } }""",
        **page,
    )


async def test_all_problems_of_a_document_come_in_one_answer(acme: Client, admin: asyncpg.Connection) -> None:
    document = orders(
        env={"TOKEN": {"secret": "tokens"}},
        edges=[{"from": "fetch", "to": "refund"}, {"from": "refund", "to": "nowhere"}],
        steps=[
            {"key": "fetch", "action": "shop/get-orders", "connection": "shop-main"},
            {"key": "refund", "action": "shop/refund", "connection": "bank-main", "input": {"amount": "x"}},
            {"key": "tell", "type": "transform", "input": "{{ steps.missing.output }}"},
            {"key": "count", "type": "transform", "input": "{{ 1 + }}"},
            {"key": "send", "action": "shop/refund", "connection": "shop-mein", "input": {"amount": 1}},
        ],
        result="{{ steps.fetch.output",
    )
    problems = {problem["path"]: problem for problem in await validate(acme, document)}
    assert {
        "env.TOKEN.secret",
        "edges[1].to",
        "steps[0].action",
        "steps[1].action",
        "steps[1].input.amount",
        "steps[2].input",
        "steps[3].input",
        "steps[4].connection",
        "result",
    } <= problems.keys()
    assert all(problem["mend"] and problem["message"] for problem in problems.values())
    assert problems["steps[0].action"]["mend"] == "Did you mean `shop/get-order`?"
    assert problems["steps[4].connection"]["mend"] == "Did you mean `shop-main`?"
    assert problems["env.TOKEN.secret"]["mend"] == "Did you mean `token`?"
    refused = await publish(acme, document)
    assert {problem["path"] for problem in refused["problems"]} == problems.keys()
    for table in ("workflows", "workflow_versions"):
        assert await admin.fetchval(f"SELECT count(*) FROM {table}") == 0


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ("workflow: [", "line"),
        ("a: 1\na: 2\n", "twice"),
        ("a: &x 1\nb: *x\n", "line 2"),
        (7, ""),
        ("", ""),
        ({"workflow": "Orders"}, ""),
    ],
)
async def test_what_is_no_document_is_refused_with_its_place(
    acme: Client, document: object, place: str
) -> None:
    for problems in (await validate(acme, document), (await publish(acme, document))["problems"]):
        assert problems
        assert any(place in problem["message"] for problem in problems)


async def test_a_draft_is_saved_unfinished_and_edited_in_place(acme: Client) -> None:
    first = await save_draft(acme, {"workflow": "orders", "steps": [{"key": "a"}]}, note="begun")
    assert first["version"]["status"] == "DRAFT"
    assert [problem["path"] for problem in first["problems"]] == ["steps[0].action"]
    second = await save_draft(acme, _YAML)
    assert (second["version"]["id"], second["version"]["number"]) == (first["version"]["id"], 1)
    assert (second["version"]["note"], second["problems"]) == ("begun", [])
    stored = await acme(
        """{ workflow(name: "orders") { draft { source document resolved } versions { items { id } } } }"""
    )
    assert stored["draft"]["source"] == _YAML
    assert stored["draft"]["document"]["steps"][0]["input"] == {"number": 1, "no": "no"}
    assert stored["draft"]["resolved"] is None
    assert len(stored["versions"]["items"]) == 1


async def test_a_draft_needs_a_name_to_be_saved(acme: Client) -> None:
    documents: tuple[object, ...] = ({"steps": []}, {"workflow": "Not a name"}, [1], "just words")
    for document in documents:
        assert (await save_draft(acme, document))["code"] == "INVALID_INPUT"


async def test_a_published_version_never_changes(acme: Client, admin: asyncpg.Connection) -> None:
    draft = (await save_draft(acme, orders()))["version"]
    published = await publish_version(acme, draft["id"])
    assert (published["created"], published["version"]["status"]) == (True, "PUBLISHED")
    again = await publish_version(acme, draft["id"])
    assert (again["created"], again["version"]) == (False, published["version"])
    before = await admin.fetchrow("SELECT * FROM workflow_versions")
    other = await save_draft(acme, orders(timeoutMs=5))
    assert (other["version"]["id"] != draft["id"], other["version"]["number"]) == (True, 2)
    assert await admin.fetchrow("SELECT * FROM workflow_versions WHERE version = 1") == before
    refused = await acme(
        "mutation($id: ID!) { discardDraft(id: $id) { __typename " + FAILURE + "} }", id=draft["id"]
    )
    assert refused["code"] == "CONFLICT"
    for change in ("UPDATE workflow_versions SET document = '{}'", "DELETE FROM workflow_versions"):
        with pytest.raises(asyncpg.RaiseError, match="immutable"):
            await admin.execute(f"{change} WHERE version = 1")


async def test_a_draft_with_problems_is_not_published(acme: Client) -> None:
    draft = (await save_draft(acme, {"workflow": "orders", "steps": []}))["version"]
    assert (await publish_version(acme, draft["id"]))["code"] == "INVALID_INPUT"
    assert (await versions(acme))["draft"] == {"number": 1}


async def test_publishing_the_same_again_answers_the_same_version(acme: Client) -> None:
    first = await publish(acme, orders(), note="first")
    again = await publish(acme, orders(edges=[]))
    assert (again["created"], again["version"]) == (False, first["version"])
    await save_action(acme, "get-order", {"method": "GET", "endpointTemplate": "/v2/orders/{order}"})
    newer = await publish(acme, orders())
    assert (newer["created"], newer["version"]["number"]) == (True, 2)
    assert (await publish(acme, orders()))["version"] == newer["version"]


async def test_a_version_pins_what_it_was_published_with(acme: Client, admin: asyncpg.Connection) -> None:
    await publish(acme, orders())
    await save_action(acme, "get-order", {"method": "GET", "endpointTemplate": "/v2/orders/{order}"})
    found = await acme("""{ workflowVersion(workflow: "orders", number: 1) { resolved digest } }""")
    pinned = found["resolved"]["actions"]["shop/get-order"]
    assert (pinned["revision"], pinned["definition"]["endpointTemplate"]) == (1, "/orders/{order}")
    connection = await admin.fetchval("SELECT id::text FROM connections WHERE name = 'shop-main'")
    assert found["resolved"]["connections"] == {"shop-main": connection}
    assert found["resolved"]["digest"] == found["digest"]
    assert found["resolved"]["document"]["env"] == {"TOKEN": {"secret": "token"}}


async def test_publishing_beside_a_draft_leaves_the_draft_on_top(acme: Client) -> None:
    draft = (await save_draft(acme, orders(timeoutMs=1)))["version"]
    published = await publish(acme, orders())
    assert (draft["number"], published["version"]["number"]) == (1, 1)
    found = await versions(acme)
    assert [(v["number"], v["status"]) for v in found["versions"]["items"]] == [
        (2, "DRAFT"),
        (1, "PUBLISHED"),
    ]
    assert (await publish_version(acme, draft["id"]))["version"]["number"] == 2
    assert (await versions(acme))["published"] == {"number": 2}


async def test_versions_published_at_once_are_numbered_without_gaps(acme: Client) -> None:
    answers = await asyncio.gather(*(publish(acme, orders(timeoutMs=1000 + n)) for n in range(8)))
    assert sorted(answer["version"]["number"] for answer in answers) == list(range(1, 9))
    same = await asyncio.gather(*(publish(acme, orders(timeoutMs=9)) for _ in range(5)))
    assert {answer["version"]["number"] for answer in same} == {9}
    assert [answer["created"] for answer in same].count(True) == 1
    drafts = await asyncio.gather(*(save_draft(acme, orders(timeoutMs=n + 1)) for n in range(5)))
    assert len({draft["version"]["id"] for draft in drafts}) == 1


@pytest.mark.parametrize("table", ["connections", "secrets"])
async def test_what_is_being_deleted_is_not_published_with(
    acme: Client, admin: asyncpg.Connection, table: str
) -> None:
    await acme('mutation { setSecret(name: "pin", value: "a long value") { __typename } }')
    document = orders(env={"PIN": {"secret": "pin"}})
    deleting = admin.transaction()
    await deleting.start()
    await admin.execute(f"DELETE FROM {table}")
    publishing = asyncio.create_task(publish(acme, document))
    async with asyncio.timeout(30):
        waits = (
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
        )
        while not await admin.fetchval(waits):
            assert not publishing.done(), await publishing
            await asyncio.sleep(0.01)  # nothing tells of a lock
    await deleting.commit()
    assert (await publishing)["__typename"] == "Conflict"


async def test_versions_come_in_pages(acme: Client) -> None:
    for n in range(5):
        await publish(acme, orders(timeoutMs=n + 1))
    seen, after = [], None
    while True:
        page = (await versions(acme, first=2, after=after))["versions"]
        seen += [version["number"] for version in page["items"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert seen == [5, 4, 3, 2, 1]


async def test_workflows_come_by_name_in_pages(acme: Client) -> None:
    for name in ("b", "c", "a"):
        await publish(acme, orders(workflow=name))
    query = """query($after: String) { workflows(first: 2, after: $after) {
                 items { name published { number } versions(first: 1) { items { number } } }
                 pageInfo { hasNextPage endCursor } } }"""
    first = await acme(query)
    second = await acme(query, after=first["pageInfo"]["endCursor"])
    assert [w["name"] for w in (*first["items"], *second["items"])] == ["a", "b", "c"]
    assert all(w["published"] == {"number": 1} == w["versions"]["items"][0] for w in first["items"])
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


async def test_a_deprecated_version_stays_and_does_not_start(acme: Client) -> None:
    version = (await publish(acme, orders()))["version"]
    for _ in range(2):
        assert (await deprecate(acme, version["id"]))["status"] == "DEPRECATED"
    assert (await start(acme))["message"] == "the workflow has no published version"
    assert (await publish_version(acme, version["id"]))["code"] == "CONFLICT"
    draft = (await save_draft(acme, orders()))["version"]
    assert (await deprecate(acme, draft["id"]))["code"] == "CONFLICT"


async def test_a_difference_reads_by_step_and_not_by_place(acme: Client) -> None:
    fetch, refund = orders()["steps"]
    before = (await publish(acme, orders()))["version"]["id"]
    await save_action(acme, "get-order", {"method": "GET", "endpointTemplate": "/v2/orders/{order}"})
    check = {"key": "check", "type": "transform", "input": 1}
    changed = {**refund, "input": {"amount": 5}, "onError": "continue"}
    after = (await publish(acme, orders(steps=[check, fetch, changed], timeoutMs=9)))["version"]["id"]
    query = """query($a: ID!, $b: ID!) { diffVersions(a: $a, b: $b) {
                 truncated changes { path kind before after } } }"""
    diff = await acme(query, a=before, b=after)
    assert diff == {
        "truncated": False,
        "changes": [
            {"path": "steps.check", "kind": "ADDED", "before": None, "after": check},
            {"path": "steps.refund.input.amount", "kind": "CHANGED", "before": 3, "after": 5},
            {"path": "steps.refund.onError", "kind": "ADDED", "before": None, "after": "continue"},
            {"path": "timeoutMs", "kind": "ADDED", "before": None, "after": 9},
            {"path": "actions['shop/get-order'].revision", "kind": "CHANGED", "before": 1, "after": 2},
        ],
    }
    back = await acme(query, a=after, b=before)
    turned = {"ADDED": "REMOVED", "REMOVED": "ADDED", "CHANGED": "CHANGED"}
    assert [(c["path"], c["kind"], c["before"], c["after"]) for c in back["changes"]] == [
        (c["path"], turned[c["kind"]], c["after"], c["before"]) for c in diff["changes"]
    ]
    assert (await acme(query, a=before, b=before))["changes"] == []
    draft = (await save_draft(acme, orders(steps=[changed, fetch, check], timeoutMs=9)))["version"]["id"]
    moved = (await acme(query, a=after, b=draft))["changes"]
    assert moved[0] == {
        "path": "steps",
        "kind": "CHANGED",
        "before": ["check", "fetch", "refund"],
        "after": ["refund", "fetch", "check"],
    }


async def test_another_tenants_versions_are_not_there(acme: Client, stranger: Client) -> None:
    version = (await publish(acme, orders()))["version"]["id"]
    draft = (await save_draft(acme, orders(timeoutMs=1)))["version"]["id"]
    missing = "00000000-0000-7000-8000-000000000000"
    for id_ in (version, draft, missing, "no id"):
        for answer in (await publish_version(stranger, id_), await deprecate(stranger, id_)):
            assert (answer["code"], answer["message"]) == ("NOT_FOUND", "workflow version not found")
        discarded = await stranger(
            "mutation($id: ID!) { discardDraft(id: $id) { __typename " + FAILURE + "} }", id=id_
        )
        assert discarded["message"] == "workflow version not found"
        error = await stranger.error("query($a: ID!) { diffVersions(a: $a, b: $a) { truncated } }", a=id_)
        assert error["extensions"]["code"] == "NOT_FOUND"
    assert (await stranger.error("""{ workflow(name: "orders") { id } }"""))[
        "message"
    ] == "workflow not found"
    assert (await stranger("{ workflows { items { name } } }"))["items"] == []


async def test_who_may_design(acme: Client) -> None:
    viewer, designer = await with_role(acme, "VIEWER"), await with_role(acme, "DESIGNER")
    version = (await publish(designer, orders()))["version"]["id"]
    for answer in (
        await publish(viewer, orders()),
        await save_draft(viewer, orders()),
        await publish_version(viewer, version),
        await deprecate(viewer, version),
    ):
        assert answer["__typename"] == "Forbidden"
    assert (await versions(viewer))["published"] == {"number": 1}
