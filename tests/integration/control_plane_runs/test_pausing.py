"""Pausing and resuming: at once when nobody holds the run, else by its holder; messages wait meanwhile."""

from typing import Any
from uuid import UUID

import pytest

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started, with_role
from tests.integration.control_plane_runs.stopping import ask


async def state(client: Client, what: str, run: str) -> tuple[Any, ...]:
    answer = await ask(client, what, run)
    assert answer["__typename"] == "Run", answer
    return answer["status"], answer["waitReason"], answer["pauseRequested"], answer["cancelRequested"]


async def conflict(client: Client, what: str, run: str) -> str:
    answer = await ask(client, what, run)
    assert answer["code"] == "CONFLICT"
    return str(answer["message"])


PAUSED = ("PAUSED", "PAUSED", True, False)


async def test_a_queued_run_is_paused_at_once_and_resumed_under_its_dispatch(
    acme: Client, fleet: Fleet
) -> None:
    await publish(acme, orders())
    run = await started(acme)
    for _ in range(2):
        assert await state(acme, "pauseRun", run) == PAUSED
        assert await fleet.dispatches(run) == []
    for _ in range(2):
        assert (await state(acme, "resumeRun", run))[::2] == ("WAITING", False)
        assert await fleet.dispatches(run) == [(True, False, True)]


async def test_a_waiting_run_is_due_at_once_when_it_is_resumed(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    await fleet.park(run, "TIMER", seconds=3600)
    assert await state(acme, "pauseRun", run) == PAUSED
    assert await fleet.dispatches(run) == []
    await ask(acme, "resumeRun", run)
    assert await fleet.dispatches(run) == [(True, False, True)]


async def test_the_holder_of_a_running_run_is_left_to_pause_it(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    assert await state(acme, "pauseRun", run) == ("RUNNING", None, True, False)
    assert await fleet.dispatches(run) == [(True, False, True)]
    assert await state(acme, "resumeRun", run) == ("RUNNING", None, False, False)


async def test_a_cancel_wakes_a_paused_run(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await ask(acme, "pauseRun", run)
    assert (await state(acme, "cancelRun", run))[::3] == ("WAITING", True)
    assert await fleet.dispatches(run) == [(True, False, True)]
    assert await conflict(acme, "pauseRun", run) == "the run is to be canceled and can not be paused"


async def test_what_is_being_undone_is_neither_paused_nor_canceled(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.admin.execute(
        """UPDATE runs SET status = 'COMPENSATING', compensating = '{"outcome": "FAILED"}'"""
    )
    assert await conflict(acme, "pauseRun", run) == "the run is being undone, which can not be paused"
    assert await state(acme, "cancelRun", run) == ("COMPENSATING", None, False, False)


async def test_a_cancel_gives_undoing_that_was_set_aside_its_chances(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.admin.execute(
        """UPDATE runs SET status = 'COMPENSATING', compensating = '{"outcome": "FAILED"}',
           wait_reason = 'DEAD_LETTER', fruitless_claims = 5"""
    )
    await fleet.admin.execute("DELETE FROM dispatches")
    assert await state(acme, "cancelRun", run) == ("COMPENSATING", None, False, False)
    assert await fleet.dispatches(run) == [(True, False, True)]
    assert await fleet.admin.fetchval("SELECT fruitless_claims FROM runs") == 0


async def test_a_run_that_undoes_another_is_not_canceled(acme: Client, fleet: Fleet) -> None:
    """It would go on all the same, and claims that hear of a cancel set nothing aside, however many runners it ends."""
    await publish(acme, orders())
    run = await started(acme)
    await fleet.admin.execute("UPDATE runs SET status = 'WAITING', undoes_run_id = $1", UUID(run))
    await fleet.admin.execute("DELETE FROM dispatches")
    assert await state(acme, "cancelRun", run) == ("WAITING", None, False, False)
    assert await fleet.dispatches(run) == []
    await fleet.admin.execute("UPDATE runs SET wait_reason = 'DEAD_LETTER'")
    assert await state(acme, "cancelRun", run) == ("WAITING", None, False, False)
    assert await fleet.dispatches(run) == [(True, False, True)]


@pytest.mark.parametrize("what", ["pauseRun", "resumeRun"])
async def test_a_run_that_has_ended_is_left_alone(acme: Client, fleet: Fleet, what: str) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    await fleet.finish(run)
    assert await conflict(acme, what, run) == "the run has ended (SUCCESS)"


async def test_a_run_that_is_set_aside_is_not_paused(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.admin.execute("UPDATE runs SET status = 'WAITING', wait_reason = 'DEAD_LETTER'")
    assert "set aside" in await conflict(acme, "pauseRun", run)


async def test_who_may_pause(acme: Client, stranger: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    for what in ("pauseRun", "resumeRun"):
        assert (await ask(stranger, what, run))["code"] == "NOT_FOUND"
        for role in ("DESIGNER", "VIEWER", "APPROVER"):
            assert (await ask(await with_role(acme, role), what, run))["code"] == "FORBIDDEN"
    operator = await with_role(acme, "OPERATOR")
    assert await state(operator, "pauseRun", run) == PAUSED
    assert await fleet.admin.fetchval("SELECT status FROM runs WHERE id = $1", UUID(run)) == "PAUSED"


async def test_a_run_in_line_is_paused_when_its_turn_has_come(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders(concurrency={"limit": 1}))
    first, second = await started(acme), await started(acme)
    assert await state(acme, "pauseRun", second) == ("QUEUED", "CONCURRENCY", True, False)
    assert await state(acme, "resumeRun", second) == ("QUEUED", "CONCURRENCY", False, False)
    assert await fleet.dispatches(second) == []
    await fleet.claim(first)
    await fleet.finish(first)
    assert await fleet.dispatches(second) == [(True, False, True)]
