"""What rows of past states refer to, loaded for a whole page at once."""

from collections.abc import Mapping, Sequence

from headrace_control.auth.caller import Caller
from headrace_control.graphql.batches import batch
from headrace_control.revisions.model import EventPayload
from headrace_control.revisions.repository import EventId
from headrace_control.revisions.service import RevisionService


class RevisionLoaders:
    """Of one caller."""

    def __init__(self, service: RevisionService, caller: Caller) -> None:
        self._service, self._caller = service, caller
        self.payload = batch(self._payloads)

    async def _payloads(self, ids: Sequence[EventId]) -> Mapping[EventId, EventPayload]:
        return await self._service.payloads(self._caller, ids)
