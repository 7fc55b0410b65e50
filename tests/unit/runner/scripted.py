"""Runs of handlers that do as they are told, and what a run has told."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from headrace.workflow.document import Document, Edge, RetryPolicy, Step
from headrace.workflow.state import Failure
from headrace_runner.steps.protocol import Failed, Outcome, Prepared, StepContext

from tests.unit.runner.engines import Advanced, Told, advanced, step_services

OOPS = Failure("OOPS", "it failed")


class Scripted:
    """A handler whose attempts are given beforehand, each a function of nothing."""

    def __init__(
        self, *attempts: Callable[[], Awaitable[Outcome]], unsafe: bool = False, side_effect: bool = False
    ) -> None:
        self._attempts = list(attempts)
        self._unsafe, self._side_effect = unsafe, side_effect
        self.made = 0

    def script(self, attempt: Callable[[], Awaitable[Outcome]]) -> None:
        """One attempt more."""
        self._attempts.append(attempt)

    def prepare(self, context: StepContext) -> Prepared | Failure:
        return Prepared(
            None, side_effect=self._side_effect, unsafe=self._unsafe, retry=RetryPolicy(), work=None
        )

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        self.made += 1
        return await self._attempts[self.made - 1]()


def giving(outcome: Outcome) -> Callable[[], Awaitable[Outcome]]:
    async def attempt() -> Outcome:
        return outcome

    return attempt


def again_after(seconds: float) -> Outcome:
    return Failed(OOPS, next_delay=lambda _: seconds)


@asynccontextmanager
async def run_of(*steps: Step, edges: tuple[Edge, ...] = (), **handlers: Scripted) -> AsyncIterator[Advanced]:
    document = Document("w", steps, edges, timeout_ms=None)
    async with step_services() as services, advanced(services, handlers, document, {}) as run:
        yield run


def told(events: list[Told]) -> list[str]:
    return [f"{kind} {step}" if step else kind for kind, step, _ in events]
