"""What runs and steps refer to, loaded for a whole page at once."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from headrace_control.auth.caller import Caller
from headrace_control.graphql.batches import batch
from headrace_control.pages import PageOf
from headrace_control.runs.model import Attempt, Payload, RunEvent, StepPayload, StepRun, StepsOf
from headrace_control.runs.repository import StepId
from headrace_control.runs.service import RunService

EventPage = tuple[UUID, int, str | None]  # run, first, after


class RunLoaders:
    """Of one caller."""

    def __init__(self, service: RunService, caller: Caller) -> None:
        self._service, self._caller = service, caller
        self.payload = batch(self._payloads)
        self.steps = batch(self._steps)
        self.step_payload = batch(self._step_payloads)
        self.attempts = batch(self._attempts)
        self.events = batch(self._events)

    async def _payloads(self, ids: Sequence[UUID]) -> Mapping[UUID, Payload]:
        return await self._service.payloads(self._caller, ids)

    async def _steps(self, runs: Sequence[StepsOf]) -> Mapping[StepsOf, Sequence[StepRun]]:
        return await self._service.steps(self._caller, runs)

    async def _step_payloads(self, ids: Sequence[StepId]) -> Mapping[StepId, StepPayload]:
        return await self._service.step_payloads(self._caller, ids)

    async def _attempts(self, ids: Sequence[StepId]) -> Mapping[StepId, Sequence[Attempt]]:
        return await self._service.attempts(self._caller, ids)

    async def _events(self, pages: Sequence[EventPage]) -> Mapping[EventPage, PageOf[RunEvent]]:
        found: dict[EventPage, PageOf[RunEvent]] = {}
        for first in {page[1] for page in pages}:
            alike = [page for page in pages if page[1] == first]
            answers = await self._service.events(
                self._caller, first, [(run, after) for run, _, after in alike]
            )
            found.update(zip(alike, answers, strict=True))
        return found
