"""Figures that are read anew every few seconds, and what becomes of them while they can not be read."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import asyncpg
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from headrace.errors import HeadraceError
from headrace.telemetry.metrics import Read

_log = structlog.get_logger(__name__)

# So old may figures be: what is older says nothing of now.
FIGURES_SECONDS = 30.0


class Figures:
    """Gauges of `what`, to be made in its `registry`, which `shown_in` shows.

    While what they tell of can not be read there are none: of several processes that tell of the same, the one that is
    cut off would else hide what the others see, as the largest figure is asked for.
    """

    def __init__(
        self, what: str, shown_in: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.registry = CollectorRegistry()
        self._what, self._clock = what, clock
        self._known, self._read_at, self._away = False, clock(), False
        shown_in.register(Read(self._shown))

    async def keep_reading(self, read: Callable[[], Coroutine[Any, Any, None]], every: float) -> None:
        """Have `read` set the gauges and say `are_read`, every so many seconds, until cancelled. What can not be read
        now is tried again, and logged once; so is what has no answer for as long as figures are shown."""
        while True:
            reading = asyncio.create_task(read())
            try:
                await asyncio.wait({reading}, timeout=FIGURES_SECONDS)
                if not reading.done():
                    self._can_not_be_read("no answer")
                await reading
            except (HeadraceError, asyncpg.PostgresError) as error:
                self._can_not_be_read(type(error).__name__)
            finally:
                reading.cancel()
            await asyncio.sleep(every)

    def are_read(self) -> None:
        """The gauges have been set to what was read now."""
        if self._away:
            _log.info("figures are read again", figures=self._what, age_seconds=round(self.age()))
        self._known, self._read_at, self._away = True, self._clock(), False

    def age(self) -> float:
        """For how many seconds they have not been read; before the first time, since they were made."""
        return self._clock() - self._read_at

    def _can_not_be_read(self, error: str) -> None:
        if not self._away:
            _log.warning("figures can not be read", figures=self._what, error=error)
        self._away = True

    def _shown(self) -> Iterable[Metric]:
        return self.registry.collect() if self._known and self.age() < FIGURES_SECONDS else ()
