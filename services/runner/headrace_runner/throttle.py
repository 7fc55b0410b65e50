"""Whether a connection may be called now, as far as this runner knows, and what it tells the fleet of its calls.

A connection that is well and has no limits costs no request: successes are only counted here. Trouble is reported at
once; breakers that others opened are heard of with every renewal of the lease. Permits of a connection with limits
are taken in small batches, as many as there are calls waiting here, and are lost when they are not used soon.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from headrace.errors import HeadraceError, NotFound
from headrace.outbound.call import CallFailure
from headrace.workflow.document import ErrorClass

from headrace_runner.retry import class_of
from headrace_runner.run_pass import RunPass

_log = structlog.get_logger(__name__)

# So long a call waits here for its turn; for more its step waits, and the run may park.
MAX_WAIT_HERE = 2.0
# Permits are asked for so often at most while there are none, and last so long.
BATCH_SECONDS = 0.1
PERMITS_LAST = 1.0
MAX_WANTED = 100
# While the control plane does not answer, nothing limited is called.
ASK_AGAIN = 1.0
# Connections whose successes are counted; those that are well are forgotten above it.
MAX_KEPT = 5000

_TROUBLE = frozenset(
    {ErrorClass.TIMEOUT, ErrorClass.CONNECTION, ErrorClass.SERVER_ERROR, ErrorClass.RATE_LIMITED}
)


class Fleet(Protocol):
    """The control plane, as far as connections in common are concerned. Each raises `HeadraceError`."""

    async def permits(self, run: RunPass, connection_id: str, wanted: int) -> dict[str, Any]: ...

    async def report(
        self,
        run: RunPass,
        connection_id: str,
        *,
        ok: bool,
        probe: bool,
        successes: int,
        retry_after: float | None,
    ) -> dict[str, Any]: ...


@dataclass(slots=True)
class Ticket:
    """One step's calls through a connection. `probe`: its next call is the one that a half open breaker lets by."""

    run: RunPass
    connection_id: str
    limited: bool
    probe: bool = False


@dataclass(slots=True)
class _Known:
    """What is known here of one connection; times are of the monotonic clock. `open_until` None: it is well."""

    open_until: float | None = None
    permits: int = 0
    permits_until: float = 0.0
    empty_until: float = 0.0
    rate: float | None = None
    waiting: int = 0
    successes: int = 0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Throttle:
    """One per process."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._known: dict[str, _Known] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def admit(self, ticket: Ticket) -> float | None:
        """None when a call may be made now, else the seconds to wait first. Waits a little itself."""
        known = self._known.get(ticket.connection_id)
        if not ticket.limited and (known is None or known.open_until is None):
            return None
        known = self._of(ticket.connection_id)
        leave_at = time.monotonic() + MAX_WAIT_HERE
        known.waiting += 1
        try:
            while True:
                wait = await self._ask(ticket, known)
                if wait is None:
                    return None
                if time.monotonic() + wait > leave_at:
                    # Those who wait here come back one after another, not all at once.
                    return max(wait, known.waiting / known.rate) if known.rate else wait
                await asyncio.sleep(wait)
        finally:
            known.waiting -= 1

    def answered(self, ticket: Ticket, failure: CallFailure | None) -> None:
        """A call was made; `failure` None: it succeeded. Trouble is reported in the background."""
        known = self._of(ticket.connection_id)
        probe, ticket.probe = ticket.probe, False
        if failure is None or class_of(failure) not in _TROUBLE:
            known.successes += 1
            if probe:
                self._report(ticket, known, ok=True, probe=True, retry_after=None)
            return
        self._report(ticket, known, ok=False, probe=probe, retry_after=failure.retry_after)

    def heard(self, breakers: Sequence[dict[str, Any]]) -> None:
        """A renewal told which breakers are not closed: those, and no others."""
        now = time.monotonic()
        told = {str(one["connection_id"]): now + float(one["seconds"]) for one in breakers}
        for connection_id, known in self._known.items():
            known.open_until = told.pop(connection_id, None)
        for connection_id, until in told.items():
            self._of(connection_id).open_until = until
        if len(self._known) > MAX_KEPT:
            self._known = {i: k for i, k in self._known.items() if k.waiting or k.open_until is not None}

    async def settled(self) -> None:
        """Return when what was reported so far has arrived, or is given up."""
        await asyncio.gather(*self._sending)

    async def _ask(self, ticket: Ticket, known: _Known) -> float | None:
        async with known.asking:
            now = time.monotonic()
            if known.open_until is not None and now < known.open_until:
                return known.open_until - now
            if known.open_until is None and not ticket.limited:
                return None
            if known.open_until is None and known.permits > 0 and now < known.permits_until:
                known.permits -= 1
                return None
            if now < known.empty_until:
                return known.empty_until - now
            try:
                wanted = min(known.waiting, MAX_WANTED)
                answer = await self._fleet.permits(ticket.run, ticket.connection_id, wanted)
            except NotFound:
                return None  # the attempt will tell that the connection is gone
            except HeadraceError as error:
                _log.warning("no permits", code=error.code)
                return ASK_AGAIN
            return self._taken(ticket, known, answer)

    def _taken(self, ticket: Ticket, known: _Known, answer: dict[str, Any]) -> float | None:
        now = time.monotonic()
        known.rate = answer["rate"]
        if not answer["granted"]:
            wait = max(float(answer["wait"]), BATCH_SECONDS)
            if answer["blocked"]:
                known.open_until = now + wait
            else:
                known.empty_until = now + wait
            return wait
        ticket.probe = bool(answer["probe"])
        known.open_until = now + BATCH_SECONDS if ticket.probe else None
        known.permits, known.permits_until = int(answer["granted"]) - 1, now + PERMITS_LAST
        return None

    def _report(
        self, ticket: Ticket, known: _Known, *, ok: bool, probe: bool, retry_after: float | None
    ) -> None:
        successes, known.successes = known.successes, 0

        async def send() -> None:
            try:
                answer = await self._fleet.report(
                    ticket.run,
                    ticket.connection_id,
                    ok=ok,
                    probe=probe,
                    successes=successes,
                    retry_after=retry_after,
                )
            except HeadraceError as error:
                _log.warning("trouble not reported", code=error.code)
                return
            left = answer["open_seconds"]
            known.open_until = None if left is None else time.monotonic() + float(left)

        task = asyncio.create_task(send())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def _of(self, connection_id: str) -> _Known:
        return self._known.setdefault(connection_id, _Known())
