"""The class of a version: told beforehand, kept with it, and what it asks for; waived by admins alone."""

from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from tests.integration.control_plane_runs.acting import (
    FAILURE,
    Client,
    orders,
    save_action,
    save_draft,
    started,
    with_role,
)
from tests.integration.control_plane_runs.commanding import headrace

CLASS = "classification { class waiver reasons { rule step } lacks { path code } }"
WHY = "the bank undoes by hand"


async def publish(client: Client, document: Any, waiver: str | None = None) -> Any:
    return await client(
        "mutation($d: JSON!, $w: String) { publishWorkflow(document: $d, waiver: $w) { __typename"
        f" ... on PublishedVersion {{ created version {{ id number {CLASS} }} }} {FAILURE} }} }}",
        d=document,
        w=waiver,
    )


async def classes(client: Client, workflow: str) -> list[Any]:
    found = await client(
        f"query($w: String!) {{ workflow(name: $w) {{ versions {{ items {{ number {CLASS} }} }} }} }}",
        w=workflow,
    )
    return [one["classification"] for one in found["versions"]["items"]]


async def validated(client: Client, document: Any) -> Any:
    return await client(
        f"query($d: JSON!) {{ validateWorkflow(document: $d) {{ problems {{ path code mend }} {CLASS} }} }}",
        d=document,
    )


async def long_lived(client: Client, **changes: Any) -> dict[str, Any]:
    """A document with an approval and a call that is neither repeatable nor undone."""
    await save_action(client, "pay", {"method": "POST", "endpointTemplate": "/pay"})
    steps = [
        {"key": "agree", "type": "approval", "approval": {}},
        {"key": "pay", "action": "shop/pay", "connection": "shop-main"},
    ]
    return {"workflow": "long", "steps": steps, **changes}


async def acts(admin: asyncpg.Connection) -> list[Any]:
    rows = await admin.fetch("SELECT detail FROM audit_inbox WHERE action = 'workflow.publish' ORDER BY id")
    return [orjson.loads(row["detail"]) if isinstance(row["detail"], str) else row["detail"] for row in rows]


async def test_the_class_is_told_beforehand_and_kept_with_the_version(acme: Client) -> None:
    found = await validated(acme, orders())
    # The demo's refund can not be taken back.
    assert found["problems"] == []
    assert found["classification"]["class"] == "LONG_LIVED"
    assert {"rule": "COMMITMENT", "step": "refund"} in found["classification"]["reasons"]
    made = await publish(acme, orders())
    assert made["version"]["classification"] == found["classification"]
    short = {"workflow": "short", "steps": [{"key": "a", "type": "transform", "input": 1}]}
    assert (await publish(acme, short))["version"]["classification"] == {
        "class": "SHORT_LIVED",
        "waiver": None,
        "reasons": [],
        "lacks": [],
    }
    await save_draft(acme, {**short, "result": 1})
    assert [one and one["class"] for one in await classes(acme, "short")] == [None, "SHORT_LIVED"]


async def test_a_long_lived_version_without_safeguards_is_refused_with_each_place(acme: Client) -> None:
    document = await long_lived(acme)
    refused = await publish(acme, document)
    lacks = [("steps[1].action", "NO_IDEMPOTENCY"), ("steps[1]", "NO_COMPENSATION")]
    assert refused["code"] == "INVALID_INPUT"
    assert [(one["path"], one["code"]) for one in refused["problems"]] == lacks
    assert all(one["mend"] for one in refused["problems"])
    found = await validated(acme, document)
    assert [(one["path"], one["code"]) for one in found["problems"]] == lacks
    assert found["classification"]["class"] == "LONG_LIVED"
    draft = await save_draft(acme, document)
    assert {one["code"] for one in draft["problems"]} == {code for _, code in lacks}
    assert await classes(acme, "long") == [None]  # the draft alone
    # Both safeguards, and it is published as it is.
    await save_action(
        acme, "pay", {"method": "POST", "endpointTemplate": "/pay", "idempotency": {"mode": "KEY"}}
    )
    undone = [document["steps"][0], {**document["steps"][1], "compensate": {"action": "shop/pay"}}]
    assert (await publish(acme, {**document, "steps": undone}))["created"]


async def test_an_admin_waives_with_a_reason_and_a_designer_can_not(
    acme: Client, admin: asyncpg.Connection
) -> None:
    document = await long_lived(acme)
    designer = await with_role(acme, "DESIGNER")
    assert (await publish(designer, document, WHY))["code"] == "FORBIDDEN"
    assert (await publish(designer, orders(), WHY))["code"] == "FORBIDDEN"
    assert (await publish(acme, document, "  "))["problems"][0]["path"] == "waiver"
    assert await classes_of_all(admin) == []
    waived = await publish(acme, document, WHY)
    kept = waived["version"]["classification"]
    assert (kept["waiver"], len(kept["lacks"])) == (WHY, 2)
    (act,) = [one for one in await acts(admin) if one.get("number")]
    assert (act["waiver"], act["lacking"]) == (WHY, ["steps[1].action", "steps[1]"])
    # The same again is the same version, and needs no waiver; the next one does.
    assert (await publish(designer, document))["created"] is False
    assert (await publish(designer, {**document, "result": 1}))["code"] == "INVALID_INPUT"
    # A draft is held to it, too.
    draft = (await save_draft(acme, {**document, "result": 2}))["version"]["id"]
    once = (
        "mutation($id: ID!, $w: String) { publishVersion(id: $id, waiver: $w) { __typename"
        f" ... on PublishedVersion {{ version {{ {CLASS} }} }} {FAILURE} }} }}"
    )
    assert (await acme(once, id=draft))["code"] == "INVALID_INPUT"
    assert (await designer(once, id=draft, w=WHY))["code"] == "FORBIDDEN"
    assert (await acme(once, id=draft, w=WHY))["version"]["classification"]["waiver"] == WHY
    # Nothing to waive: nothing is kept.
    assert (await publish(acme, orders(), WHY))["version"]["classification"]["waiver"] is None


async def test_a_parent_answers_for_its_children_but_for_what_was_waived(acme: Client) -> None:
    await save_action(acme, "pay", {"method": "POST", "endpointTemplate": "/pay"})
    pay = {"key": "pay", "action": "shop/pay", "connection": "shop-main"}
    medium = await publish(acme, {"workflow": "paying", "steps": [pay]})
    assert medium["version"]["classification"]["class"] == "MEDIUM_LIVED"
    agree = {"key": "agree", "type": "approval", "approval": {}}
    parent = {
        "workflow": "parent",
        "steps": [agree, {"key": "run", "type": "workflow", "workflow": "paying"}],
    }
    refused = await publish(acme, parent)
    assert [one["path"] for one in refused["problems"]] == ["steps[1].workflow"]
    assert (await publish(acme, {"workflow": "paying", "steps": [agree, pay]}, WHY))["created"]
    found = (await publish(acme, parent))["version"]["classification"]
    assert found["class"] == "LONG_LIVED"
    assert {"rule": "CHILD", "step": "run"} in found["reasons"]


async def test_a_version_from_before_stays_as_it_is(acme: Client, admin: asyncpg.Connection) -> None:
    document = await long_lived(acme)
    version = (await publish(acme, document, WHY))["version"]["id"]
    await admin.execute("SET session_replication_role = replica")  # no triggers: as before the migration
    await admin.execute(
        "UPDATE workflow_versions SET classification = NULL, waiver = NULL WHERE id = $1", version
    )
    await admin.execute("SET session_replication_role = origin")
    (found,) = await classes(acme, "long")
    assert (found["class"], found["waiver"], len(found["lacks"])) == ("LONG_LIVED", None, 2)
    assert await started(acme, "long", input={})
    assert (await publish(acme, document))["created"] is False
    again = {"workflow": "again", "steps": [{"key": "run", "type": "workflow", "workflow": "long"}]}
    assert [one["path"] for one in (await publish(acme, again))["problems"]] == ["steps[0].workflow"]


async def test_the_command_tells_the_class_and_takes_a_waiver(acme: Client, tmp_path: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text(orjson.dumps(await long_lived(acme)).decode())
    checked = await headrace(acme, "workflows", "check", str(file), code=1)
    assert checked["classification"]["class"] == "LONG_LIVED"
    assert {one["code"] for one in checked["problems"]} == {"NO_IDEMPOTENCY", "NO_COMPENSATION"}
    refused = await headrace(acme, "apply", "-f", str(file), "--yes", code=2)
    assert len(refused["error"]["problems"]) == 2
    applied = await headrace(acme, "apply", "-f", str(file), "--yes", "--waive", WHY)
    assert applied["classes"] == {"long": "LONG_LIVED"}
    shown = await headrace(acme, "workflows", "show", "long", "--version", "1")
    assert (shown["classification"]["waiver"], shown["number"]) == (WHY, 1)
    assert shown == await headrace(acme, "workflows", "show", "long")
    assert (await headrace(acme, "apply", "-f", str(file), "--yes"))["steps"][0]["verb"] == "unchanged"
    await headrace(acme, "workflows", "show", "nothing", code=3)


async def test_a_file_as_apply_takes_it_is_checked_and_drawn(acme: Client, tmp_path: Path) -> None:
    steps = [{"key": "words", "type": "transform", "input": "Hello"}]
    file = tmp_path / "greet.yaml"
    file.write_text(orjson.dumps({"kind": "Workflow", "workflow": "greet", "steps": steps}).decode())
    checked = await headrace(acme, "workflows", "check", str(file))
    assert (checked["problems"], checked["classification"]["class"]) == ([], "SHORT_LIVED")
    assert "words" in (await headrace(acme, "workflows", "draw", str(file)))["mermaid"]
    walked = await headrace(acme, "rollouts", "publish", str(file), code=2)
    assert walked["error"]["code"] == "CONFLICT"  # there is no other version, and the document is in order
    file.write_text(orjson.dumps({"kind": "Schedule", "name": "nightly", "workflow": "greet"}).decode())
    (problem,) = (await headrace(acme, "workflows", "check", str(file), code=2))["error"]["problems"]
    assert (problem["path"].endswith("greet.yaml: kind"), "headrace apply" in problem["mend"]) == (True, True)


async def test_the_class_of_a_published_version_can_not_be_changed(
    acme: Client, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    for changed in ("classification = '{}'", "waiver = 'later'"):
        with pytest.raises(asyncpg.RaiseError, match="immutable"):
            await admin.execute(f"UPDATE workflow_versions SET {changed} WHERE status = 'PUBLISHED'")


async def classes_of_all(admin: asyncpg.Connection) -> list[Any]:
    return [*await admin.fetch("SELECT id FROM workflow_versions WHERE status = 'PUBLISHED'")]
