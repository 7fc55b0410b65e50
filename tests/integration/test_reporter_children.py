"""A run in a run, as the reporter writes it: each half of a turn between parent and child in one transaction."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from headrace.ids import new_id

from tests.integration.applying import World, applying


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    async with applying(database) as prepared:
        yield prepared


async def parent_and_child(world: World) -> tuple[UUID, UUID]:
    """A parked parent that waits for its child."""
    parent, child = await world.claimed_run(), new_id()
    wait = {"kind": "CHILD", "runId": str(child), "versionId": str(world.version), "input": {"n": 1}}
    await world.applier.apply(
        [
            world.event(parent, 1, 1, "waiting", "sub", wait=wait),
            world.event(parent, 1, 2, "parked", reason="CHILD"),
        ]
    )
    return parent, child


async def claim(world: World, run: UUID) -> None:
    await world.admin.execute(
        "UPDATE runs SET status = 'RUNNING', epoch = epoch + 1, claimed_by = $2 WHERE id = $1", run, new_id()
    )


async def due(world: World, run: UUID) -> bool | None:
    """Whether the run's current dispatch is due; None without one."""
    return await world.admin.fetchval(
        """SELECT due_at <= now() FROM dispatches d JOIN runs r ON r.id = d.run_id AND r.dispatch_id = d.id
           WHERE r.id = $1 AND sent_at IS NULL""",
        run,
    )


async def test_a_child_begins_with_its_parents_wait(world: World) -> None:
    """rule child_begins_with_its_wait"""
    parent, child = await parent_and_child(world)
    row = await world.admin.fetchrow(
        "SELECT status, parent_run_id, parent_step, depth, input FROM runs WHERE id = $1", child
    )
    assert tuple(row) == ("QUEUED", parent, "sub", 1, '{"n": 1}')
    assert (await due(world, child), await due(world, parent)) == (True, None)


@pytest.mark.parametrize("end", ["finished", "canceled"])
async def test_a_childs_end_is_a_message_that_wakes_its_parent(world: World, end: str) -> None:
    """rule child_ends_with_its_message"""
    parent, child = await parent_and_child(world)
    await claim(world, child)
    ended = world.event(child, 1, 1, end, **({"status": "SUCCESS", "result": 3} if end == "finished" else {}))
    for _ in range(2):
        await world.applier.apply([ended])
        rows = await world.admin.fetch("SELECT run_id, seq, kind, step, data ->> 'status' FROM inbox")
        status = "SUCCESS" if end == "finished" else "CANCELED"
        assert [tuple(row) for row in rows] == [(parent, 1, "CHILD_ENDED", "sub", status)]
    assert await world.admin.fetchval("SELECT inbox_seq FROM runs WHERE id = $1", parent) == 1
    assert await due(world, parent) is True


@pytest.mark.parametrize("turn", ["compensating", "canceled"])
async def test_an_end_and_a_turn_reach_the_children(world: World, turn: str) -> None:
    """rule end_reaches_children: asked to cancel, and woken if nobody holds it."""
    parent, child = await parent_and_child(world)
    await claim(world, child)
    await world.applier.apply([world.event(child, 1, 1, "parked", reason="SIGNAL")])
    await claim(world, parent)
    data = {"outcome": "CANCELED", "error": None} if turn == "compensating" else {}
    await world.applier.apply([world.event(parent, 2, 1, turn, **data)])
    assert await world.admin.fetchval("SELECT cancel_requested FROM runs WHERE id = $1", child)
    assert await world.status(child) == "WAITING"
    assert await due(world, child) is True
