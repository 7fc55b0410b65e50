"""The runner's lease: one renewal per process, naming the runs that it holds."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import UUID

import structlog
from headrace.errors import HeadraceError, Unavailable
from headrace.outage import Outage
from headrace.workflow.state import Message

from headrace_runner.clock import Clock
from headrace_runner.control_plane import ControlPlane
from headrace_runner.inbox import read_messages

_log = structlog.get_logger(__name__)

# At most; a shorter lease is renewed three times in its life.
RENEW_SECONDS = 3.0
# A run that was left stays named for as long as its last events may need to be applied: a claim that lapses
# sooner would be swept for nothing.
LINGER_SECONDS = 6.0
# How often it is asked, at the end, whether they are.
CLOSED_PAUSE_SECONDS = 0.1


class HeldRun:
    """One claim that this runner knows of, and what the control plane says about it."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        self.cancel_requested = False
        self.pause_requested = False
        self.lost = False
        self.despite_cancel = False  # what a cancel undoes is called for all that
        self.inbox: list[Message] = []
        self.inbox_seen = 0
        self.heard: datetime | None = None
        self._awaited: datetime | None = None
        self._listener: Callable[[], None] | None = None

    def on_news(self, listener: Callable[[], None]) -> None:
        """Call `listener` when there is something new to know."""
        self._listener = listener
        listener()

    def tell(self, *, canceled: bool = False, lost: bool = False) -> None:
        self.cancel_requested |= canceled
        self.lost |= lost
        self._notify()

    def tell_pause(self, paused: bool) -> None:
        if paused != self.pause_requested:
            self.pause_requested = paused
            self._notify()

    def tell_messages(self, messages: Iterable[Message]) -> None:
        """Messages to the run, in order; those that are known already are passed over."""
        new = [message for message in messages if message.seq > self.inbox_seen]
        if new:
            self.inbox += new
            self.inbox_seen = new[-1].seq
            self._notify()

    def tell_heard(self, until: datetime) -> None:
        """All messages until then were told of."""
        if self.heard is None or until > self.heard:
            self.heard = until
            if self._awaited is not None and until >= self._awaited:
                self._notify()

    def await_heard(self, until: datetime | None) -> None:
        """Tell the listener once all messages until then were told of; None: nobody waits for that."""
        self._awaited = until

    def begin_at(self, inbox_seen: int, heard: datetime | None) -> None:
        """The checkpoint was read, which holds the unused messages up to `inbox_seen`, and all that were said until
        `heard`.

        rule inbox_behind_the_barrier: a renewal before that may have told of some of them that the last holder had
        used up, by events that were not applied yet.
        """
        self.inbox = [message for message in self.inbox if message.seq > inbox_seen]
        self.inbox_seen = max(inbox_seen, self.inbox_seen)
        if heard is not None:
            self.tell_heard(heard)

    def may_go_on(self) -> bool:
        """Whether calls may start, as far as is known: not after a cancel, unless it is being carried out."""
        return not self.lost and (self.despite_cancel or not self.cancel_requested)

    def _notify(self) -> None:
        if self._listener:
            self._listener()


class Lease:
    """Keeps the lease, and knows by this machine's own clock whether it is live.

    The clock starts when a renewal is SENT, so it never says "live" for longer than the database does.
    """

    def __init__(self, control_plane: ControlPlane, clock: Clock, capacity: int) -> None:
        self._control_plane, self._clock, self._capacity = control_plane, clock, capacity
        self._held: dict[UUID, HeldRun] = {}
        self._left: dict[UUID, float] = {}
        self._until = 0.0
        self._every = RENEW_SECONDS
        self._renewed = asyncio.Event()
        self._hurry = asyncio.Event()
        self.calls_settled = 0

    @property
    def held(self) -> int:
        return len(self._held)

    def live(self) -> bool:
        return time.monotonic() < self._until

    async def given(self) -> None:
        """Wait until the lease is live."""
        while not self.live():
            await self._renewed.wait()

    def kept_alive(self, sent: float, lease_seconds: float, now: datetime) -> None:
        """A claim call was sent at `sent` (monotonic) and answered. It keeps a live lease, and does not revive
        one that has run out: only a renewal tells which runs are another's by now."""
        self._clock.set(now)
        if self.live():
            self._until = max(self._until, sent + lease_seconds)

    def hold(self, run_id: UUID) -> HeldRun:
        """Name the run from now on. In the same breath as its claim call is settled."""
        self._left.pop(run_id, None)
        if old := self._held.get(run_id):
            old.tell(lost=True)  # an epoch of the past, of which no renewal would tell any more
        held = self._held[run_id] = HeldRun(run_id)
        return held

    def leave(self, held: HeldRun) -> None:
        """The claim is over for this runner."""
        if self._held.get(held.run_id) is held:
            del self._held[held.run_id]
            if not held.lost:
                self._left[held.run_id] = time.monotonic()

    async def may_call(self, held: HeldRun) -> bool:
        """Whether a call of this run may start; waits for a renewal if the lease is not live.

        rule call_needs_lease: a runner starts no call unless its own clock says that the lease is live. A
        renewal after a stall may bring the news that the run is another's: then the lease is of no use to it.
        Nor does one start once a cancel is known (rule claim_tells_cancel).
        """
        while not self.live() and not held.lost:
            self._hurry.set()
            await self._renewed.wait()
        return held.may_go_on()

    async def closed(self, seconds: float) -> None:
        """Wait until the claims of all runs that were left are closed, at most so long, and no longer than somebody
        tells. Given up before that, the lease would have them swept, and claimed again for nothing."""
        with contextlib.suppress(TimeoutError, HeadraceError):
            async with asyncio.timeout(seconds):
                while self._left:
                    await self.renew()
                    await asyncio.sleep(CLOSED_PAUSE_SECONDS if self._left else 0)

    async def run(self) -> None:
        """Renew until cancelled."""
        outage = Outage("lease not renewed", "lease is renewed again")
        while True:
            try:
                await self.renew()
                outage.over()
                wait = self._every
            except Unavailable as error:
                outage.tried(reason=error.message)
                wait = min(0.5, self._every)
            except HeadraceError as error:
                _log.error("lease refused", code=error.code)
                wait = self._every
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._hurry.wait()
            if self._hurry.is_set() and wait < self._every:
                await asyncio.sleep(wait)  # whoever hurries us does not make an outage shorter
            self._hurry.clear()

    async def renew(self) -> None:
        now = time.monotonic()
        self._left = {i: at for i, at in self._left.items() if now - at < LINGER_SECONDS}
        # Both are read in one breath: a claim answered from here on has a higher call number.
        named, settled = dict(self._held), self.calls_settled
        lingering = dict(self._left)
        names = [*named, *lingering]
        seen = {str(run_id): held.inbox_seen for run_id, held in named.items() if held.inbox_seen}
        answer = await self._control_plane.heartbeat(
            settled, self._capacity, names, seen, timeout=RENEW_SECONDS
        )
        # The news are of the claims that were named: a run may have parked and come back meanwhile.
        for run_id in answer["lost"]:
            if held := named.get(UUID(run_id)):
                held.tell(lost=True)
            elif self._left.get(UUID(run_id)) == lingering[UUID(run_id)]:
                del self._left[UUID(run_id)]  # its last events are applied, and its claim is closed
        for run_id in answer["canceled"]:
            if held := named.get(UUID(run_id)):
                held.tell(canceled=True)
        paused = {UUID(run_id) for run_id in answer["paused"]}
        for run_id, held in named.items():
            held.tell_pause(run_id in paused)
        for run_id, messages in answer["inbox"].items():
            if held := named.get(UUID(run_id)):
                held.tell_messages(read_messages(messages))
        if heard := answer.get("heard"):  # a control plane of the release before does not say
            cut_off = {UUID(run_id) for run_id in answer["cut_off"]}
            for run_id, held in named.items():
                if run_id not in cut_off:
                    held.tell_heard(datetime.fromisoformat(heard))
        self._clock.set(datetime.fromisoformat(answer["now"]))
        self._until = max(self._until, now + answer["lease_seconds"])
        self._every = min(RENEW_SECONDS, answer["lease_seconds"] / 3)
        renewed, self._renewed = self._renewed, asyncio.Event()
        renewed.set()
