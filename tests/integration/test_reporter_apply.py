"""Events applied to Postgres: once, in order, fenced, and never at a neighbour's cost."""

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.state import EventKind

from tests.integration.applying import ATTEMPT, NOW, World, applying


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    async with applying(database) as prepared:
        yield prepared


async def test_a_run_is_written_down(world: World) -> None:
    run = await world.claimed_run()
    await world.applier.apply(world.history(run))
    row = await world.admin.fetchrow("SELECT * FROM runs WHERE id = $1", run)
    assert (row["status"], row["claimed_by"], row["fence_seq"]) == ("SUCCESS", None, 5)
    assert row["result"] == '[["all"], "good"]'
    steps = await world.admin.fetch("SELECT key, status, attempts, output FROM step_runs ORDER BY key")
    assert [tuple(s) for s in steps] == [
        ("a", "SUCCESS", 1, '{"n": [1, 2]}'),
        ("b", "SUCCESS", 1, '{"n": [1, 2]}'),
    ]
    assert await world.admin.fetchval("SELECT count(*) FROM dispatches") == 0


async def test_the_same_batch_twice_changes_nothing(world: World) -> None:
    run = await world.claimed_run()
    await world.applier.apply(world.history(run)[:3])
    before = await world.snapshot()
    await world.applier.apply(world.history(run)[:3])
    assert await world.snapshot() == before


@pytest.mark.parametrize("seed", range(10))
async def test_duplicates_in_any_order_after_the_end_change_nothing(world: World, seed: int) -> None:
    run = await world.claimed_run()
    history = world.history(run)
    await world.applier.apply(history)
    before = await world.snapshot()
    again = history * 2
    random.Random(seed).shuffle(again)
    await world.applier.apply(again)
    assert await world.snapshot() == before


async def test_events_behind_the_end_change_no_more_than_the_fence(world: World) -> None:
    run = await world.claimed_run()
    await world.applier.apply(world.history(run))
    before = await world.snapshot()
    behind = [
        world.event(run, 1, 6, "started", "c"),
        world.event(run, 1, 7, "parked", reason="TIMER"),
        world.event(run, 1, 8, "canceled"),
    ]
    await world.applier.apply(behind)
    after = await world.snapshot()
    assert await world.status(run) == "SUCCESS"
    assert after | {"runs": before["runs"]} == before


@pytest.mark.parametrize("kind", ["parked", "finished", "canceled"])
async def test_what_ends_a_claim_that_is_not_open_is_set_aside(world: World, kind: str) -> None:
    run = await world.claimed_run()
    await world.applier.apply([world.event(run, 1, 1, "parked", reason="TIMER")])
    await world.applier.apply([world.event(run, 1, 2, kind, reason="RETRY", status="SUCCESS")])
    row = await world.admin.fetchrow("SELECT status, wait_reason FROM runs WHERE id = $1", run)
    assert tuple(row) == ("WAITING", "DEAD_LETTER")
    assert await world.admin.fetchval("SELECT code FROM dead_letters WHERE run_id = $1", run) == "NOT_APPLIED"


async def test_an_event_uses_up_the_messages_that_it_names(world: World) -> None:
    run = await world.claimed_run()
    await world.admin.execute(
        """INSERT INTO inbox (tenant_id, run_id, seq, kind, name, data)
           SELECT $1, $2, seq, 'SIGNAL', 'paid', '{}' FROM generate_series(1, 3) seq""",
        world.tenant,
        run,
    )
    await world.applier.apply([world.event(run, 1, 1, "completed", "a", status="SUCCESS", inbox=[1, 3])])
    left = await world.admin.fetch("SELECT seq FROM inbox WHERE NOT used")
    assert [row["seq"] for row in left] == [2]


async def test_events_of_a_stale_epoch_change_nothing(world: World) -> None:
    run = await world.claimed_run(epoch=2)
    await world.applier.apply([world.event(run, 2, 1, "claimed")])
    before = await world.snapshot()
    await world.applier.apply(world.history(run, epoch=1))
    assert await world.snapshot() == before


async def test_an_earlier_epochs_events_ahead_of_the_mark_are_applied(world: World) -> None:
    run = await world.claimed_run(epoch=2)  # epoch 2 was claimed, its mark is not in the partition yet
    await world.applier.apply([*world.history(run, epoch=1)[:2], world.event(run, 2, 1, "claimed")])
    assert await world.admin.fetchval("SELECT status FROM step_runs WHERE key = 'a'") == "SUCCESS"


async def test_parking_mints_the_next_dispatch(world: World) -> None:
    run = await world.claimed_run()
    old = await world.admin.fetchval("SELECT dispatch_id FROM runs WHERE id = $1", run)
    await world.applier.apply(
        [world.event(run, 1, 1, "parked", reason="RETRY", resumeAt="2031-01-01T00:00:00+00:00")]
    )
    row = await world.admin.fetchrow("SELECT * FROM runs WHERE id = $1", run)
    assert (row["status"], row["wait_reason"], row["claimed_by"]) == ("WAITING", "RETRY", None)
    dispatch = await world.admin.fetchrow("SELECT * FROM dispatches WHERE run_id = $1", run)
    assert dispatch["id"] == row["dispatch_id"] != old
    assert (dispatch["due_at"].year, dispatch["sent_at"]) == (2031, None)


async def test_a_park_sees_a_cancel_that_came_early(world: World) -> None:
    run = await world.claimed_run()
    await world.admin.execute("UPDATE runs SET cancel_requested = true WHERE id = $1", run)
    await world.applier.apply([world.event(run, 1, 1, "parked", reason="IN_DOUBT")])
    assert await world.admin.fetchval("SELECT due_at <= now() FROM dispatches WHERE run_id = $1", run)


async def test_a_run_that_can_not_be_applied_is_set_aside_alone(world: World) -> None:
    good, bad = await world.claimed_run(), await world.claimed_run()
    broken = world.event(bad, 1, 1, "completed", "a", status="NOT_A_STATUS")
    await world.applier.apply([broken, *world.history(good)])
    assert await world.status(good) == "SUCCESS"
    assert await world.status(bad) == "WAITING"
    letter = await world.admin.fetchrow("SELECT run_id, reason FROM dead_letters")
    assert letter["run_id"] == bad
    # A batch that Postgres refuses (an integer out of range) is no different.
    other = await world.claimed_run()
    huge = {"status": "SUCCESS", "attempt": {**ATTEMPT, "durationMs": 2**40}}
    await world.applier.apply([world.event(other, 1, 1, "completed", "a", **huge)])
    assert await world.status(other) == "WAITING"


@pytest.mark.parametrize("epoch", [1, 2], ids=["in the middle", "at the beginning of a claim"])
async def test_a_run_of_which_events_were_lost_is_set_aside(world: World, epoch: int) -> None:
    """What it waits for, or has done, may be in what was lost: nothing is applied behind the gap."""
    run = await world.claimed_run(epoch=2)

    await world.applier.apply(world.history(run)[:2])
    await world.applier.apply([world.event(run, epoch, 4, "completed", "b", status="SUCCESS")])
    await world.applier.apply([world.event(run, 2, 5, "parked", reason="TIMER")])
    row = await world.admin.fetchrow("SELECT status, wait_reason, claimed_by FROM runs")
    assert tuple(row) == ("WAITING", "DEAD_LETTER", None)
    steps = await world.admin.fetch("SELECT key, status FROM step_runs")
    assert [tuple(step) for step in steps] == [("a", "SUCCESS")]
    (letter,) = await world.admin.fetch("SELECT reason, code, body FROM dead_letters")
    assert (letter["reason"], letter["code"]) == ("events can not be applied (EventsMissing)", "NOT_APPLIED")
    assert [event["seq"] for event in json.loads(letter["body"])["events"]] == [4]
    assert await world.admin.fetchval("SELECT count(*) FROM dispatches") == 0


async def test_events_of_an_unknown_run_or_another_tenant_are_harmless(world: World) -> None:
    run = await world.claimed_run()
    stranger = Event(new_id(), run, 1, 1, EventKind.FINISHED, NOW, None, {"status": "SUCCESS"})
    before = await world.status(run)
    await world.applier.apply([world.event(new_id(), 1, 1, "claimed")])
    await world.applier.apply([stranger, world.event(run, 7, 1, "canceled")])
    assert await world.status(run) == before
    assert await world.admin.fetchval("SELECT count(*) FROM events") == 0


async def test_events_nested_too_deeply_to_be_written_are_kept_cut(world: World) -> None:
    good, bad = await world.claimed_run(), await world.claimed_run()
    deep = json.loads("[" * 600 + "]" * 600)  # what orjson reads; it writes 254
    await world.applier.apply(
        [world.event(bad, 1, 1, "started", "a", input=deep, said="beside"), *world.history(good)]
    )
    assert (await world.status(good), await world.status(bad)) == ("SUCCESS", "WAITING")
    (kept,) = json.loads(await world.admin.fetchval("SELECT body FROM dead_letters"))["events"]
    assert (kept["run_id"], kept["step"], kept["data"]["said"]) == (str(bad), "a", "beside")
    assert "nested too deeply" in json.dumps(kept["data"]["input"])


async def dead_letters(world: World) -> list[tuple[str, str, Any]]:
    rows = await world.admin.fetch("SELECT source, step, body FROM dead_letters ORDER BY source, step")
    return [(row["source"], row["step"], orjson.loads(row["body"])) for row in rows]


async def test_what_failed_for_good_is_kept_with_its_cause_input_and_attempts(world: World) -> None:
    run = await world.claimed_run()
    why = {"code": "HTTP_500", "message": "the target answered 500"}
    first = {**ATTEMPT, "outcome": "FAILED", "httpStatus": 500}
    failed = {"status": "FAILED", "error": why, "attempt": {**first, "number": 2}}
    await world.applier.apply(
        [
            world.event(run, 1, 1, "started", "a", input={"card": "(redacted)"}),
            world.event(run, 1, 2, "attempted", "a", attempt=first, error=why),
        ]
    )
    history = [
        world.event(run, 1, 3, "completed", "a", **failed, unhandled=True),
        world.event(run, 1, 4, "completed", "b", **failed),
        world.event(run, 1, 5, "started", "c.undo", input={"id": 1}),
        world.event(run, 1, 6, "completed", "c.undo", **failed, unhandled=True),
        world.event(run, 1, 7, "finished", status="FAILED", error=why),
    ]
    await world.applier.apply(history)
    await world.applier.apply(history)
    undone, step = await dead_letters(world)
    assert (step[:2], undone[:2]) == (("step", "a"), ("compensation", "c.undo"))
    assert (step[2]["cause"], step[2]["input"]) == (why, {"card": "(redacted)"})
    assert [(made["number"], made["httpStatus"]) for made in step[2]["attempts"]] == [(1, 500), (2, 500)]
    assert undone[2]["input"] == {"id": 1}


async def test_a_step_in_doubt_is_kept_once_when_its_run_waits_for_a_person(world: World) -> None:
    why = {"code": "CONNECTION_LOST", "message": "no answer"}
    run = await world.claimed_run()
    doubtful = {"status": "UNKNOWN", "error": why, "attempt": {**ATTEMPT, "outcome": "UNKNOWN"}}
    await world.applier.apply([world.event(run, 1, 1, "completed", "a", **doubtful)])
    assert await dead_letters(world) == []  # a probe may settle it
    for epoch, seq in ((1, 2), (2, 1)):
        parked = world.event(run, epoch, seq, "parked", reason="IN_DOUBT")
        await world.applier.apply([parked])
        assert [letter[:2] for letter in await dead_letters(world)] == [("in_doubt", "a")]
        await world.admin.execute(
            "UPDATE runs SET status = 'RUNNING', epoch = 2, claimed_by = $2 WHERE id = $1", run, new_id()
        )
    await world.applier.apply([world.event(run, 2, 2, "settled", "a", status="FAILED", error=why)])
    assert await world.admin.fetchval("SELECT status FROM dead_letters") == "DISCARDED"


@pytest.mark.parametrize("closed_by", ["settlement", "person"])
async def test_a_step_that_is_in_doubt_again_is_told_again(world: World, closed_by: str) -> None:
    await world.admin.execute(
        "INSERT INTO hooks (tenant_id, id, name, url, events) VALUES ($1, $2, 'h', 'https://h', '{DEAD_LETTER}')",
        world.tenant,
        new_id(),
    )
    run = await world.claimed_run()

    def doubt(epoch: int, number: int) -> list[Event]:
        attempt = {**ATTEMPT, "number": number, "outcome": "UNKNOWN"}
        return [
            world.event(run, epoch, number, "started", "a", unsafe=True),
            world.event(run, epoch, number + 1, "completed", "a", status="UNKNOWN", attempt=attempt),
            world.event(run, epoch, number + 2, "parked", reason="IN_DOUBT"),
        ]

    async def claim_again(epoch: int) -> None:
        await world.admin.execute(
            "UPDATE runs SET status = 'RUNNING', epoch = $3, claimed_by = $2 WHERE id = $1",
            run,
            new_id(),
            epoch,
        )

    async def told() -> tuple[list[str], int]:
        letters = await world.admin.fetch("SELECT status FROM dead_letters")
        messages = await world.admin.fetchval(
            "SELECT count(*) FROM hook_messages WHERE event = 'DEAD_LETTER'"
        )
        return [letter["status"] for letter in letters], messages

    await world.applier.apply(doubt(1, 1))
    assert await told() == (["OPEN"], 1)
    if closed_by == "person":
        await world.admin.execute(
            "UPDATE dead_letters SET status = 'DISCARDED', closed_at = now(), closed_reason = 'seen'"
        )
        await claim_again(2)
        await world.applier.apply([world.event(run, 2, 1, "parked", reason="IN_DOUBT")])  # the same doubt
        assert await told() == (["DISCARDED"], 1)
    await claim_again(3)
    await world.applier.apply([world.event(run, 3, 1, "settled", "a", status="QUEUED"), *doubt(3, 2)])
    assert await told() == (["OPEN"], 2)
    (letter,) = await dead_letters(world)
    assert [made["number"] for made in letter[2]["attempts"]] == [1, 2]
