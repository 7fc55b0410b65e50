"""What the engine has around it in a dry run: none of it reaches a network, a bus or the control plane."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.errors import NotFound
from headrace.json_types import JsonObject
from headrace.messages import Event, LogLevel, LogRecord
from headrace.workflow.state import Failure, RunState

from headrace_runner.clock import Clock
from headrace_runner.gate import Passed, Verdict
from headrace_runner.lease import HeldRun
from headrace_runner.policy import UNKNOWN
from headrace_runner.run_pass import RunPass
from headrace_runner.steps.protocol import Prepared, StepContext


class VirtualClock(Clock):
    """Stands still until the walk moves it: a wait of a week is over at once."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self._stands_at = at

    def set(self, now: datetime) -> None:
        self._stands_at = now

    def now(self) -> datetime:
        return self._stands_at


class Unwritten:
    """Takes events and log records, which nobody reads; what a step's log warns of, beside
    attempts that failed, is told to `warned`."""

    def __init__(self, warned: Callable[[str, str], None]) -> None:
        self._warned = warned

    def add(self, event: Event) -> asyncio.Event:
        done = asyncio.Event()
        done.set()
        return done

    def hurry(self) -> None:
        pass  # nothing is on its way

    @property
    def behind(self) -> bool:
        return False

    def log(self, record: LogRecord) -> None:
        if record.level is LogLevel.WARN and record.step is not None and record.attempt is None:
            self._warned(record.step, record.message)


class Always:
    """Nothing is called in a dry run, so nothing has to be held for it."""

    async def may_call(self, held: HeldRun) -> bool:
        return True


class NoTokens:
    """Credentials that were not given can not be asked for either."""

    async def token(self, run: RunPass, connection_id: str, seen_version: int) -> dict[str, Any]:
        raise NotFound("connection")


class ShownGate:
    """Says what the policy would ask, and lets by what a person may allow. `told` is given the row and whom it asks;
    `refused` says of a row whether its call was declared not to be approved."""

    def __init__(self, told: Callable[[str, JsonObject], None], refused: Callable[[str], bool]) -> None:
        self._told, self._refused = told, refused

    async def verdict(self, context: StepContext, prepared: Prepared, state: RunState) -> Verdict:
        ref, key = context.step.action or "", str(context.key)
        held = context.run.policy.get(ref, UNKNOWN)
        if held.approval_class == "C":
            return Failure("POLICY_FORBIDDEN", f"the policy forbids {ref}")
        if held.approval_class == "B" and context.key.part is None:
            self._told(key, {"action": ref, "roles": list(held.roles), "twoPerson": held.two_person})
            if self._refused(key):
                return Failure("REJECTED", "the call was not approved")
        return Passed()


def placeholder(what: str, name: str) -> str:
    """What stands where a real run has a secret: to be seen, and of use to nobody."""
    return f"<{what}:{name}>"


def nothing_given(base_urls: Mapping[str, str | None]) -> dict[str, dict[str, Any]]:
    """Connections as a claim hands them out, without any credential."""
    return {one: {"base_url": url, "error": "a dry run has no credentials"} for one, url in base_urls.items()}


def no_pass(run_id: UUID) -> RunPass:
    """It entitles to nothing: no claim was made."""
    return RunPass(run_id, 0, "")
