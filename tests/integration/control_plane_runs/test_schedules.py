"""Schedules over a real database: fired once by two control planes, missed, overlapping, paused."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import asyncpg
import pytest
from headrace.errors import Conflict, Forbidden, InvalidInput, NotFound
from headrace_control.auth.permissions import Permission
from headrace_control.expiry.expire import Kept, expire
from headrace_control.schedules import repository
from headrace_control.schedules.deciding import Missed, Overlap

from tests.integration.control_plane_runs.acting import FAILURE, Client, orders, publish
from tests.integration.control_plane_runs.audit_examples import mutate
from tests.integration.control_plane_runs.commanding import headrace
from tests.integration.control_plane_runs.planes import TERMS, Planes, two_planes
from tests.integration.control_plane_runs.quotas import allow

_SCHEDULE = """query($n: String!) { schedule(name: $n) { name workflow version cron timeZone input missed missedLimit
  overlap paused nextFirings queuedFiring error { code } } }"""


@pytest.fixture
async def planes(
    acme: Client, database: str, admin: asyncpg.Connection, master_key: bytes
) -> AsyncIterator[Planes]:
    await publish(acme, orders())
    async with two_planes(database, admin, master_key) as made:
        yield made


@pytest.mark.parametrize(
    ("zone", "cron", "begin", "expected"),
    [
        # 2:30 is skipped: 3:00 summer time is 1:00 in UTC.
        ("Europe/Berlin", "30 2 * * *", "2030-03-30T12:00Z", ["31 01:00", "01 00:30"]),
        # 2:30 comes twice: the first one is summer time's.
        ("Europe/Berlin", "30 2 * * *", "2030-10-26T12:00Z", ["27 00:30", "28 01:30"]),
        ("Australia/Lord_Howe", "15 2 * * *", "2030-10-05T12:00Z", ["05 15:30", "06 15:15"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2030-04-06T12:00Z", ["06 14:45", "07 15:15"]),
    ],
)
async def test_across_a_clock_change_two_planes_fire_once_each(
    planes: Planes, zone: str, cron: str, begin: str, expected: list[str]
) -> None:
    await planes.at(begin)
    await planes.schedule(cron=cron, time_zone=zone)
    clock = datetime.fromisoformat(begin)
    await planes.fire_at(*(clock + timedelta(minutes=15 * n, seconds=1) for n in range(40, 65)))
    await planes.fire_at(*(clock + timedelta(minutes=15 * n, seconds=1) for n in range(140, 165)))
    assert await planes.outcomes() == sorted(
        [(at, "STARTED") for at in expected], key=lambda one: [*expected].index(one[0])
    )
    runs = await planes.runs()
    assert [f"{run['at']:%d %H:%M}" for run in runs] == expected
    assert [run["input"] for run in runs] == [f"{run['at']:%Y-%m-%dT%H:%M:%SZ}" for run in runs]


async def test_a_plane_that_is_lost_half_way_has_done_nothing_and_another_does_all(
    planes: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule()
    await planes.at("2030-05-01T01:00:01Z")
    with monkeypatch.context() as patched:
        patched.setattr(repository, "fired", AsyncMock(side_effect=ConnectionResetError))
        assert await planes.loops[0].turn() == 0
    assert (await planes.runs(), await planes.outcomes()) == ([], [])
    assert await planes.loops[1].turn() == 1
    assert await planes.loops[0].turn() == 0
    assert (len(await planes.runs()), await planes.outcomes()) == (1, [("01 01:00", "STARTED")])


@pytest.mark.parametrize(
    ("missed", "limit", "expected"),
    [
        (Missed.SKIP, 100, [("01 01:00", "MISSED")]),
        (Missed.FIRE_ONCE, 100, [("01 01:00", "MISSED"), ("01 05:00", "STARTED")]),
        (
            Missed.FIRE_ALL,
            2,
            [("01 01:00", "MISSED"), ("01 04:00", "STARTED"), ("01 05:00", "STARTED")],
        ),
    ],
)
async def test_what_was_missed(
    planes: Planes, missed: Missed, limit: int, expected: list[tuple[str, str]]
) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule(missed=missed, missed_limit=limit)
    await planes.fire_at("2030-05-01T05:20Z")
    assert await planes.outcomes() == expected
    await planes.fire_at("2030-05-01T06:00:30Z")
    assert await planes.outcomes() == [*expected, ("01 06:00", "STARTED")]


async def overlapping(planes: Planes, overlap: Overlap) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule(overlap=overlap)
    await planes.fire_at("2030-05-01T01:00:01Z", "2030-05-01T02:00:01Z", "2030-05-01T03:00:01Z")


async def test_runs_may_overlap(planes: Planes) -> None:
    await overlapping(planes, Overlap.ALLOW)
    assert len(await planes.runs()) == 3


async def test_a_firing_that_meets_a_run_is_skipped(planes: Planes) -> None:
    await overlapping(planes, Overlap.SKIP)
    assert [outcome for _, outcome in await planes.outcomes()] == ["STARTED", "SKIPPED", "SKIPPED"]
    await planes.end_runs()
    await planes.fire_at("2030-05-01T04:00:01Z")
    assert (await planes.outcomes())[-1] == ("01 04:00", "STARTED")


async def test_one_firing_is_queued_until_the_run_has_ended(planes: Planes) -> None:
    await overlapping(planes, Overlap.QUEUE_ONE)
    assert [outcome for _, outcome in await planes.outcomes()] == ["STARTED", "QUEUED", "SKIPPED"]
    await planes.end_runs()
    await planes.turn()
    assert [outcome for _, outcome in await planes.outcomes()] == ["STARTED", "STARTED", "SKIPPED"]
    first, second = await planes.runs()
    assert (first["status"], second["status"], f"{second['at']:%H:%M}") == ("SUCCESS", "QUEUED", "02:00")


async def test_previous_runs_are_canceled_and_the_newest_firing_follows_them(planes: Planes) -> None:
    await overlapping(planes, Overlap.CANCEL_PREVIOUS)
    assert [outcome for _, outcome in await planes.outcomes()] == ["STARTED", "SKIPPED", "QUEUED"]
    (run,) = await planes.runs()
    assert run["cancel_requested"]
    await planes.end_runs()
    await planes.turn()
    assert [f"{run['at']:%H:%M}" for run in await planes.runs()] == ["01:00", "03:00"]


async def test_paused_it_misses_nothing_and_resumed_it_goes_on(planes: Planes) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule(missed=Missed.FIRE_ALL)
    paused = await planes.schedules.pause(planes.caller, "hourly")
    assert (paused.paused, paused.next_at) == (True, None)
    await planes.fire_at("2030-05-01T03:30Z")
    resumed = await planes.schedules.resume(planes.caller, "hourly")
    assert resumed.next_at == datetime.fromisoformat("2030-05-01T04:00Z")
    await planes.fire_at("2030-05-01T04:00:01Z")
    assert await planes.outcomes() == [("01 04:00", "STARTED")]


async def test_a_firing_that_a_pause_gives_up_is_told_as_left_out(planes: Planes) -> None:
    await overlapping(planes, Overlap.QUEUE_ONE)
    await planes.schedules.pause(planes.caller, "hourly")
    await planes.end_runs()
    await planes.schedules.resume(planes.caller, "hourly")
    await planes.fire_at("2030-05-01T04:00:01Z")
    outcomes = [outcome for _, outcome in await planes.outcomes()]
    assert outcomes == ["STARTED", "SKIPPED", "SKIPPED", "STARTED"]


async def test_a_start_that_is_refused_is_told_and_the_schedule_goes_on(
    planes: Planes, platform: Client
) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule()
    await allow(platform, startsPerMinute=0)
    await planes.fire_at("2030-05-01T01:00:01Z")
    (firing,) = (await planes.schedules.firings(planes.caller, "hourly", 10, None)).items
    assert (firing.outcome, firing.error and firing.error["code"]) == ("FAILED", "QUOTA_EXCEEDED")
    await planes.admin.execute("UPDATE quotas SET starts_per_minute = NULL")
    for loop in planes.loops:
        loop._firings._starter._quotas._kept.clear()  # known for five seconds
    await planes.fire_at("2030-05-01T02:00:01Z")
    assert await planes.outcomes() == [("01 01:00", "FAILED"), ("01 02:00", "STARTED")]


async def test_one_that_can_not_be_fired_is_in_nobodys_way(planes: Planes, acme: Client) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule("broken")
    await planes.schedule("whole")
    await planes.admin.execute("UPDATE schedules SET time_zone = 'Europe/Gone' WHERE name = 'broken'")
    await planes.fire_at("2030-05-01T01:00:01Z")
    assert await planes.outcomes("whole") == [("01 01:00", "STARTED")]
    shown = await acme("{ schedules { items { name paused nextFirings error { code } } } }")
    assert [(one["name"], one["paused"]) for one in shown["items"]] == [("broken", True), ("whole", False)]
    assert shown["items"][0]["error"] == {"code": "INTERNAL"}
    with pytest.raises(InvalidInput):
        await planes.schedules.resume(planes.caller, "broken")
    await planes.schedules.update(planes.caller, "broken", {"time_zone": "UTC"})
    assert not (await planes.schedules.resume(planes.caller, "broken")).error


async def test_the_loop_wakes_when_something_is_due(planes: Planes) -> None:
    await planes.at("2030-05-01T00:59:50Z")
    await planes.schedule()
    loop = planes.loops[0]
    assert 8 < await loop._seconds_to_next() <= 10
    await planes.at("2030-05-01T00:59:59Z")
    assert await loop._seconds_to_next() <= 1


async def test_loops_that_run_fire_in_time_what_is_made_while_they_wait(planes: Planes) -> None:
    for listener in planes.listeners:
        await listener.start()
    working = [asyncio.create_task(loop.run()) for loop in planes.loops]
    try:
        # Made before the hour is full, or its first firing is an hour away.
        await planes.at("2030-05-01T00:59:57Z")
        await planes.schedule()
        # Without being told, a loop that found nothing planned would look again after ten seconds.
        async with asyncio.timeout(8):
            while not await planes.runs():
                await asyncio.sleep(0.02)
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        for listener in planes.listeners:
            await listener.close()
    assert await planes.outcomes() == [("01 01:00", "STARTED")]
    assert len(await planes.runs()) == 1


async def test_it_is_checked_when_it_is_made(planes: Planes) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"cron": "61 * * * *"}, "cron"),
        ({"time_zone": "Europe/Nowhere"}, "timeZone"),
        ({"missed_limit": 0}, "missedLimit"),
        ({"input": {"order": "{{ input.when }}"}}, "input.order"),
        ({"input": {"order": "{{ steps.a.output }}"}}, "input.order"),
        ({"input": {"order": "{{ 1 / 0 }}"}}, "input.order"),
        ({"input": {}}, "input.order"),
        ({"input": {"order": 3}}, "input.order"),
    ]
    for terms, path in wrong:
        with pytest.raises(InvalidInput) as refused:
            await planes.schedule(**terms)
        assert {problem.path for problem in refused.value.problems} == {path}, terms
    with pytest.raises(NotFound):
        await planes.schedule(workflow="nothing")
    with pytest.raises(NotFound):
        await planes.schedule(version=7)
    await planes.schedule()
    with pytest.raises(Conflict, match="a schedule of this name is already there"):
        await planes.schedule()
    narrow = replace(planes.caller, scope=frozenset({Permission.START_RUNS, Permission.DESIGN}))
    with pytest.raises(Forbidden):
        await planes.schedules.create(narrow, "another", TERMS)


async def test_a_sensitive_value_does_not_stand_in_a_schedule(planes: Planes, acme: Client) -> None:
    parameters = {"type": "object", "properties": {"pin": {"type": "string", "x-sensitive": True}}}
    await publish(acme, orders(workflow="pins", parameters=parameters, steps=[WAIT], result=None))
    with pytest.raises(InvalidInput) as refused:
        await planes.schedule(workflow="pins", input={"pin": "0000"})
    assert [problem.path for problem in refused.value.problems] == ["input"]


WAIT = {"key": "wait", "type": "signal", "signal": {"name": "go"}}


async def test_by_the_api(acme: Client, planes: Planes) -> None:
    made = await mutate(
        acme,
        "createSchedule",
        {
            "input": {
                "name": "nightly",
                "workflow": "orders",
                "cron": "30 2 * * MON-FRI",
                "timeZone": "Europe/Berlin",
                "input": {"order": "{{ input.date }}"},
                "overlap": "SKIP",
            }
        },
        "... on Schedule { name nextFirings }",
    )
    assert (made["name"], len(made["nextFirings"])) == ("nightly", 5)
    changed = await mutate(
        acme,
        "updateSchedule",
        {"name": "nightly", "input": {"cron": "@daily", "version": 1}},
        "... on Schedule { name }",
    )
    assert changed["name"] == "nightly"
    shown = await acme(_SCHEDULE, n="nightly")
    assert (shown["cron"], shown["version"], shown["overlap"]) == ("@daily", 1, "SKIP")
    assert (shown["missed"], shown["paused"]) == ("FIRE_ONCE", False)
    await mutate(acme, "pauseSchedule", {"name": "nightly"})
    assert (await acme(_SCHEDULE, n="nightly"))["nextFirings"] == []
    listed = await acme("{ schedules { items { name paused } } }")
    assert listed["items"] == [{"name": "nightly", "paused": True}]
    await mutate(acme, "deleteSchedule", {"name": "nightly"})
    assert await acme(_SCHEDULE, n="nightly") is None


async def test_a_run_says_what_started_it(acme: Client, planes: Planes) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule()
    await planes.fire_at("2030-05-01T01:00:01Z")
    (run,) = (await acme("{ runs { items { trigger { kind name firingAt backfillId } } } }"))["items"]
    assert run["trigger"] == {
        "kind": "SCHEDULE",
        "name": "hourly",
        "firingAt": "2030-05-01T01:00:00Z",
        "backfillId": None,
    }
    (firing,) = (
        await acme('{ scheduleFirings(schedule: "hourly") { items { at outcome run { status } } } }')
    )["items"]
    assert firing["run"] == {"status": "QUEUED"}
    missing = await acme('mutation { pauseSchedule(name: "none") { __typename ' + FAILURE + "} }")
    assert missing["code"] == "NOT_FOUND"


async def test_whoever_made_it_is_who_started_its_runs(acme: Client, planes: Planes) -> None:
    await planes.at("2030-05-01T00:30Z")
    terms = {"name": "mine", "workflow": "orders", "cron": "0 * * * *", "input": {"order": "1"}}
    await mutate(acme, "createSchedule", {"input": terms})
    await planes.fire_at("2030-05-01T01:00:01Z")
    run = (await acme("{ runs { items { trigger { name } startedBy { kind id name } } } }"))["items"][-1]
    me = await acme("{ me { actor { kind id name } } }")
    assert run == {"trigger": {"name": "mine"}, "startedBy": me["actor"]}


async def test_what_came_of_firings_is_forgotten_and_runs_go_on_telling(planes: Planes) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule()
    await planes.schedule("minded", overlap=Overlap.SKIP)
    await planes.fire_at("2030-05-01T01:00:01Z")
    await planes.at("2030-07-31T01:00Z")
    await expire(planes.pools[0], Kept(timedelta(days=30), timedelta(days=30)))
    assert await planes.outcomes() == []
    # Its run is unfinished, and in the next firing's way.
    assert await planes.outcomes("minded") == [("01 01:00", "STARTED")]
    assert len(await planes.runs()) == 1


@pytest.mark.parametrize(
    ("overlap", "why"),
    [
        (Overlap.SKIP, {"02:00": "EARLIER_RUN", "03:00": "EARLIER_RUN"}),
        (Overlap.QUEUE_ONE, {"02:00": "PAUSED", "03:00": "EARLIER_FIRING"}),
        (Overlap.CANCEL_PREVIOUS, {"02:00": "LATER_FIRING", "03:00": "PAUSED"}),
    ],
)
async def test_a_firing_that_is_left_out_says_why(
    planes: Planes, acme: Client, overlap: Overlap, why: dict[str, str]
) -> None:
    await overlapping(planes, overlap)
    await planes.schedules.pause(planes.caller, "hourly")
    told = (await headrace(acme, "schedules", "firings", "hourly"))["items"]
    skipped = {one["at"][11:16]: one["error"]["code"] for one in told if one["outcome"] == "SKIPPED"}
    assert skipped == why
