"""Publishing what runs other workflows, and what undoes and probes: the versions and connections that are pinned."""

import re
from pathlib import Path
from typing import Any

import asyncpg

from tests.integration.control_plane_runs.acting import FAILURE, Client, deprecate, orders, publish

GUIDES = Path(__file__).parents[3] / "docs" / "guides"
_BLOCK = re.compile(r"^```yaml\n(workflow:.*?)^```$", re.MULTILINE | re.DOTALL)
_RESOLVED = """query($w: String!) { workflow(name: $w) { published { id number resolved } } }"""


def month(**step: Any) -> dict[str, Any]:
    """A workflow that runs `orders`."""
    run = {"key": "run", "type": "workflow", "workflow": "orders", "input": {"order": "7"}, **step}
    return {"workflow": "month", "steps": [run]}


async def published(client: Client, document: Any) -> Any:
    made = await publish(client, document)
    assert made["__typename"] == "PublishedVersion", made
    return made["version"]


async def pinned(client: Client, workflow: str = "month") -> Any:
    return (await client(_RESOLVED, w=workflow))["published"]["resolved"]


async def problems(client: Client, document: Any) -> dict[str, tuple[str, str]]:
    return {p["path"]: (p["code"], p["mend"]) for p in (await publish(client, document))["problems"]}


async def test_a_child_is_pinned_at_its_newest_published_version(acme: Client) -> None:
    first = await published(acme, orders())
    await published(acme, month())
    child = {"versionId": first["id"], "version": 1, "parameters": orders()["parameters"]}
    assert (await pinned(acme))["children"] == {"run": child}
    assert not (await publish(acme, month()))["created"]
    second = await published(acme, orders(result="other"))
    await published(acme, month())
    assert (await pinned(acme))["children"]["run"]["versionId"] == second["id"]


async def test_a_child_may_be_named_by_its_version(acme: Client) -> None:
    first = await published(acme, orders())
    second = await published(acme, orders(result="other"))
    await published(acme, month(workflow={"name": "orders", "version": 1}))
    assert (await pinned(acme))["children"]["run"]["versionId"] == first["id"]
    found = await problems(acme, month(workflow={"name": "orders", "version": 9}))
    assert found == {
        "steps[0].workflow.version": ("UNKNOWN_VERSION", "Its newest is 2; leave `version` out to run that.")
    }
    await deprecate(acme, second["id"])
    await published(acme, month())
    assert (await pinned(acme))["children"]["run"]["versionId"] == first["id"]


async def test_a_child_that_is_not_published_is_refused(acme: Client, stranger: Client) -> None:
    await published(acme, orders())
    found = await problems(acme, month(workflow="order"))
    assert found == {"steps[0].workflow": ("UNKNOWN_WORKFLOW", "Did you mean `orders`?")}
    found = await problems(stranger, month())
    assert found == {"steps[0].workflow": ("UNKNOWN_WORKFLOW", "Create `orders` first.")}


async def test_what_a_deprecated_child_uses_stays_while_published_versions_run_it(acme: Client) -> None:
    child = await published(acme, orders())
    await published(acme, month())
    whole = {"workflow": "year", "steps": [{"key": "run", "type": "workflow", "workflow": "month"}]}
    outer = await published(acme, whole)
    await deprecate(acme, child["id"])
    await deprecate(acme, (await acme(_RESOLVED, w="month"))["published"]["id"])
    deletions = [
        f"mutation {{ {one} {{ __typename {FAILURE} }} }}"
        for one in ('deleteConnection(name: "shop-main")', 'deleteSecret(name: "token")')
    ]
    for deletion in deletions:
        refused = await acme(deletion)
        assert (refused["__typename"], "use it: year 1;" in refused["message"]) == ("Conflict", True), refused
    await deprecate(acme, outer["id"])
    for deletion in deletions:
        assert (await acme(deletion))["__typename"] == "Deleted"


async def test_a_childs_input_is_held_to_its_parameters(acme: Client) -> None:
    await published(acme, orders())
    found = await problems(acme, month(input={"ordr": "7"}))
    assert {path: code for path, (code, _) in found.items()} == {
        "steps[0].input.order": "MISSING_INPUT",
        "steps[0].input.ordr": "UNKNOWN_INPUT",
    }


async def test_the_connections_of_undoing_and_probing_are_pinned(
    acme: Client, admin: asyncpg.Connection
) -> None:
    await acme(
        """mutation { saveAction(app: "bank", name: "cancel", definition: {method: "DELETE",
             endpointTemplate: "/refunds", approvalClass: "A"}) { __typename } }"""
    )
    step = {
        "key": "refund",
        "action": "shop/refund",
        "input": {"amount": 3},
        "compensate": {"action": "bank/cancel", "connection": "bank-main"},
        "probe": {
            "action": "shop/get-order",
            "connection": "shop-main",
            "input": {"order": "7"},
            "done": "{{ true }}",
        },
    }
    await published(acme, orders(steps=[step], result=None))
    resolved = await pinned(acme, "orders")
    assert set(resolved["actions"]) == {"shop/refund", "bank/cancel", "shop/get-order"}
    rows = await admin.fetch(
        "SELECT name, id::text FROM connections WHERE tenant_id = (SELECT tenant_id FROM workflows)"
    )
    assert resolved["connections"] == {row["name"]: row["id"] for row in rows}
    assert "children" not in resolved


async def test_steps_that_wait_and_end_need_no_handler_to_be_published(acme: Client) -> None:
    steps = [
        {"key": "rest", "type": "wait", "wait": {"forMs": 1000}},
        {"key": "agree", "type": "approval", "approval": {"title": "Go on?", "roles": ["APPROVER"]}},
        {"key": "paid", "type": "signal"},
        {"key": "done", "type": "succeed"},
        {"key": "refused", "type": "fail", "input": {"code": "REFUSED", "message": "no"}},
    ]
    edges = [
        {"from": "rest", "to": "agree"},
        {"from": "agree", "to": "paid"},
        {"from": "paid", "to": "done"},
        {"from": "agree", "to": "refused", "on": "error"},
    ]
    await published(acme, {"workflow": "waits", "steps": steps, "edges": edges})
    steps[1]["approval"] = {"roles": ["APPROVERS"]}
    found = await problems(acme, {"workflow": "waits", "steps": steps, "edges": edges})
    assert found == {"steps[1].approval.roles[0]": ("UNKNOWN_ROLE", "Did you mean `APPROVER`?")}


async def test_the_guides_to_graphs_can_be_published(acme: Client) -> None:
    """Those that call nothing, as they stand: text, comments and all."""
    for page in ("branching", "loops", "child-workflows"):
        text = (GUIDES / f"{page}.md").read_text(encoding="utf-8")
        documents = [block for block in _BLOCK.findall(text) if "action:" not in block]
        assert documents
        for document in documents:
            await published(acme, document)
    assert set((await pinned(acme, "greet-everyone"))["children"]) == {"host", "guest"}
