"""`headrace hooks`, against a real API."""

import asyncpg

from tests.integration.control_plane_runs.acting import Client
from tests.integration.control_plane_runs.test_talking_by_command import headrace


async def test_a_hook_is_made_changed_and_taken_away(acme: Client, admin: asyncpg.Connection) -> None:
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
    assert (await headrace(acme, "hooks", "pause", "ops"))["paused"]
    assert not (await headrace(acme, "hooks", "resume", "ops"))["paused"]
    (listed,) = (await headrace(acme, "hooks", "list"))["items"]
    assert listed["name"] == "ops"
    await headrace(acme, "hooks", "delete", "ops")
    assert (await headrace(acme, "hooks", "messages", "ops", code=3))["error"]["code"] == "NOT_FOUND"
