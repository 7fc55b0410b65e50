"""Which versions that can run would send a secret where it may not go: their runs fail there."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from headrace.errors import HeadraceError, InvalidInput
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.secret_bounds import Bounds, kept_names, why_kept
from headrace.workflow.definition import Version
from headrace.workflow.expressions import inspect
from headrace.workflow.uses import calls_written
from headrace.workflow.version import load_version

from headrace_control.secrets import repository
from headrace_control.workflows.gates import Notice

_log = structlog.get_logger(__name__)

NOT_FOR_APP, MORE, NOT_READ = "SECRET_NOT_FOR_APP", "MORE_VERSIONS", "VERSIONS_NOT_READ"

# Versions that are told by name, and those that are read to find them: each is parsed.
MOST_NAMED = 20
MOST_READ = 500
# The admin waits for it, who has been obeyed already.
MOST_SECONDS = 5.0

_UNKNOWN = "which published versions would send it elsewhere is not known: {}"


class _Found:
    """What was found so far; `unread` says why there may be more."""

    def __init__(self) -> None:
        self.named: list[Notice] = []
        self.more = 0
        self.unread: str | None = None

    def add(self, workflow: str, number: int, places: Mapping[str, str]) -> None:
        if len(self.named) == MOST_NAMED:
            self.more += 1
            return
        place, why = next(iter(places.items()))
        others = f" (and {len(places) - 1} more of its calls)" if len(places) > 1 else ""
        self.named.append(Notice(f"{workflow} {number}: {place}", f"{why}{others}", NOT_FOR_APP))

    def notices(self) -> list[Notice]:
        found = [*self.named]
        if self.more:
            found.append(Notice("", f"{self.more} more versions would send it elsewhere", MORE))
        if self.unread:
            words = (
                f"more versions may be concerned: {self.unread}" if found else _UNKNOWN.format(self.unread)
            )
            found.append(Notice("", words, NOT_READ))
        return found


def not_told() -> list[Notice]:
    """For a caller who may set secrets, and see no workflow."""
    return [Notice("", _UNKNOWN.format("the permission READ is needed to be told"), NOT_READ)]


async def refusals(pool: Pool, tenant_id: UUID, *, secret: str | None = None, app: str = "") -> list[Notice]:
    """One for each version whose runs fail, as things are, because they would send the secret of this name, or one
    that is for this `app`, where it may not go; how many more there are, and why nobody knows, if so. Versions count
    that start runs, are run by those that do, or have runs under way. Fails never: what was asked for is done."""
    found = _Found()
    try:
        async with asyncio.timeout(MOST_SECONDS), tenant_transaction(pool, tenant_id) as db:
            names = [secret] if secret else await repository.secrets_for(db, tenant_id, app, MOST_NAMED)
            for name in names:
                await _look(db, tenant_id, name, found)
    except TimeoutError:
        found.unread = f"to read them takes longer than {MOST_SECONDS:.0f} s"
    except (HeadraceError, asyncpg.PostgresError) as error:
        _log.warning("versions are not read", tenant_id=str(tenant_id), reason=type(error).__name__)
        found.unread = "they could not be read"
    return found.notices()


async def _look(db: Db, tenant_id: UUID, name: str, found: _Found) -> None:
    places = (await repository.bounds_of(db, tenant_id, [name])).get(name)
    if places is None:
        return
    read = 0
    async for row in repository.runnable_versions(db, tenant_id, name, places):
        read += 1
        if read > MOST_READ:
            found.unread = f"no more than {MOST_READ} are read"
            return
        try:
            # Of a large document the expressions take their time.
            refused = await asyncio.to_thread(_refused, row, name, places)
        except InvalidInput:
            found.unread = "some can not be read"
            continue
        if refused:
            found.add(row["workflow"], row["number"], refused)


def _refused(row: Any, name: str, places: Mapping[str, str]) -> dict[str, str]:
    """The calls of a version that would be refused the secret, each with why."""
    version: Version = load_version(row["resolved"])
    document = version.document
    bounds: Bounds = {env: places for env, secret in document.secrets.items() if secret == name}
    refused: dict[str, str] = {}
    for call in calls_written(document):
        pinned = version.actions.get(call.action)
        if pinned is None:
            continue
        connection_id = version.connections.get(call.connection) if call.connection else None
        kept = kept_names(bounds, pinned, row["own_urls"].get(connection_id))
        if kept and (named := kept & inspect(call.values)[0].env):
            refused[call.place] = why_kept(min(named), bounds, pinned.definition.app)
    return refused
