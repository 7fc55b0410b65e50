"""Messages that were refused: counted in memory, and kept among the webhook's deliveries every ten seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from headrace.errors import HeadraceError
from headrace.json_types import JsonObject
from headrace.postgres.pool import Pool, tenant_transaction
from headrace.refusals.tally import Tally

from headrace_control.webhooks import repository
from headrace_control.webhooks.addresses import Address

_MAX_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A message to a webhook that is there. `message` quotes nothing of it."""

    address: Address
    code: str
    message: str

    @classmethod
    def of(cls, address: Address, error: HeadraceError) -> "RefusedMessage":
        return cls(address, error.code, error.message[:_MAX_MESSAGE])


_MANY = RefusedMessage(Address(UUID(int=0), UUID(int=0)), "MANY", "")


class RefusedMessages(Tally[RefusedMessage]):
    """Over a pool of the role headrace_api. Whoever knows an address may send what is refused, so a period keeps a
    hundred different ones at most, whatever came; of more nothing is kept."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(self._keep, lambda _: _MANY)
        self._pool = pool

    async def _keep(self, noted: Mapping[RefusedMessage, int]) -> None:
        for one, times in noted.items():
            if one is _MANY:
                continue
            async with tenant_transaction(self._pool, one.address.tenant_id) as db:
                error: JsonObject = {"code": one.code, "message": one.message}
                await repository.keep_refused(db, one.address.tenant_id, one.address.webhook_id, error, times)
