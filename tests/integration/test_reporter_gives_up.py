"""What is set aside or left in doubt stays what it is: nobody is sent for it, and nothing of it vanishes."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from fixtures_claims import World
from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.state import EventKind
from structlog.testing import capture_logs

NOW = datetime(2026, 11, 1, tzinfo=UTC)


async def claimed(world: World, tenant: UUID) -> UUID:
    job = await world.queued(tenant)
    await world.claim(new_id(), job)
    return job[0]


async def told(
    world: World, tenant: UUID, run: UUID, *events: tuple[str, str | None, dict[str, Any]]
) -> None:
    """Events of the run's first claim, in one batch, after those that are applied."""
    at = await world.admin.fetchval("SELECT fence_seq FROM runs WHERE id = $1", run)
    await world.applier.apply(
        [
            Event(tenant, run, 1, at + n, EventKind(kind), NOW, step, data)
            for n, (kind, step, data) in enumerate(events, 1)
        ]
    )


@pytest.mark.parametrize("end", ["finished", "canceled"])
async def test_a_step_that_is_in_doubt_when_its_run_ends_is_a_dead_letter(world: World, end: str) -> None:
    tenant = await world.tenant("one")
    run, other = await claimed(world, tenant), await claimed(world, tenant)
    ends = (end, None, {"status": "FAILED"} if end == "finished" else {})
    await told(world, tenant, run, ("completed", "a", {"status": "UNKNOWN"}), ends)
    await told(world, tenant, other, ("completed", "a", {"status": "SUCCESS"}), ends)
    letters = await world.admin.fetch("SELECT run_id, step, source FROM dead_letters")
    assert [tuple(letter) for letter in letters] == [(run, "a", "in_doubt")]


async def test_a_run_that_is_set_aside_while_it_is_undone_stays_so(world: World) -> None:
    tenant = await world.tenant("one")
    run = await claimed(world, tenant)
    await told(world, tenant, run, ("compensating", None, {"outcome": "CANCELED", "error": None}))
    with capture_logs() as lines:
        await told(world, tenant, run, ("completed", "a.undo", {"status": "NONSENSE"}))
    (line,) = [line for line in lines if line["event"] == "run set aside"]
    assert (line["run_id"], line["error"]) == (str(run), "ValueError")
    assert line["at"]  # where it could not be applied, for whoever looks into it
    assert "NONSENSE" not in str(lines)
    row = await world.admin.fetchrow("SELECT status, wait_reason FROM runs")
    assert tuple(row) == ("COMPENSATING", "DEAD_LETTER")


async def test_to_be_undone_a_run_has_to_say_how_it_will_end(world: World) -> None:
    tenant = await world.tenant("one")
    run = await claimed(world, tenant)
    await told(world, tenant, run, ("compensating", None, {"error": None}))
    assert await world.admin.fetchval("SELECT wait_reason FROM runs") == "DEAD_LETTER"


@pytest.mark.parametrize("canceled", [False, True])
async def test_the_end_of_a_child_sends_nobody_for_a_parent_that_is_set_aside(
    world: World, canceled: bool
) -> None:
    tenant = await world.tenant("one")
    parent, child = await claimed(world, tenant), await claimed(world, tenant)
    await world.admin.execute(
        "UPDATE runs SET parent_run_id = $2, parent_step = 's' WHERE id = $1", child, parent
    )
    await told(world, tenant, parent, ("completed", "a", {"status": "NONSENSE"}))
    await world.admin.execute("UPDATE runs SET cancel_requested = $2 WHERE id = $1", parent, canceled)
    await told(world, tenant, child, ("finished", None, {"status": "SUCCESS"}))
    kept = await world.admin.fetch("SELECT kind FROM inbox WHERE run_id = $1", parent)
    assert [row["kind"] for row in kept] == ["CHILD_ENDED"]
    sent = [row["run_id"] for row in await world.admin.fetch("SELECT run_id FROM dispatches")]
    assert sent == ([parent] if canceled else [])
