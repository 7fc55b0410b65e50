"""What large parts of answers take in the memory of this process: so much at once, and of one tenant half of it."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

from headrace.errors import LimitExceeded

# Bytes, as they came from Postgres. On its way into an answer a byte is there some three times.
MOST = 16 * 1024 * 1024
MOST_OF_ONE_TENANT = MOST // 2
# So long an answer waits for its room.
PATIENCE_SECONDS = 5.0


class AnswerRoom:
    """One for the process. What does not fit waits: tenants in turn, of each the one first that came first.

    One answer at a time goes beyond its tenant's half, and is not counted with the others: one that wants something
    larger than that; or one that is in already and wants more, which else might wait for others that do so too.
    """

    def __init__(
        self, most: int = MOST, of_one: int = MOST_OF_ONE_TENANT, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._most, self._of_one, self._patience = most, of_one, patience
        # Without what the one has that goes beyond.
        self.held = 0
        self._of: Counter[UUID] = Counter()
        self._lines: dict[UUID, deque[_Waiting]] = {}
        self._beyond: Answer | None = None
        # Of what has to be read into Python values, and takes many times its size then, one at a time.
        self.reading = asyncio.Lock()

    async def take(self, answer: "Answer", size: int) -> None:
        """Raises `LimitExceeded` after a time."""
        if not self._lines and (self._fits(answer, size) or self._goes_beyond(answer, size)):
            self._grant(answer, size)
            return
        waiting = _Waiting(answer, size)
        line = self._lines.setdefault(answer.tenant_id, deque())
        # Who holds something keeps others waiting.
        (line.appendleft if answer.taken else line.append)(waiting)
        self._let_in()
        try:
            async with asyncio.timeout(self._patience):
                await waiting.granted
        except BaseException as error:
            if waiting.granted.done() and not waiting.granted.cancelled():
                self.release(answer, size)
            else:
                self._step_out(waiting)
            if isinstance(error, TimeoutError):
                raise LimitExceeded(
                    "too much of large inputs and outputs is being read at once; try again, or ask for smaller pages"
                ) from None
            raise

    def release(self, answer: "Answer", size: int) -> None:
        answer.taken -= size
        uncounted = min(size, answer.beyond)
        answer.beyond -= uncounted
        self.held -= size - uncounted
        self._of[answer.tenant_id] -= size - uncounted
        if not self._of[answer.tenant_id]:
            del self._of[answer.tenant_id]
        self._let_in()

    def over(self, answer: "Answer") -> None:
        """`answer` has been made."""
        if self._beyond is answer:
            self._beyond = None
            self._let_in()

    def _fits(self, answer: "Answer", size: int) -> bool:
        return self.held + size <= self._most and self._of[answer.tenant_id] + size <= self._of_one

    def _goes_beyond(self, answer: "Answer", size: int) -> bool:
        return self._beyond in (None, answer) and (answer.taken > 0 or size > self._of_one)

    def _grant(self, answer: "Answer", size: int) -> None:
        answer.taken += size
        if self._fits(answer, size):
            self.held += size
            self._of[answer.tenant_id] += size
        else:
            self._beyond = answer
            answer.beyond += size

    def _let_in(self) -> None:
        while (waiting := self._next()) is not None:
            self._grant(waiting.answer, waiting.size)
            waiting.granted.set_result(None)
            self._step_out(waiting)

    def _next(self) -> "_Waiting | None":
        full = False
        for line in self._lines.values():
            first = next((one for one in line if not one.granted.done()), None)
            if first is None or (full and not self._goes_beyond(first.answer, first.size)):
                continue
            if self._fits(first.answer, first.size) or self._goes_beyond(first.answer, first.size):
                return first
            # Nobody small goes ahead of who waits for much, or that one would wait for ever.
            full = full or (first.size <= self._of_one and self.held + first.size > self._most)
        return None

    def _step_out(self, waiting: "_Waiting") -> None:
        """Out of its line, which then is the last one."""
        line = self._lines.pop(waiting.answer.tenant_id)
        line.remove(waiting)
        if line:
            self._lines[waiting.answer.tenant_id] = line


class Answer:
    """One answer that is being made. `taken` is what it has in the room; of that, `beyond` is beyond its bounds, and
    `kept` will stand in it."""

    def __init__(self, room: AnswerRoom, tenant_id: UUID) -> None:
        self.room, self.tenant_id = room, tenant_id
        self.taken = self.beyond = self.kept = 0
        # Counts what was let go: a look-up that ends after that keeps nothing.
        self.turn = 0

    def keep(self, size: int, turn: int) -> int:
        """How much of `size`, which was taken in that turn, is kept: all or nothing."""
        if turn != self.turn:
            return 0
        self.kept += size
        return size

    def let_go(self) -> None:
        """It has been encoded, or there will be none."""
        size, self.kept = self.kept, 0
        self.turn += 1
        if size:
            self.room.release(self, size)
        self.room.over(self)


@dataclass(slots=True, eq=False)
class _Waiting:
    answer: Answer
    size: int
    granted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


# Which answer is being made.
ANSWER: ContextVar[Answer | None] = ContextVar("ANSWER", default=None)


@contextlib.contextmanager
def answering(room: AnswerRoom, tenant_id: UUID) -> Iterator[Answer]:
    """What is looked up within is for one answer."""
    answer = Answer(room, tenant_id)
    token = ANSWER.set(answer)
    try:
        yield answer
    finally:
        ANSWER.reset(token)
        answer.let_go()
