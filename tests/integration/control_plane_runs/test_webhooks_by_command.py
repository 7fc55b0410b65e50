"""`kind: Webhook` in `headrace apply`, and `headrace webhooks`, against a real API."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from headrace_cli import webhooks
from headrace_cli.apply.documents import Kind, read
from headrace_cli.apply.shape import shape_problems

from tests.integration.control_plane_runs.acting import Client, orders, publish
from tests.integration.control_plane_runs.commanding import headrace

PAID = """
kind: Webhook
name: paid
workflow: orders
input: {order: "{{ input.body.order }}"}
schema: {type: object, required: [order]}
"""


async def test_a_webhook_is_made_tried_and_taken_away(
    acme: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(acme, orders())
    file = tmp_path / "paid.yaml"
    for text, verb, differences in (
        (PAID, "create", []),
        (PAID, "unchanged", []),
        (PAID + "answer: RESULT\nresultSeconds: 1\n", "change", ["answer", "resultSeconds"]),
        (PAID, "change", ["answer", "resultSeconds"]),
    ):
        file.write_text(text)
        (step,) = (await headrace(acme, "apply", "-f", str(file), "--yes"))["steps"]
        assert (step["kind"], step["verb"], step["differences"]) == ("Webhook", verb, differences)
    (listed,) = (await headrace(acme, "webhooks", "list"))["items"]
    # As it is given out it is the deployment's public one; here the port is another.
    post, base = webhooks._post, str(acme.http.base_url).rstrip("/")
    monkeypatch.setattr(webhooks, "_post", lambda url, *rest: post(base + urlsplit(url).path, *rest))
    send = ("webhooks", "send", "paid", '{"order": "7"}')
    assert (await headrace(acme, *send, code=2))["error"]["problems"][0]["path"] == "HEADRACE_WEBHOOK_SECRET"
    rotated = await headrace(acme, "webhooks", "rotate", "paid", "--overlap-hours", "0")
    monkeypatch.setenv("HEADRACE_WEBHOOK_SECRET", rotated["secret"])
    sent = await headrace(acme, *send, "--id", "m1")
    assert (await headrace(acme, *send, "--id", "m1", code=2))["error"]["code"] == "CONFLICT"
    assert (await headrace(acme, "webhooks", "send", "paid", code=2))["error"]["code"] == "INVALID_INPUT"
    (taken,) = (await headrace(acme, "webhooks", "deliveries", "paid"))["items"]
    assert (taken["messageId"], taken["run"]["id"]) == ("m1", sent["runId"])
    assert (await headrace(acme, "webhooks", "pause", "paid"))["paused"]
    assert (await headrace(acme, *send, code=3))["error"]["code"] == "NOT_FOUND"
    assert not (await headrace(acme, "webhooks", "resume", "paid"))["paused"]
    assert (await headrace(acme, "webhooks", "delete", "paid"))["name"] == "paid"
    assert (await headrace(acme, "webhooks", "rotate", "paid", code=3))["error"]["code"] == "NOT_FOUND"
    assert listed["url"].startswith("http")


async def test_the_guides_webhook_is_one(tmp_path: Path) -> None:
    guide = Path("docs/guides/webhooks.md").read_text()
    file = tmp_path / "guide.yaml"
    file.write_text(guide.split("```yaml\n")[1].split("```")[0])
    (declared,) = read([file], {}, shape_problems)
    assert (declared.kind, declared.name) == (Kind.WEBHOOK, "order-paid")


async def test_what_is_wrong_is_said_before_anything_is_asked(acme: Client, tmp_path: Path) -> None:
    file = tmp_path / "paid.yaml"
    file.write_text(
        PAID.replace("input.body", "input.boody") + "answer: never\nretries: 3\ntoleranceSeconds: 0\n"
    )
    refused = await headrace(acme, "apply", "-f", str(file), "--yes", code=2)
    places = {problem["path"].removeprefix(str(file)) for problem in refused["error"]["problems"]}
    assert places == {": input.order", ": answer", ": toleranceSeconds", ".retries"}
