"""What wakes a relay, and what does not."""

import asyncio

import pytest
from headrace.postgres.listen import ROOM
from headrace_control.dispatch.alarm import Alarm


async def rings(alarm: Alarm) -> bool:
    try:
        async with asyncio.timeout(0):
            await alarm.rung()
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("held_back", [True, False])
async def test_what_is_due_rings_and_a_free_place_only_if_something_waits_for_it(held_back: bool) -> None:
    alarm = Alarm()
    alarm.look_begins()
    alarm.look_ended(held_back=held_back)
    alarm.hear(ROOM)
    assert await rings(alarm) is held_back
    alarm.hear("")
    assert await rings(alarm)


@pytest.mark.parametrize("held_back", [True, False])
async def test_a_place_that_came_free_during_a_look_is_not_forgotten(held_back: bool) -> None:
    alarm = Alarm()
    alarm.look_begins()
    alarm.hear(ROOM)
    alarm.look_ended(held_back=held_back)
    assert await rings(alarm) is held_back


async def test_what_became_due_during_a_look_rings_after_it() -> None:
    alarm = Alarm()
    alarm.look_begins()
    alarm.hear("")
    alarm.look_ended(held_back=False)
    assert await rings(alarm)
    alarm.look_begins()
    alarm.look_ended(held_back=False)
    assert not await rings(alarm)


async def test_after_a_look_that_failed_everything_rings() -> None:
    alarm = Alarm()
    alarm.look_begins()
    alarm.look_ended(held_back=False)
    alarm.look_begins()  # and it did not end
    alarm.hear(ROOM)
    assert await rings(alarm)
