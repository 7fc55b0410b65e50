"""Whose the queues of a namespace are: a row."""

from typing import Any
from uuid import UUID

from headrace.bus.names import Names
from headrace.bus.ownership import refuse
from headrace.bus.postgres.statements import SQL


class Ownership:
    """Asked on each new session, before anything else is done on it."""

    def __init__(self, names: Names) -> None:
        self._namespace = names.namespace
        self._deployment: UUID | None = None
        """None: whose the queues are is not asked."""

    async def check(self, db: Any) -> None:
        """Raises `ForeignQueues`."""
        if self._deployment is not None and await db.fetchval(
            SQL.owned_by_another, self._namespace, self._deployment
        ):
            refuse(self._namespace)

    async def take(self, db: Any, deployment: UUID, *, anyway: bool) -> None:
        """Mark the queues, if nobody has, or `anyway`. Raises `ForeignQueues`."""
        await db.execute(SQL.own_anyway if anyway else SQL.own, self._namespace, deployment)
        self._deployment = deployment
        await self.check(db)
