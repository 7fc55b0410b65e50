"""`kind: Hook` in `headrace apply`, and `headrace hooks`, against a real API."""

from pathlib import Path

import asyncpg
import pytest

from tests.integration.control_plane_runs.acting import Client
from tests.integration.control_plane_runs.commanding import headrace, shown


async def test_a_hook_is_made_changed_and_taken_away(
    acme: Client, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("hooks", "create", "ops", "https://example.com/told")
    wrong = await headrace(acme, *words, "--event", "RUN_BEGUN", code=2)
    assert wrong["error"]["problems"][0]["path"] == "--event"
    made = await headrace(acme, *words, "--event", "RUN_FAILED", "--event", "DEAD_LETTER")
    assert made["secret"].startswith("whsec_")
    changed = await headrace(acme, "hooks", "update", "ops", "--event", "RUN_FAILED")
    assert (changed["url"], changed["events"]) == ("https://example.com/told", ["RUN_FAILED"])
    rotated = await headrace(acme, "hooks", "rotate", "ops", "--overlap-hours", "1")
    assert rotated["secret"] != made["secret"]
    assert rotated["hook"]["previousSecretUntil"] is not None
    await admin.execute(
        """WITH told AS (SELECT headrace_tell(id, 'RUN_FAILED', '{}') FROM tenants WHERE name = 'acme')
           SELECT count(*) FROM told"""
    )
    await admin.execute("UPDATE hook_messages SET status = 'GIVEN_UP', due_at = NULL, ended_at = now()")
    assert (await headrace(acme, "hooks", "resend", "ops"))["messages"] == 1
    (message,) = (await headrace(acme, "hooks", "messages", "ops"))["items"]
    assert (message["event"], message["status"]) == ("RUN_FAILED", "PENDING")
    monkeypatch.setattr("headrace_cli.output._WIDTH_OF_A_FILE", 80)
    assert message["id"] in await shown(acme, "hooks", "messages", "ops")
    assert (await headrace(acme, "hooks", "pause", "ops"))["paused"]
    assert not (await headrace(acme, "hooks", "resume", "ops"))["paused"]
    (listed,) = (await headrace(acme, "hooks", "list"))["items"]
    assert listed["name"] == "ops"
    await headrace(acme, "hooks", "delete", "ops")
    assert (await headrace(acme, "hooks", "messages", "ops", code=3))["error"]["code"] == "NOT_FOUND"


async def test_a_hook_in_a_file_is_applied(acme: Client, tmp_path: Path) -> None:
    told = "kind: Hook\nname: ops\nurl: https://example.com/told\nevents: [RUN_FAILED, DEAD_LETTER]\n"
    file = tmp_path / "ops.yaml"
    for text, verb, differences in (
        (told, "create", []),
        (told.replace("RUN_FAILED, DEAD_LETTER", "DEAD_LETTER, RUN_FAILED"), "unchanged", []),
        (told.replace("RUN_FAILED, ", "").replace("/told", "/here"), "change", ["events", "url"]),
    ):
        file.write_text(text)
        done = await headrace(acme, "apply", "-f", str(file), "--yes")
        (step,) = done["steps"]
        assert (step["kind"], step["verb"], step["differences"]) == ("Hook", verb, differences)
    (listed,) = (await headrace(acme, "hooks", "list"))["items"]
    assert (listed["url"], listed["events"]) == ("https://example.com/here", ["DEAD_LETTER"])
    file.write_text(told.replace("RUN_FAILED", "RUN_BEGUN"))
    refused = await headrace(acme, "apply", "-f", str(file), "--yes", code=2)
    assert refused["error"]["problems"][0]["path"].endswith("events[0]")
    file.write_text(told.replace("https://example.com/told", "told"))
    refused = await headrace(acme, "apply", "-f", str(file), "--yes", code=2)
    assert refused["error"]["problems"][0]["path"].endswith("url")
