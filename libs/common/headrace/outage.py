"""What a loop tells of trouble that it waits out: when it begins, each minute while it lasts, and when it is over."""

import time
from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)

EVERY_SECONDS = 60.0


class Outage:
    """`waits` and `goes_on` are the events of the log, `more` the fields of its lines. Trouble that comes and goes all
    the time is told once a minute, too."""

    def __init__(
        self, waits: str, goes_on: str, clock: Callable[[], float] = time.monotonic, **more: object
    ) -> None:
        self._waits, self._goes_on, self._clock, self._more = waits, goes_on, clock, more
        self._since: float | None = None
        self._told = False
        self._next: float | None = None

    def tried(self, **why: object) -> None:
        """In vain."""
        now = self._clock()
        if self._since is None:
            self._since = now
        if self._next is None or now >= self._next:
            self._next, self._told = now + EVERY_SECONDS, True
            _log.warning(self._waits, **self._more, **why)

    def over(self) -> None:
        """What was tried is done."""
        if self._since is not None and self._told:
            _log.info(self._goes_on, **self._more, waited_seconds=round(self._clock() - self._since, 1))
        self._since, self._told = None, False
