"""Messages that were refused: counted in memory, and kept among the webhook's deliveries every ten seconds."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

import asyncpg
from headrace.errors import ConcurrencyLimit, HeadraceError, InvalidInput, Problem
from headrace.json_types import JsonObject
from headrace.postgres.pool import Pool, tenant_transaction
from headrace.refusals.tally import Tally

from headrace_control.webhooks import repository
from headrace_control.webhooks.addresses import Address
from headrace_control.webhooks.model import Replayed

_MAX_MESSAGE = 300
_INDEX = re.compile(r"\[\d+\]")
# Different ones of a period: of a webhook, of a tenant, of all.
MOST_OF_WEBHOOK = 10
MOST_OF_TENANT = 100
MOST = 10_000


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A message to a webhook that is there. `message` quotes nothing of it, and is the same for many messages."""

    address: Address
    code: str
    message: str

    @classmethod
    def of(cls, address: Address, error: HeadraceError) -> "RefusedMessage":
        return cls(address, error.code, _words(error)[:_MAX_MESSAGE])


_MANY = RefusedMessage(Address(UUID(int=0), UUID(int=0)), "MANY", "")


class RefusedMessages(Tally[RefusedMessage]):
    """Over a pool of the role headrace_api. Whoever knows an address may send what is refused, so a period keeps few
    different ones of a webhook, and of a tenant, whatever came; of more nothing is kept."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(self._keep, lambda _: _MANY, MOST)
        self._pool = pool
        self._different: Counter[UUID] = Counter()  # those noted, by webhook and by tenant

    def note(self, one: RefusedMessage, times: int = 1) -> None:
        if one not in self._noted:
            webhook, tenant = one.address.webhook_id, one.address.tenant_id
            if self._different[webhook] >= MOST_OF_WEBHOOK or self._different[tenant] >= MOST_OF_TENANT:
                return
            self._different.update((webhook, tenant))
        super().note(one, times)

    async def write(self) -> None:
        self._different = Counter()
        try:
            await super().write()
        finally:
            self._different = _different(self._noted)

    async def _keep(self, noted: dict[RefusedMessage, int]) -> None:
        """A transaction for each tenant: one that fails is in no other's way, and what is written is not kept again."""
        failed: Exception | None = None
        noted.pop(_MANY, None)
        for tenant_id in {one.address.tenant_id for one in noted}:
            ones = [one for one in noted if one.address.tenant_id == tenant_id]
            try:
                async with tenant_transaction(self._pool, tenant_id) as db:
                    for one in ones:
                        error: JsonObject = {"code": one.code, "message": one.message}
                        await repository.keep_refused(
                            db, tenant_id, one.address.webhook_id, error, noted[one]
                        )
            except (HeadraceError, asyncpg.PostgresError) as trouble:
                failed = trouble
                continue
            for one in ones:
                del noted[one]
        if failed is not None:
            raise failed


def _different(noted: Iterable[RefusedMessage]) -> Counter[UUID]:
    return Counter(which for one in noted for which in (one.address.webhook_id, one.address.tenant_id))


def _words(error: HeadraceError) -> str:
    """What the sender is told, but for what differs with each message: which items of lists, and which runs."""
    if isinstance(error, InvalidInput):
        return "; ".join(dict.fromkeys(map(_problem_words, error.problems)))
    if isinstance(error, ConcurrencyLimit):
        return error.message.partition(":")[0]
    if isinstance(error, Replayed):
        return error.message.partition(";")[0]
    return error.message


def _problem_words(problem: Problem) -> str:
    # In the place of what does not fit a schema names are the schema's own; in that of what is no JSON, the body's.
    place = "" if problem.code == "NOT_JSON" else _INDEX.sub("[]", problem.path)
    return f"{place}: {problem.message}" if place else problem.message
