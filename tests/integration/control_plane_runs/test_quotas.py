"""What a tenant may use at most: who sets it, what is refused, and that nobody else feels it."""

import asyncio
from typing import Any

import pytest
from headrace.postgres.pool import WORKER, open_pool
from headrace_control.quotas import starts
from headrace_control.quotas.counting import count_stored

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started, with_role
from tests.integration.control_plane_runs.quotas import SET_QUOTAS, allow

_START = """mutation($input: JSON!, $key: String) { startRun(workflow: "orders", input: $input, idempotencyKey: $key) {
  __typename ... on Run { id } ... on Failure { code message } ... on QuotaExceeded { quota most } } }"""
_BULK = """mutation($items: [RunStart!]!) { startRuns(items: $items) { ... on StartedRuns { items {
  __typename ... on Run { id } ... on QuotaExceeded { quota } } } } }"""


@pytest.fixture(autouse=True)
async def asked_each_time(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "KEPT_SECONDS", 0.0)
    await publish(acme, orders())


async def start(client: Client, key: str | None = None, **given: Any) -> Any:
    return await client(_START, input={"order": "A-1", **given}, key=key)


async def test_the_platform_alone_sets_them(platform: Client, acme: Client) -> None:
    assert (await allow(platform, startsPerMinute=5, runsInFlight=7)) == {
        "__typename": "Quotas",
        "runsInFlight": 7,
        "unfinishedRuns": None,
        "startsPerMinute": 5,
    }
    assert (await allow(platform, unfinishedRuns=3))["startsPerMinute"] == 5  # what is left out stays
    assert (await allow(platform, startsPerMinute=None))["startsPerMinute"] is None
    for nobody in (acme, await with_role(platform, "OPERATOR")):
        assert (await allow(nobody, startsPerMinute=1))["code"] == "FORBIDDEN"
    assert (await platform(SET_QUOTAS, tenant="nobody", quotas={}))["code"] == "NOT_FOUND"
    wrong = await allow(platform, runsInFlight=None, loopItems=0, startsPerMinute=-1)
    assert {problem["path"] for problem in wrong["problems"]} == {
        "quotas.runsInFlight",
        "quotas.loopItems",
        "quotas.startsPerMinute",
    }


async def test_starts_above_the_minutes_quota_are_refused_and_others_do_not_feel_it(
    platform: Client, acme: Client, stranger: Client
) -> None:
    await allow(platform, startsPerMinute=3)
    first = await start(acme, key="once")
    assert first["__typename"] == "Run"
    items = [{"workflow": "orders", "input": {"order": f"A-{n}"}} for n in range(4)]
    answers = (await acme(_BULK, items=items))["items"]
    assert [answer["__typename"] for answer in answers] == ["Run", "Run", "QuotaExceeded", "QuotaExceeded"]
    refused = await start(acme)
    assert (refused["code"], refused["quota"], refused["most"]) == ("QUOTA_EXCEEDED", "startsPerMinute", 3)
    # What was accepted is answered again: it is no new start.
    assert await start(acme, key="once") == first
    await publish(stranger, orders())
    assert (await start(stranger))["__typename"] == "Run"


async def test_a_quota_comes_back_with_time(platform: Client, acme: Client, fleet: Fleet) -> None:
    await allow(platform, startsPerMinute=2)
    for _ in range(2):
        await started(acme)
    assert (await start(acme))["code"] == "QUOTA_EXCEEDED"
    await fleet.admin.execute("UPDATE quotas SET refilled_at = refilled_at - interval '30 seconds'")
    assert (await start(acme))["__typename"] == "Run"
    assert (await start(acme))["code"] == "QUOTA_EXCEEDED"


async def test_a_start_that_began_before_the_last_one_ended_has_its_place(
    platform: Client, acme: Client, fleet: Fleet
) -> None:
    """Its transaction has the earlier time: the bucket does not run backwards, nor is a time filled in twice."""
    await allow(platform, startsPerMinute=60)
    await started(acme)
    await fleet.admin.execute("UPDATE quotas SET starts_left = 1, refilled_at = now() + interval '2 seconds'")
    refilled_at = await fleet.admin.fetchval("SELECT refilled_at FROM quotas")
    assert (await start(acme))["__typename"] == "Run"
    assert await fleet.admin.fetchval("SELECT refilled_at FROM quotas") == refilled_at
    assert (await start(acme))["code"] == "QUOTA_EXCEEDED"


async def test_unfinished_runs_are_counted_once_however_many_start_at_a_time(
    platform: Client, acme: Client, fleet: Fleet
) -> None:
    await allow(platform, unfinishedRuns=3)
    answers = await asyncio.gather(*(start(acme) for _ in range(8)))
    runs = [answer["id"] for answer in answers if answer["__typename"] == "Run"]
    assert len(runs) == 3
    assert {answer.get("quota") for answer in answers if "quota" in answer} == {"unfinishedRuns"}
    await fleet.claim(runs[0])
    await fleet.finish(runs[0])
    assert (await start(acme))["__typename"] == "Run"
    assert (await start(acme))["code"] == "QUOTA_EXCEEDED"
    used = await acme("{ quotas { quotas { unfinishedRuns } usage { unfinishedRuns storedRuns } } }")
    assert used == {"quotas": {"unfinishedRuns": 3}, "usage": {"unfinishedRuns": 3, "storedRuns": None}}


async def test_stored_runs_and_the_size_of_an_input(
    platform: Client, acme: Client, fleet: Fleet, database: str
) -> None:
    for _ in range(2):
        await started(acme)
    await allow(platform, storedRuns=3, inputBytes=20)
    pool = await open_pool(database, WORKER)
    counting = asyncio.create_task(count_stored(pool))
    async with asyncio.timeout(20):
        while await fleet.admin.fetchval("SELECT counted_at IS NULL FROM quotas"):
            await asyncio.sleep(0.02)  # asked from outside, as an operator would
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)
    await pool.close()
    large = await start(acme, order="A-" + "1" * 20)
    assert (large["quota"], large["most"]) == ("inputBytes", 20)
    assert (await start(acme, order="A-öööö"))["quota"] == "inputBytes"  # of 18 characters
    assert (await start(acme))["__typename"] == "Run"
    assert (await start(acme))["quota"] == "storedRuns"


async def test_a_start_that_makes_no_run_uses_nothing_up(
    platform: Client, acme: Client, fleet: Fleet
) -> None:
    await publish(acme, orders(concurrency={"limit": 1, "onLimit": "skip"}))
    await allow(platform, storedRuns=3, startsPerMinute=3)
    run = (await start(acme))["id"]
    for _ in range(4):
        assert (await start(acme))["code"] == "CONCURRENCY_LIMIT"
    assert await fleet.admin.fetchval("SELECT runs_counted FROM quotas") == 1
    for _ in range(2):
        await fleet.claim(run)
        await fleet.finish(run)
        run = (await start(acme))["id"]
    await fleet.claim(run)
    await fleet.finish(run)
    assert (await start(acme))["code"] == "QUOTA_EXCEEDED"


@pytest.mark.parametrize("quota", ["startsPerMinute", "unfinishedRuns", "storedRuns"])
async def test_a_key_is_counted_once_in_a_batch(platform: Client, acme: Client, quota: str) -> None:
    await allow(platform, **{quota: 2})
    item = {"workflow": "orders", "input": {"order": "A-1"}}
    items = [{**item, "idempotencyKey": key} for key in ("k", "k", "l", "k", "m", "k")]
    answers = (await acme(_BULK, items=items))["items"]
    names = [answer["__typename"] for answer in answers]
    assert names == ["Run", "Run", "Run", "Run", "QuotaExceeded", "Run"]
    assert len({answer["id"] for answer in answers if "id" in answer}) == 2


@pytest.mark.parametrize("quota", ["startsPerMinute", "unfinishedRuns", "storedRuns"])
async def test_the_same_start_sent_at_once_is_not_in_its_own_way(
    platform: Client, acme: Client, fleet: Fleet, quota: str
) -> None:
    await allow(platform, **{quota: 1})
    answers = await asyncio.gather(*(start(acme, key="once") for _ in range(6)))
    assert {answer["__typename"] for answer in answers} == {"Run"}, answers
    assert len({answer["id"] for answer in answers}) == 1
    assert await fleet.admin.fetchval("SELECT runs_counted FROM quotas") == 1
    assert (await start(acme, key="another"))["quota"] == quota
    conflict = await start(acme, key="once", amount=7)
    assert (conflict["__typename"], conflict["code"]) == ("Conflict", "CONFLICT")


async def test_a_known_start_leaves_its_room_to_the_others_of_its_batch(
    platform: Client, acme: Client, fleet: Fleet
) -> None:
    """Two batches at once: in whichever comes second, the start of both takes no room from the one behind it."""
    await allow(platform, startsPerMinute=3)

    def batch(name: str) -> list[dict[str, Any]]:
        keys = ("both", name)
        return [{"workflow": "orders", "input": {"order": "A-1"}, "idempotencyKey": key} for key in keys]

    answers = await asyncio.gather(*(acme(_BULK, items=batch(name)) for name in ("one", "two")))
    assert [one["__typename"] for answer in answers for one in answer["items"]] == ["Run"] * 4
    assert await fleet.admin.fetchval("SELECT runs_counted FROM quotas") == 3
