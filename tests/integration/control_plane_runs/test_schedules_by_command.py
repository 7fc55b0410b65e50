"""`kind: Schedule` in `headrace apply`, and `headrace schedules`, against a real API."""

from pathlib import Path

import pytest

from tests.integration.control_plane_runs.acting import Client, orders, publish
from tests.integration.control_plane_runs.commanding import headrace

NIGHTLY = """
kind: Schedule
name: nightly
workflow: orders
cron: 30 2 * * *
timeZone: Europe/Berlin
input: {order: "{{ input.date }}"}
"""


@pytest.fixture
async def file(acme: Client, tmp_path: Path) -> Path:
    await publish(acme, orders())
    path = tmp_path / "nightly.yaml"
    path.write_text(NIGHTLY)
    return path


async def test_a_schedule_is_made_left_alone_and_changed(acme: Client, file: Path) -> None:
    for text, verb, differences in (
        (NIGHTLY, "create", []),
        (NIGHTLY, "unchanged", []),
        (NIGHTLY + "overlap: SKIP\nversion: 1\n", "change", ["overlap", "version"]),
        (NIGHTLY, "change", ["overlap", "version"]),
        (NIGHTLY, "unchanged", []),
    ):
        file.write_text(text)
        (step,) = (await headrace(acme, "apply", "-f", str(file), "--yes"))["steps"]
        assert (step["kind"], step["verb"], step["differences"]) == ("Schedule", verb, differences)


async def test_what_is_wrong_is_said_before_anything_is_asked(acme: Client, file: Path) -> None:
    file.write_text(NIGHTLY.replace("30 2", "30 25") + "overlap: never\nretries: 3\n")
    refused = await headrace(acme, "apply", "-f", str(file), "--yes", code=2)
    places = {problem["path"].removeprefix(str(file)) for problem in refused["error"]["problems"]}
    assert places == {": cron", ": overlap", ".retries"}


async def test_schedules_are_listed_paused_and_backfilled(acme: Client, file: Path) -> None:
    await headrace(acme, "apply", "-f", str(file), "--yes")
    (listed,) = (await headrace(acme, "schedules", "list"))["items"]
    assert (listed["name"], len(listed["nextFirings"])) == ("nightly", 5)
    assert (await headrace(acme, "schedules", "pause", "nightly"))["paused"]
    assert not (await headrace(acme, "schedules", "resume", "nightly"))["paused"]
    assert (await headrace(acme, "schedules", "firings", "nightly"))["items"] == []
    window = ("--from", "2024-03-01", "--until", "2024-04-01T00:00:00+02:00")
    begun = await headrace(acme, "schedules", "backfill", "start", "nightly", *window, "--at-once", "3")
    # Days are those of the schedule's zone.
    assert (begun["from"], begun["until"]) == ("2024-02-29T23:00:00Z", "2024-03-31T22:00:00Z")
    assert (begun["status"], begun["total"], begun["atOnce"]) == ("RUNNING", 31, 3)
    stopped = await headrace(acme, "schedules", "backfill", "stop", begun["id"])
    assert stopped["status"] == "STOPPED"
    assert (await headrace(acme, "schedules", "backfill", "show", begun["id"]))["started"] == 0
    resumed = await headrace(acme, "schedules", "backfill", "resume", begun["id"], "--at-once", "9")
    assert (resumed["status"], resumed["atOnce"]) == ("RUNNING", 9)
    await headrace(acme, "schedules", "backfill", "stop", begun["id"])
    assert (await headrace(acme, "schedules", "delete", "nightly"))["name"] == "nightly"
    assert (await headrace(acme, "schedules", "pause", "nightly", code=3))["error"]["code"] == "NOT_FOUND"
    wrong = await headrace(
        acme, "schedules", "backfill", "start", "nightly", "--from", "then", "--until", "now", code=3
    )
    assert wrong["error"]["code"] == "NOT_FOUND"
