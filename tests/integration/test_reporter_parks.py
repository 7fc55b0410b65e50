"""Parks applied: which dispatch a run gets and when it is due; and parks that come again, behind the next claim."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from headrace.ids import new_id

from tests.integration.applying import ATTEMPT, NOW, World, applying

LATER = "2031-01-01T00:00:00+00:00"


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    async with applying(database) as prepared:
        yield prepared


async def left(world: World, run: UUID) -> tuple[str, str | None]:
    """The run's status, and when its dispatch is due: `now`, `later` or, without a date, `never`; None without one."""
    due = await world.admin.fetchval(
        """SELECT CASE WHEN due_at <= now() THEN 'now' WHEN due_at = $2::text::timestamptz THEN 'later' ELSE 'never' END
           FROM dispatches d JOIN runs r ON r.id = d.run_id AND r.dispatch_id = d.id
           WHERE r.id = $1 AND sent_at IS NULL""",
        run,
        LATER,
    )
    return await world.status(run), due


async def parked(world: World, run: UUID, reason: str, **data: Any) -> tuple[str, str | None]:
    await world.applier.apply([world.event(run, 1, 1, "parked", reason=reason, **data)])
    return await left(world, run)


async def ask(world: World, run: UUID, what: str) -> None:
    await world.admin.execute(f"UPDATE runs SET {what} WHERE id = $1", run)


UNDOING = """status = 'COMPENSATING', compensating = '{"outcome": "CANCELED"}'"""


async def test_a_hand_back_is_due_at_once(world: World) -> None:
    """rule hand_back_is_due_at_once"""
    run = await world.claimed_run()
    assert await parked(world, run, "HANDED_BACK", resumeAt=NOW.isoformat()) == ("WAITING", "now")


async def test_a_pause_that_was_taken_back_leaves_the_run_due(world: World) -> None:
    """rule park_sees_pause: its holder parked for a pause that nobody wants any more."""
    run = await world.claimed_run()
    assert await parked(world, run, "PAUSED") == ("WAITING", "now")


async def test_a_pause_that_met_another_park_is_heard(world: World) -> None:
    """rule park_sees_pause: it was asked for after the holder had decided to park."""
    run = await world.claimed_run()
    await ask(world, run, "pause_requested = true")
    assert await parked(world, run, "TIMER", resumeAt=LATER) == ("PAUSED", None)


@pytest.mark.parametrize("reason", ["PAUSED", "TIMER"])
async def test_a_cancel_beats_the_pause_that_a_park_meets(world: World, reason: str) -> None:
    run = await world.claimed_run()
    await ask(world, run, "pause_requested = true, cancel_requested = true")
    assert await parked(world, run, reason) == ("WAITING", "now")


@pytest.mark.parametrize(("seen", "due"), [(1, "now"), (2, "later")])
async def test_a_park_sees_the_message_that_its_writer_had_not_seen(
    world: World, seen: int, due: str
) -> None:
    """rules park_sees_what_came_early, park_tells_what_it_saw: one that was seen is for a later wait."""
    run = await world.claimed_run()
    await ask(world, run, "inbox_seq = 2")
    assert await parked(world, run, "SIGNAL", resumeAt=LATER, inboxSeen=seen) == ("WAITING", due)


@pytest.mark.parametrize("undoes", ["its own", "another's"])
async def test_the_cancel_that_is_carried_out_does_not_wake_the_undoing(world: World, undoes: str) -> None:
    """rule cancel_wakes_no_undo: it stays on the row, and would wake the run at each of its parks."""
    run = await world.claimed_run()
    await ask(world, run, UNDOING if undoes == "its own" else f"undoes_run_id = '{new_id()}'")
    await ask(world, run, "cancel_requested = true")
    status = "COMPENSATING" if undoes == "its own" else "WAITING"
    assert await parked(world, run, "RETRY", resumeAt=LATER) == (status, "later")


async def test_a_pause_does_not_stop_an_undoing(world: World) -> None:
    run = await world.claimed_run()
    await ask(world, run, f"{UNDOING}, pause_requested = true")
    assert await parked(world, run, "RETRY", resumeAt=LATER) == ("COMPENSATING", "later")


@pytest.mark.parametrize("again", [slice(0, 3), slice(2, 3)], ids=["all", "the last"])
async def test_a_park_that_comes_again_leaves_the_next_claim_open(world: World, again: slice) -> None:
    """rule each_event_once: a run that parked is claimed without a mark, so that the fence alone tells the copy."""
    run = await world.claimed_run()
    failed = {"attempt": {**ATTEMPT, "outcome": "FAILED"}, "error": {"code": "TIMEOUT", "message": "late"}}
    history = [
        world.event(run, 1, 1, "started", "a"),
        world.event(run, 1, 2, "attempted", "a", retryAt=LATER, **failed),
        world.event(run, 1, 3, "parked", reason="RETRY", resumeAt=LATER),
    ]
    await world.applier.apply(history)
    await ask(world, run, f"status = 'RUNNING', epoch = 2, claimed_by = '{new_id()}'")
    before = await world.snapshot()
    await world.applier.apply(history[again])
    assert await world.snapshot() == before


async def test_a_step_that_went_on_is_not_put_back_by_a_copy(world: World) -> None:
    """rule each_event_once, of a step that has not ended: nothing but the fence keeps it."""
    run = await world.claimed_run()
    failed = {"attempt": {**ATTEMPT, "outcome": "FAILED"}, "error": {"code": "TIMEOUT", "message": "late"}}
    history = [
        world.event(run, 1, 1, "started", "a"),
        world.event(run, 1, 2, "attempted", "a", retryAt=LATER, **failed),
        world.event(run, 1, 3, "started", "a"),
    ]
    await world.applier.apply(history)
    before = await world.snapshot()
    await world.applier.apply(history[:2])
    assert await world.snapshot() == before
