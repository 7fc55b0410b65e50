"""What an action's schemas and a run's parameters mark as sensitive reaches later steps and nobody else, whichever
runner goes on."""

import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from designer import Designer, step
from fleet import Backends, Fleet
from target import Call, Target

CARD, PIN, TOKEN = "canary-card-4111-1111", "canary", "canary-token-of-input"
MADE = "canary-made-here"  # marked where the action says what it takes
SETTINGS = {
    "HEADRACE_PARTITIONS": "2",
    "HEADRACE_UNCLAIMED_AFTER_SECONDS": "5",
    "HEADRACE_LEASE_SECONDS": "5",
}
MARKED = {"type": "object", "properties": {"card": {"x-sensitive": True}, "pin": {"x-sensitive": True}}}
SENT = "canary-in-a-header"  # marked there, too, under a name in other letters
TAKEN = {"type": "object", "properties": {"made": {"type": "string", "x-sensitive": True}}}
HEADERS = {"type": "object", "properties": {"X-Sent": {"type": "string", "x-sensitive": True}}}
BODY = "{{ steps.fetch.output.body }}"
DOCUMENT = {
    "workflow": "pay",
    "parameters": {"type": "object", "properties": {"token": {"type": "string", "x-sensitive": True}}},
    "steps": [
        {"key": "fetch", "action": "bank/card"},
        {"key": "no", "action": "bank/refused", "onError": "continue"},
        {"key": "each", "forEach": {"items": [1, 2]}, "action": "bank/card", "output": {"p": "$.body.pin"}},
        {
            "key": "note",
            "type": "transform",
            "input": {"line": "paid with {{ steps.fetch.output.body.card }}", "whole": BODY},
        },
        {"key": "wait", "type": "signal", "signal": {"name": "go"}},
        {
            "key": "pay",
            "action": "bank/pay",
            "input": {
                "line": "{{ steps.note.output.line }}",
                "pin": "{{ steps.each.output.results[1].p }}",
                "token": "{{ input.token }}",
                "made": "{{ 'can' ~ 'ary-made-here' }}",
            },
            "headers": {"x-sent": "{{ 'can' ~ 'ary-in-a-header' }}"},
        },
    ],
    "result": {
        "line": "{{ steps.note.output.line }}",
        "body": BODY,
        "paid": "{{ steps.pay.output.body.ok }}",
    },
}
_EVERYTHING = """query ($id: ID!) { run(id: $id) {
  input result error { code message }
  steps { key input output error { code message } items(first: 50) { items { key input output } } }
  events(first: 200) { items { kind step data } } }
  runAt(id: $id) { result messages { items { kind name } }
    steps(first: 100) { items { key input output error { code message } } } }
  runRevisions(id: $id, first: 200) { items { note } }
  logs(filter: {run: $id}, first: 200) { items { message context } } }"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backends", ["embedded"], indirect=True)
async def test_a_sensitive_value_reaches_later_steps_and_nobody_else(
    backends: Backends, tmp_path: Path
) -> None:
    async with Fleet(backends, tmp_path, SETTINGS) as fleet, Target() as target:
        await fleet.start_all()
        first_runner = next(service for service in fleet.services if service.name == "headrace_runner")
        designer = Designer(fleet)
        await design(designer, target)
        run, shredded = await designer.start("pay", token=TOKEN), await designer.start("pay", token=TOKEN)
        for waiting in (run, shredded):
            await designer.ended(waiting, wanted={"WAITING"})

        # Resumed on another runner, under another data key; and taken over from that one in the middle of the call.
        await first_runner.stop()
        rotated = await designer.do("mutation { rotateDataKey { ... on KeyRotation { remaining deleted } } }")
        assert rotated["rotateDataKey"] == {"remaining": 0, "deleted": 1}
        second_runner = await fleet.runner()
        target.hold("/pay")
        await designer.signal(run, "go")
        await target.called("/pay")
        await second_runner.kill()
        await fleet.runner()
        target.release("/pay")
        ended = await designer.ended(run, seconds=90)
        assert ended["status"] == "SUCCESS", ended
        for call in target.of("/pay"):
            assert call.query == {"line": f"paid with {CARD}", "pin": PIN, "token": TOKEN, "made": MADE}
            assert call.headers["x-sent"] == SENT
        assert len(target.of("/pay")) >= 2

        shown = await designer.do(_EVERYTHING, id=run)
        assert "canary" not in json.dumps(shown), shown
        assert "$sealed" not in json.dumps(shown)
        assert ended["result"] == {
            "line": "[***]",
            "body": {"card": "[***]", "pin": "[***]", "name": "plain"},
            "paid": True,
        }
        assert step(ended, "fetch")["output"]["body"]["name"] == "plain"
        assert step(ended, "no")["output"]["body"] == {"card": "[***]", "why": "plain"}
        assert shown["run"]["input"] == {"token": "[***]"}
        await designer.verified(run)

        # The other one waits; then nothing of its tenant opens any more.
        await designer.mutate(
            'mutation { shredTenantKeys(tenant: "acme", confirm: "acme") { ok: __typename ...Failed } }'
        )
        await designer.signal(shredded, "go")
        lost = await designer.ended(shredded, seconds=90)
        assert (lost["status"], lost["error"]["code"]) == ("FAILED", "KEYS_SHREDDED")
        assert len([c for c in target.of("/pay") if c.query]) == len(target.of("/pay"))
        assert "canary" not in json.dumps(await designer.do(_EVERYTHING, id=shredded))

        for table, row in await stored(backends):
            assert "canary" not in json.dumps(row), f"a sensitive value stands in {table}"
        assert "canary" not in fleet.process_logs()


async def design(designer: Designer, target: Target) -> None:
    target.on("/card", body={"card": CARD, "pin": PIN, "name": "plain"})
    target.on("/refused", 422, {"card": "canary-of-a-refusal", "why": "plain"})

    async def echo(call: Call) -> Any:
        return web.json_response({"ok": True, "echo": call.query, "sent": call.headers["x-sent"]})

    target.answers["/pay"] = echo
    await designer.app("bank", target.url)
    await designer.action("bank", "card", "GET", "/card", outputSchema=MARKED)
    await designer.action("bank", "refused", "GET", "/refused", outputSchema=MARKED)
    await designer.action("bank", "pay", "GET", "/pay", querySchema=TAKEN, headersSchema=HEADERS)
    await designer.publish(DOCUMENT)


async def stored(backends: Backends) -> list[tuple[str, dict[str, Any]]]:
    """Every row of every table."""
    db = await asyncpg.connect(backends.database_url)
    try:
        tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [
            (table["tablename"], json.loads(row["whole"]))
            for table in tables
            for row in await db.fetch(f'SELECT to_jsonb(t)::text AS whole FROM "{table["tablename"]}" t')
        ]
    finally:
        await db.close()
