"""The room for what is large in answers: who is let in, when, and what is given back."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from headrace.errors import LimitExceeded
from headrace_control.answer_room import ANSWER, Answer, AnswerRoom, answering
from headrace_control.answer_size import MAX_BYTES, Sized, look_up

A, B, C = uuid4(), uuid4(), uuid4()


def room(patience: float = 5.0) -> AnswerRoom:
    return AnswerRoom(16, 8, patience)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def waiting(answer: Answer, size: int) -> asyncio.Task[None]:
    return asyncio.create_task(answer.room.take(answer, size))


async def test_a_tenant_has_half_of_it_at_most() -> None:
    full = room()
    first, second, other = Answer(full, A), Answer(full, A), Answer(full, B)
    await full.take(first, 6)
    late = waiting(second, 6)
    await full.take(other, 6)
    await settled()
    assert not late.done()
    assert full.held == 12
    full.release(first, 6)
    await late
    assert full.held == 12


async def test_what_is_larger_than_a_tenants_half_goes_beyond_one_at_a_time() -> None:
    full = room()
    small, large, second = Answer(full, A), Answer(full, B), Answer(full, C)
    await full.take(small, 8)
    await full.take(large, 40)
    next_ = waiting(second, 9)
    # What fits is let in beside it.
    other = Answer(full, B)
    await full.take(other, 8)
    await settled()
    assert not next_.done()
    full.release(large, 40)
    full.over(large)
    await next_
    assert full.held == 16


async def test_nobody_small_goes_ahead_of_who_waits_for_much() -> None:
    full = room()
    holders = [Answer(full, A), Answer(full, B)]
    for holder in holders:
        await full.take(holder, 6)
    much, little = waiting(Answer(full, C), 8), waiting(Answer(full, B), 1)
    await settled()
    assert (much.done(), little.done()) == (False, False)
    full.release(holders[0], 6)
    await asyncio.gather(much, little)


async def test_tenants_take_turns() -> None:
    full = room()
    holders = [Answer(full, C), Answer(full, uuid4())]
    for holder in holders:
        await full.take(holder, 8)
    order: list[UUID] = []

    async def go(tenant_id: UUID) -> None:
        answer = Answer(full, tenant_id)
        await full.take(answer, 8)
        order.append(tenant_id)
        await asyncio.sleep(0)
        full.release(answer, 8)

    tasks = [asyncio.create_task(go(tenant_id)) for tenant_id in (A, A, A, A, B)]
    await settled()
    for holder in holders:
        full.release(holder, 8)
    await asyncio.gather(*tasks)
    assert B in order[:2]
    assert full.held == 0


async def test_who_waits_too_long_is_told_what_to_do() -> None:
    full = room(patience=0.01)
    holder, late = Answer(full, A), Answer(full, A)
    await full.take(holder, 8)
    with pytest.raises(LimitExceeded, match="try again, or ask for smaller pages"):
        await full.take(late, 1)
    full.release(holder, 8)
    await full.take(late, 8)
    assert full.held == 8


async def test_answers_that_grow_do_not_wait_for_each_other_for_ever() -> None:
    full = room()
    answers = [Answer(full, A), Answer(full, A)]
    for answer in answers:
        await full.take(answer, 4)

    async def grow(answer: Answer) -> None:
        await full.take(answer, 4)
        full.release(answer, 8)
        full.over(answer)

    async with asyncio.timeout(1):
        await asyncio.gather(*(grow(answer) for answer in answers))
    assert full.held == 0


async def test_who_goes_away_while_waiting_takes_nothing() -> None:
    full = room()
    holder, gone, next_ = Answer(full, A), Answer(full, A), Answer(full, A)
    await full.take(holder, 8)
    leaving, staying = waiting(gone, 8), waiting(next_, 8)
    await settled()
    leaving.cancel()
    await settled()
    full.release(holder, 8)
    await staying
    assert (full.held, gone.taken) == (8, 0)


def reading(size: int, asked: list[int]) -> Callable[[int], Awaitable[Sized[str]]]:
    async def read(most: int) -> Sized[str]:
        asked.append(most)
        return Sized(size, "found" if size <= most else "")

    return read


async def test_a_look_up_holds_what_it_found_until_the_answer_is_made() -> None:
    full, asked = AnswerRoom(), list[int]()
    with answering(full, A):
        assert await look_up(2, reading(5_000_000, asked)) == "found"
        assert asked == [256 * 1024, 5_000_000]
        assert full.held == 5_000_000
        # Together with what the answer holds already it is too much.
        with pytest.raises(LimitExceeded, match="smaller pages or fewer fields"):
            await look_up(2, reading(5_000_000, asked))
        assert full.held == 5_000_000
    assert full.held == 0
    assert ANSWER.get() is None


async def test_one_thing_by_itself_is_found_however_large() -> None:
    full = AnswerRoom()
    for size in (0, MAX_BYTES + 1, 50_000_000):
        with answering(full, A):
            assert await look_up(1, reading(size, [])) == "found"
    with pytest.raises(LimitExceeded), answering(full, A):
        await look_up(2, reading(MAX_BYTES + 1, []))
    assert full.held == 0


async def test_a_look_up_that_outlives_its_answer_keeps_nothing() -> None:
    full, go = AnswerRoom(), asyncio.Event()

    async def read(most: int) -> Sized[None]:
        await go.wait()
        return Sized(1000, None)

    with answering(full, A):
        late = asyncio.create_task(look_up(1, read))
        await settled()
    assert full.held > 0
    go.set()
    await late
    assert full.held == 0
