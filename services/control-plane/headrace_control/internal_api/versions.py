"""The published versions of claimed runs, read once and kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from cachetools import LRUCache
from headrace.postgres.pool import Pool, one_statement
from headrace.postgres.queries import load
from headrace.workflow.sensitive import is_marked

from headrace_control.policy.holding import declared_classes
from headrace_control.waits.model import SignalStep, signals_of

_sql = load("headrace_control.internal_api")

# Of those that are kept, as JSON, in bytes.
ROOM = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A published version: immutable, so it may be kept. `document` is JSON, as it is answered."""

    tenant_id: UUID
    digest: str
    document: bytes
    connections: tuple[UUID, ...]
    secrets: Mapping[str, str]  # env name -> name of the tenant's secret
    signals: tuple[SignalStep, ...]
    sensitive: bool  # a schema of it marks values
    declared: Mapping[str, str | None]  # the class that each action declares, by `app/action`
    compensated: frozenset[str]  # the steps that say which call undoes them


class PublishedVersions:
    """Those that were asked for last, as many as `ROOM` holds."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kept: LRUCache[UUID, PublishedVersion] = LRUCache(ROOM, getsizeof=_size)

    async def of(self, ids: set[UUID]) -> Mapping[UUID, PublishedVersion]:
        found = {i: kept for i in ids if (kept := self._kept.get(i)) is not None}
        missing = [i for i in ids if i not in found]
        if missing:
            async with one_statement(self._pool) as db:
                for row in await db.fetch(_sql.versions, missing):
                    version = found[row["id"]] = _version(row)
                    if _size(version) <= ROOM:
                        self._kept[row["id"]] = version
        return found


def _version(row: Any) -> PublishedVersion:
    resolved = row["resolved"]
    return PublishedVersion(
        row["tenant_id"],
        row["digest"],
        orjson.dumps(resolved),
        tuple(UUID(i) for i in resolved.get("connections", {}).values()),
        secret_names(resolved),
        tuple(signals_of(resolved.get("document", {}).get("steps", ()))),
        is_marked(resolved),
        declared_classes(resolved),
        frozenset(
            step["key"] for step in resolved.get("document", {}).get("steps", ()) if step.get("compensate")
        ),
    )


def _size(version: PublishedVersion) -> int:
    """In bytes, of which what is beside the document takes about a KiB."""
    return 1024 + len(version.document)


def secret_names(resolved: Mapping[str, Any]) -> dict[str, str]:
    """The env names of a version that stand for secrets: `{secret: name}`."""
    env = resolved.get("document", {}).get("env") or {}
    return {
        name: value["secret"]
        for name, value in env.items()
        if isinstance(value, dict) and set(value) == {"secret"}
    }
