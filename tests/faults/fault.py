"""A fault at a named place of a service's code, and what a fleet's environment says about it."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.faults.injected import injection
from tests.faults.injected.without import RULES

FOLDER = Path(injection.__file__).parent


class Name(StrEnum):
    CONTROL_PLANE = "control plane"
    RUNNER = "runner"
    REPORTER = "reporter"


class When(StrEnum):
    BEFORE = "before"
    AFTER = "after"


class What(StrEnum):
    KILL = "kill"  # SIGKILL to itself
    STOP = "stop"  # SIGSTOP to itself
    DELAY = "delay"
    RAISE = "raise"


@dataclass(frozen=True)
class Fault:
    """`service` fails `when` `place` (`module:Class.method`) is called for the `nth` time; 0: every time.

    Only calls count whose arguments, as text, hold every part of `given`, that are made from within the place
    `within`, and after a call of the place `since`. `seconds` is a delay's, `error` the place of the exception that
    is raised. Making one raises `LookupError` when a place does not exist.
    """

    service: Name
    place: str
    when: When
    nth: int = 1
    what: What = What.KILL
    given: tuple[str, ...] = ()
    within: str = ""
    since: str = ""
    seconds: float = 0.0
    error: str = ""

    def __str__(self) -> str:
        where = self.place.rpartition(":")[2]
        return " ".join(map(str, (self.service, self.what, self.when, where, self.nth, *self.given)))

    def __post_init__(self) -> None:
        for place in filter(None, (self.place, self.within, self.since, self.error)):
            injection.find(place)


@dataclass(frozen=True)
class Armed:
    """A fault that processes were started with. Nothing happens before `arm`, and what happens happens once."""

    fault: Fault
    marker: Path

    @property
    def _armed(self) -> Path:
        return self.marker.with_suffix(".armed")

    def arm(self) -> None:
        """From now on calls of the place count."""
        self._armed.touch()

    def disarm(self) -> None:
        self._armed.unlink(missing_ok=True)

    def spec(self) -> dict[str, Any]:
        """As `injection.Spec` takes it."""
        return {
            **{f.name: getattr(self.fault, f.name) for f in fields(Fault) if f.name != "service"},
            "marker": str(self.marker),
            "armed": str(self._armed),
        }

    async def happened(self, seconds: float = 45) -> None:
        """Wait until the place was reached."""
        try:
            async with asyncio.timeout(seconds):
                while not self.marker.exists():
                    await asyncio.sleep(0.02)  # a process that dies or freezes tells it by a file alone
        except TimeoutError:
            raise AssertionError(f"it never happened: {self.fault}") from None


def carrying(faults: Iterable[Armed]) -> dict[str, str]:
    """The settings of a process that has these faults."""
    return {injection.FAULTS: json.dumps([armed.spec() for armed in faults])}


def injected(constants: Mapping[str, float], without: str | None = None) -> dict[str, str]:
    """The settings of a fleet whose services can be given faults; places that do not exist raise `LookupError`.

    `without`: a rule of the protocol that its code does not keep, one of those in `without.RULES`.
    """
    replacements = RULES[without] if without else {}
    for place in (*constants, *replacements):
        injection.find(place)
    return {
        "PYTHONPATH": str(FOLDER),
        injection.CONSTANTS: json.dumps(constants),
        injection.REPLACEMENTS: json.dumps(replacements),
    }
