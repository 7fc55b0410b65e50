"""Policy rules, and what publishing says of the actions that they hold."""

import json
from pathlib import Path
from typing import Any

import asyncpg

from tests.integration.control_plane_runs.acting import (
    FAILURE,
    Client,
    orders,
    publish,
    publish_version,
    save_action,
    save_draft,
    with_role,
)
from tests.integration.control_plane_runs.commanding import headrace

RULE = "app action approvalClass twoPerson approverRoles expiresAfterMs reason setBy"


async def set_rule(client: Client, app: str, action: str | None, held: str, **more: Any) -> Any:
    return await client(
        "mutation($app: String!, $action: String, $c: ApprovalClass!, $two: Boolean, $roles: [Role!], $ms: Int,"
        " $why: String) { setPolicyRule(app: $app, action: $action, approvalClass: $c, twoPerson: $two,"
        " approverRoles: $roles, expiresAfterMs: $ms, reason: $why) { __typename"
        f" ... on PolicyRule {{ {RULE} }} {FAILURE} }} }}",
        app=app,
        action=action,
        c=held,
        **{"two": False, "roles": [], "ms": 60_000, "why": "", **more},
    )


async def remove_rule(client: Client, app: str, action: str | None, reason: str = "") -> Any:
    return await client(
        "mutation($app: String!, $action: String, $why: String!) {"
        " removePolicyRule(app: $app, action: $action, reason: $why) { __typename"
        f" ... on RemovedPolicyRule {{ rule {{ {RULE} }} }} {FAILURE} }} }}",
        app=app,
        action=action,
        why=reason,
    )


async def effective(client: Client, action: str, app: str = "shop") -> tuple[str, str]:
    found = await client(
        "query($app: String!, $action: String!) { effectivePolicy(app: $app, action: $action) {"
        " approvalClass source reason } }",
        app=app,
        action=action,
    )
    assert found["reason"]
    return found["approvalClass"], found["source"]


def codes(payload: Any) -> dict[str, str]:
    return {problem["path"]: problem["code"] for problem in payload["problems"]}


async def acts(admin: asyncpg.Connection) -> list[tuple[str, str, str]]:
    rows = await admin.fetch("SELECT action, target, outcome FROM audit_inbox ORDER BY id")
    known = ("policy_rule.set", "policy_rule.remove", "workflow.publish")
    return [(r["action"], r["target"], r["outcome"]) for r in rows if r["action"] in known]


async def undeclared(client: Client, name: str, declared: str | None = None) -> None:
    definition = {"method": "POST", "endpointTemplate": f"/{name}", "approvalClass": declared}
    await save_action(client, name, definition)


CLASSES = [
    ("anything", None, ("B", "UNKNOWN")),
    ("anything", "A", ("A", "DECLARED")),
    ("anything", "C", ("C", "DECLARED")),
    ("send-email", "A", ("B", "DEFAULT")),
    ("send_email", "C", ("C", "DECLARED")),
    ("read_status", None, ("A", "DEFAULT")),
    ("read-status", "B", ("B", "DECLARED")),
    ("bypass-auth", "A", ("C", "DEFAULT")),
]


async def test_the_stricter_of_what_is_declared_and_the_default_policy(acme: Client) -> None:
    for name, declared, found in CLASSES:
        await undeclared(acme, name, declared)
        assert await effective(acme, name) == found, name


async def test_a_rule_tightens_freely_and_loosens_with_a_reason(
    acme: Client, admin: asyncpg.Connection
) -> None:
    await undeclared(acme, "refund-now")
    assert codes(await set_rule(acme, "shop", "refund-now", "A")) == {"reason": "REASON_NEEDED"}
    made = await set_rule(acme, "shop", "refund-now", "A", why="a test shop, no money moves")
    assert (made["approvalClass"], made["setBy"]) == ("A", "first admin")
    assert await effective(acme, "refund-now") == ("A", "RULE")
    assert (await set_rule(acme, "shop", "refund-now", "C"))["__typename"] == "PolicyRule"
    assert await effective(acme, "refund-now") == ("C", "RULE")
    assert codes(await remove_rule(acme, "shop", "refund-now")) == {"reason": "REASON_NEEDED"}
    removed = await remove_rule(acme, "shop", "refund-now", "it was a mistake")
    assert removed["rule"]["approvalClass"] == "C"
    assert (await remove_rule(acme, "shop", "refund-now", "again"))["code"] == "NOT_FOUND"
    target = "policy_rule/shop/refund-now"
    assert await acts(admin) == [
        ("policy_rule.set", target, "DONE"),
        ("policy_rule.set", target, "DONE"),
        ("policy_rule.remove", target, "DONE"),
        ("policy_rule.remove", target, "REFUSED"),
    ]


async def test_terms_of_an_approval_are_loosened_with_a_reason_too(acme: Client) -> None:
    strict = {"two": True, "roles": ["ADMIN"], "ms": 60_000}
    assert (await set_rule(acme, "shop", "refund", "B", **strict))["twoPerson"] is True
    for looser in ({"two": False}, {"roles": []}, {"roles": ["ADMIN", "APPROVER"]}, {"ms": 120_000}):
        refused = await set_rule(acme, "shop", "refund", "B", **{**strict, **looser})
        assert codes(refused) == {"reason": "REASON_NEEDED"}, looser
    assert codes(await set_rule(acme, "shop", "refund", "B", roles=["VIEWER"], ms=1)) == {
        "approverRoles[0]": "INVALID",
        "expiresAfterMs": "INVALID",
    }


async def test_a_rule_without_a_reason_never_loosens_what_is_declared_later(acme: Client) -> None:
    await set_rule(acme, "shop", "refund", "B")
    assert await effective(acme, "refund") == ("B", "RULE")
    await undeclared(acme, "refund", "C")
    assert await effective(acme, "refund") == ("C", "DECLARED")


async def test_the_rule_of_an_action_goes_before_that_of_its_app(acme: Client, stranger: Client) -> None:
    await set_rule(acme, "shop", None, "C")
    assert await effective(acme, "refund") == ("C", "RULE")
    assert await effective(stranger, "refund") == ("A", "DECLARED")
    assert codes(await set_rule(acme, "shop", "refund", "B")) == {"reason": "REASON_NEEDED"}
    await set_rule(acme, "shop", "refund", "B", why="with an approval it may")
    assert await effective(acme, "refund") == ("B", "RULE")
    page = await acme(f"{{ policyRules {{ items {{ {RULE} }} }} }}")
    assert [(rule["app"], rule["action"]) for rule in page["items"]] == [("shop", None), ("shop", "refund")]
    assert (await stranger("{ policyRules { items { app } } }"))["items"] == []


async def test_what_the_default_policy_forbids_no_rule_allows(acme: Client) -> None:
    await undeclared(acme, "bypass-auth")
    refused = await set_rule(acme, "shop", "bypass-auth", "B", why="we need it")
    assert codes(refused) == {"approvalClass": "FORBIDDEN_BY_DEFAULT"}
    await set_rule(acme, "shop", None, "A", why="a test shop")
    assert await effective(acme, "bypass-auth") == ("C", "DEFAULT")


async def test_a_rule_is_about_what_is_there_and_set_by_admins(acme: Client, stranger: Client) -> None:
    assert (await set_rule(acme, "nowhere", None, "C"))["code"] == "NOT_FOUND"
    assert (await set_rule(acme, "shop", "never-was", "C"))["code"] == "NOT_FOUND"
    for role in ("DESIGNER", "OPERATOR", "APPROVER", "VIEWER"):
        client = await with_role(acme, role)
        assert (await set_rule(client, "shop", "refund", "C"))["code"] == "FORBIDDEN"
        assert (await remove_rule(client, "shop", "refund", "x"))["code"] == "FORBIDDEN"


async def test_class_c_can_not_be_published_and_the_refusal_is_kept(
    acme: Client, admin: asyncpg.Connection
) -> None:
    document = orders()
    document["steps"][1]["compensate"] = {"action": "shop/bypass-auth"}
    document["steps"][1]["probe"] = {
        "action": "shop/refund",
        "input": {"amount": 1},
        "done": "{{ true }}",
    }
    await undeclared(acme, "bypass-auth")
    await set_rule(acme, "shop", "refund", "C")
    refused = await publish(acme, document)
    found = {p["path"]: p for p in refused["problems"] if p["code"] == "POLICY_FORBIDDEN"}
    assert set(found) == {"steps[1].action", "steps[1].compensate.action", "steps[1].probe.action"}
    assert "ask an admin for a policy rule" in found["steps[1].action"]["mend"]
    assert found["steps[1].compensate.action"]["mend"] == "Use another action."
    draft = await save_draft(acme, document)
    assert "POLICY_FORBIDDEN" in {problem["code"] for problem in draft["problems"]}
    assert (await publish_version(acme, draft["version"]["id"]))["code"] == "INVALID_INPUT"
    assert await acts(admin) == [
        ("policy_rule.set", "policy_rule/shop/refund", "DONE"),
        ("workflow.publish", "workflow/orders", "REFUSED"),
        ("workflow.publish", "workflow/orders", "REFUSED"),
    ]


async def test_class_b_is_told_of_when_it_is_checked_saved_and_published(acme: Client) -> None:
    await set_rule(acme, "shop", "refund", "B")
    notices = "notices { path message code }"
    checked = await acme(f"query($d: JSON!) {{ validateWorkflow(document: $d) {{ {notices} }} }}", d=orders())
    saved = await acme(
        f"mutation($d: JSON!) {{ saveDraft(document: $d) {{ ... on SavedDraft {{ {notices} }} }} }}",
        d=orders(),
    )
    shown = f"... on PublishedVersion {{ created {notices} }}"
    once = f"mutation($d: JSON!) {{ publishWorkflow(document: $d) {{ {shown} }} }}"
    published, again = await acme(once, d=orders()), await acme(once, d=orders())
    assert (published["created"], again["created"]) == (True, False)
    (notice,) = published["notices"]
    assert (notice["path"], notice["code"]) == ("steps[1].action", "ASKS_FOR_APPROVAL")
    assert "shop/refund is class B" in notice["message"]
    assert checked["notices"] == saved["notices"] == again["notices"] == published["notices"]


async def test_the_command_sets_shows_lists_and_removes_rules_and_notes_what_asks(
    acme: Client, tmp_path: Path
) -> None:
    refused = await headrace(acme, "policy", "set", "shop/refund", "A", "--role", "VIEWER", code=2)
    assert refused["error"]["problems"][0]["path"] == "approverRoles[0]"
    strict = ("--two-person", "--role", "APPROVER", "--expires", "30")
    made = await headrace(acme, "policy", "set", "shop/refund", "B", *strict)
    assert (made["twoPerson"], made["approverRoles"], made["expiresAfterMs"]) == (
        True,
        ["APPROVER"],
        1_800_000,
    )
    assert (await headrace(acme, "policy", "show", "shop/refund"))["source"] == "RULE"
    assert [one["action"] for one in (await headrace(acme, "policy", "list"))["items"]] == ["refund"]
    (tmp_path / "orders.yaml").write_text(json.dumps(orders()))
    for how in ("--dry-run", "--yes"):
        applied = await headrace(acme, "apply", "-f", str(tmp_path), how)
        (notice,) = applied["notices"]
        assert notice.startswith(
            "orders: steps[1].action asks for approval at each run: shop/refund is class B"
        )
    assert (await headrace(acme, "policy", "remove", "shop/refund", code=2))["error"][
        "code"
    ] == "INVALID_INPUT"
    await headrace(acme, "policy", "remove", "shop/refund", "--reason", "tried out")
    assert (await headrace(acme, "policy", "list"))["items"] == []


async def test_rules_are_applied_from_files_and_again_change_nothing(acme: Client, tmp_path: Path) -> None:
    rule = {"kind": "PolicyRule", "app": "shop", "action": "refund", "approvalClass": "B", "twoPerson": True}
    files = {
        "refund": {**rule, "approverRoles": ["APPROVER", "ADMIN"], "expiresAfterMs": 120_000},
        "shop": {"kind": "PolicyRule", "app": "shop", "approvalClass": "B"},
    }

    async def apply(*how: str, **more: Any) -> dict[str, Any]:
        for name, document in files.items():
            (tmp_path / f"{name}.yaml").write_text(json.dumps(document))
        done: dict[str, Any] = await headrace(acme, "apply", "-f", str(tmp_path), *how, **more)
        return done

    (tmp_path / "orders.yaml").write_text(json.dumps(orders()))
    planned = await apply("--dry-run")
    assert {step["name"]: step["verb"] for step in planned["steps"]} == {
        "shop/refund": "create",
        "shop/*": "create",
        "orders": "create",
    }
    assert planned["unchecked"] == ["orders"]  # what asks for approval is known when the rules are there
    (notice,) = [one for one in (await apply("--yes"))["notices"] if "shop/refund" in one]
    assert "approval" in notice
    found = {one["action"]: one for one in (await headrace(acme, "policy", "list"))["items"]}
    assert set(found) == {None, "refund"}
    assert (found["refund"]["twoPerson"], found["refund"]["expiresAfterMs"]) == (True, 120_000)
    assert {step["verb"] for step in (await apply("--yes"))["steps"]} == {"unchanged"}
    # What loosens needs a reason, in the file too; the document is named.
    files["refund"]["twoPerson"] = False
    refused = await apply("--yes", code=2)
    (problem,) = refused["error"]["problems"]
    assert problem["path"] == f"{tmp_path}/refund.yaml: reason"
    files["refund"]["reason"] = "one is enough for so little"
    changed = await apply("--yes")
    (step,) = [one for one in changed["steps"] if one["verb"] != "unchanged"]
    assert (step["name"], step["differences"]) == ("shop/refund", ["reason", "twoPerson"])
    assert {one["verb"] for one in (await apply("--yes"))["steps"]} == {"unchanged"}
