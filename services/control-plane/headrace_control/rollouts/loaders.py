"""What rollouts refer to, loaded for a whole page at once."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from headrace_control.auth.caller import Caller
from headrace_control.graphql.batches import batch
from headrace_control.rollouts.model import RolloutChange
from headrace_control.rollouts.service import RolloutService


class RolloutLoaders:
    """Of one caller."""

    def __init__(self, service: RolloutService, caller: Caller) -> None:
        self._service, self._caller = service, caller
        self.changes = batch(self._changes)

    async def _changes(self, ids: Sequence[UUID]) -> Mapping[UUID, Sequence[RolloutChange]]:
        return await self._service.changes(self._caller, ids)
