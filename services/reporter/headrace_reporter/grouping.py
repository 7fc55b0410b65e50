"""Several partitions' events in one transaction: what comes while one is under way goes with the next."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from headrace.errors import DatabaseUnavailable
from headrace.gathering import pause_after
from headrace.messages import Event

from headrace_reporter.salvage import Broken

# Events of one transaction at most, unless one partition hands over more by itself.
MOST_EVENTS = 2_000
# At most; no runner waits for what is written here.
GATHER_SECONDS = 0.05


# A partition's batch, and what its consumer waits for.
Waiting: TypeAlias = "tuple[Sequence[Event], asyncio.Future[None]]"


class Applies(Protocol):
    async def apply(self, events: Sequence[Event]) -> None: ...

    async def set_aside(self, broken: Sequence[Broken]) -> Sequence[Any]: ...


class GroupedApplier:
    """An applier in front of an applier. Each partition waits for its own batch before it hands over the next, so that
    the order within a partition is kept (rule fence_in_partition_order); between partitions there is none."""

    def __init__(self, applier: Applies) -> None:
        self._applier = applier
        self._waiting: list[Waiting] = []
        self._arrived = asyncio.Event()

    async def apply(self, events: Sequence[Event]) -> None:
        """Return when the events are applied. Raises as the applier does: for all of a group, if none was written."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, done))
        self._arrived.set()
        await done

    async def set_aside(self, broken: Sequence[Broken]) -> Sequence[Any]:
        """As the applier does, at once: no other partition has events of these runs."""
        return await self._applier.set_aside(broken)

    async def run(self) -> None:
        """Apply until cancelled; what is under way then is handed over again, elsewhere."""
        try:
            while True:
                await self._arrived.wait()
                group = self._next()
                await self._apply(group)
                runs = len({event.run_id for events, _ in group for event in events})
                await asyncio.sleep(pause_after(runs, GATHER_SECONDS))
        finally:
            for _, done in self._waiting:
                settle(done, DatabaseUnavailable("the reporter is leaving"))

    def _next(self) -> list[Waiting]:
        """The first of those that wait, and as many behind it as there is room for."""
        taken, size = 1, len(self._waiting[0][0])
        for events, _ in self._waiting[1:]:
            size += len(events)
            if size > MOST_EVENTS:
                break
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        if not self._waiting:
            self._arrived.clear()
        return group

    async def _apply(self, group: Sequence[Waiting]) -> None:
        error: BaseException | None = None
        try:
            await self._applier.apply([event for events, _ in group for event in events])
        except Exception as wrong:
            error = wrong
        except BaseException:
            error = DatabaseUnavailable("the reporter is leaving")
            raise
        finally:
            for _, done in group:
                settle(done, error)


def settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    """Tell who waits what came of it."""
    if done.done():  # it is settled, or its consumer was given up meanwhile
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
