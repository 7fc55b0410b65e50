"""How much of what may be large an answer may hold."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from headrace.errors import LimitExceeded

from headrace_control.answer_room import ANSWER, Answer

T = TypeVar("T")

# Bytes, in all look-ups for one answer: of several things together, and with what belongs to one thing alone.
MAX_BYTES = 8 * 1024 * 1024
MAX_OF_ONE = 32 * 1024 * 1024
# What a look-up takes room for before it knows how much there is.
_QUICK = 256 * 1024
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Sized(Generic[T]):
    """What a look-up found, and how many bytes of it may be large. `found` holds none of these when they are more than
    was asked for."""

    size: int
    found: T


async def look_up(things: int, read: Callable[[int], Awaitable[Sized[T]]], *, stays: bool = True) -> T:
    """What `read(most)` finds of so many things (runs with all their steps, events, versions), once there is room for
    it in the memory of the process; see `answer_room`. `stays`: it will stand in the answer.

    `read` leaves out what is large when that is more than `most`, and is asked again then. It holds no session of the
    database before or after: others may have to be waited for. Raises `LimitExceeded`. A thing by itself is always
    found, however large, or pages would not lead there.
    """
    answer = ANSWER.get()
    most = _QUICK
    for _ in range(_TRIES):
        if answer is None:
            sized = await read(most)
            _check(things, 0, sized.size)
        else:
            sized = await _within(answer, things, most, read, stays=stays)
        if sized.size <= most:
            return sized.found
        most = sized.size
    raise LimitExceeded("what is asked for grew while it was read; try again")


async def _within(
    answer: Answer, things: int, most: int, read: Callable[[int], Awaitable[Sized[T]]], *, stays: bool
) -> Sized[T]:
    turn, kept = answer.turn, 0
    await answer.room.take(answer, most)
    try:
        sized = await read(most)
        _check(things, answer.kept if stays else 0, sized.size)
        if stays and sized.size <= most:
            kept = answer.keep(sized.size, turn)
    finally:
        answer.room.release(answer, most - kept)
    return sized


def _check(things: int, kept: int, size: int) -> None:
    bound = MAX_OF_ONE if things == 1 else MAX_BYTES
    if size and kept + size > bound and (things > 1 or kept):
        raise LimitExceeded(f"this is more than {bound // 2**20} MB; ask for smaller pages or fewer fields")
