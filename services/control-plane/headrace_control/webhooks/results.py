"""Waiting for a run's end on behalf of whoever sent its message."""

import time
from collections import Counter
from uuid import UUID

from headrace.postgres.pool import Pool, tenant_transaction
from orjson import Fragment

from headrace_control.answer_size import MAX_OF_ONE
from headrace_control.answer_text import passed_on
from headrace_control.runs import repository
from headrace_control.runs.changes import RunChanges
from headrace_control.runs.model import Run

# Who waits keeps a connection open: so many do at once, and so many for one tenant's runs. Others have the id alone.
MAX_WAITING = 1_000
MAX_OF_ONE_TENANT = MAX_WAITING // 4
# A watcher that no notification woke looks by itself.
_REREAD_SECONDS = 5.0


class Results:
    """Of this process, over a pool of the role headrace_api: woken by the runs' notifications."""

    def __init__(self, pool: Pool, changes: RunChanges) -> None:
        self._pool, self._changes = pool, changes
        self._waiting: Counter[UUID] = Counter()

    async def ended(
        self, tenant_id: UUID, run_id: UUID, seconds: float
    ) -> tuple[Run, Fragment | None] | None:
        """The run and its result, once it has ended; None when it has not within `seconds`."""
        if self._waiting[tenant_id] >= MAX_OF_ONE_TENANT or self._waiting.total() >= MAX_WAITING:
            return None
        self._waiting[tenant_id] += 1
        try:
            return await self._wait(tenant_id, run_id, time.monotonic() + seconds)
        finally:
            self._waiting[tenant_id] -= 1
            if not self._waiting[tenant_id]:
                del self._waiting[tenant_id]

    async def _wait(self, tenant_id: UUID, run_id: UUID, until: float) -> tuple[Run, Fragment | None] | None:
        with self._changes.watch(run_id) as watch:
            while True:
                async with tenant_transaction(self._pool, tenant_id) as db:
                    run = (await repository.runs_by_id(db, tenant_id, [run_id])).get(run_id)
                    if run is not None and run.ended:
                        own = await repository.payloads(db, tenant_id, [run_id], MAX_OF_ONE)
                        payload = own.found.get(run_id)
                        return run, passed_on(payload.result) if payload else None
                left = until - time.monotonic()
                if run is None or left <= 0:
                    return None
                await watch.changed(min(left, _REREAD_SECONDS))
