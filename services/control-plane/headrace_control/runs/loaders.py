"""What runs and steps refer to, loaded for a whole page at once."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from headrace_control.auth.caller import Caller
from headrace_control.graphql.batches import Pages, batch, batch_pages
from headrace_control.runs.model import Attempt, Payload, Run, RunEvent, StepPayload, StepRun, StepsOf
from headrace_control.runs.repository import StepId
from headrace_control.runs.service import RunService


class RunLoaders:
    """Of one caller."""

    def __init__(self, service: RunService, caller: Caller) -> None:
        self._service, self._caller = service, caller
        self.payload = batch(self._payloads)
        self.steps = batch(self._steps)
        self.step_payload = batch(self._step_payloads)
        self.attempts = batch(self._attempts)
        self.events: Pages[UUID, RunEvent] = batch_pages(
            lambda first, pages: service.events(caller, first, pages)
        )
        self.starter = batch(lambda ids: service.starters(caller, ids))
        self.run = batch(lambda ids: service.by_ids(caller, ids))
        self.children: Pages[UUID, Run] = batch_pages(
            lambda first, pages: service.children(caller, first, pages)
        )
        self.reruns: Pages[UUID, Run] = batch_pages(lambda first, pages: service.reruns(caller, first, pages))
        self.items: Pages[StepId, StepRun] = batch_pages(
            lambda first, pages: service.items(caller, first, pages)
        )

    async def _payloads(self, ids: Sequence[UUID]) -> Mapping[UUID, Payload]:
        return await self._service.payloads(self._caller, ids)

    async def _steps(self, runs: Sequence[StepsOf]) -> Mapping[StepsOf, Sequence[StepRun]]:
        return await self._service.steps(self._caller, runs)

    async def _step_payloads(self, ids: Sequence[StepId]) -> Mapping[StepId, StepPayload]:
        return await self._service.step_payloads(self._caller, ids)

    async def _attempts(self, ids: Sequence[StepId]) -> Mapping[StepId, Sequence[Attempt]]:
        return await self._service.attempts(self._caller, ids)
