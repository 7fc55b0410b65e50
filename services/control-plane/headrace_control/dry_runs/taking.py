"""What runners get of dry runs: everything that a walk looks at, and no secret.

A walk does nothing to anybody, so none of the run protocol guards it: one that was taken and is not told of in time is
given to another.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.errors import Conflict, HeadraceError, LimitExceeded, NotFound
from headrace.pools import DEFAULT_POOL, stored
from headrace.postgres.pool import Db, Pool, tenant_transaction, transaction
from headrace.postgres.queries import load
from headrace.sealed_outputs import OutputUnreadable
from headrace.workflow.uses import app_of

from headrace_control.internal_api.dry_run_reports import DryRunReport
from headrace_control.internal_api.run_tokens import hash_run_token, mint_run_token
from headrace_control.internal_api.versions import secret_names
from headrace_control.policy.holding import declared_classes, held_as
from headrace_control.policy.repository import rules_of
from headrace_control.quotas.repository import for_runners
from headrace_control.reruns.inputs import is_sealed, opened
from headrace_control.secrets.repository import bounds_of
from headrace_control.vault.envelope import KeysShredded, SecretUnreadable
from headrace_control.vault.output_keys import OutputKeys

_sql = load("headrace_control.dry_runs")

# How long a runner has for one, and how many may try.
TAKEN_FOR = timedelta(seconds=60)
MOST_TAKES = 3
MAX_VERSIONS = 50
MAX_ROWS = 10_000
MAX_CHILDREN = 200
MAX_RECORDED_BYTES = 8 * 1024 * 1024


class DryRunHandover:
    """`worker` is a pool of the role headrace_worker, `api` of headrace_api: a tenant's own is read as the tenant."""

    def __init__(self, worker: Pool, api: Pool, keys: OutputKeys) -> None:
        self._worker, self._api, self._keys = worker, api, keys

    async def take(self, pool: str = DEFAULT_POOL) -> dict[str, Any] | None:
        """The next dry run of a runner pool, for who asks alone until its time is over; None when there is none."""
        while True:
            token = mint_run_token()
            async with transaction(self._worker) as db:
                await db.execute(_sql.lapse, MOST_TAKES)
                row = await db.fetchrow(_sql.take, token.hash, TAKEN_FOR, stored(pool))
                quotas = await for_runners(db, {row["tenant_id"]}) if row else {}
            if row is None:
                return None
            try:
                job = await self._job(row)
            except (HeadraceError, OutputUnreadable) as error:
                code = error.code if isinstance(error, HeadraceError) else "OUTPUT_UNREADABLE"
                words = (
                    error.message if isinstance(error, HeadraceError) else "what was recorded can not be read"
                )
                await self._end(row["id"], token.hash, "FAILED", None, {"code": code, "message": words})
                continue
            most = quotas.get(row["tenant_id"], {}).get("loop_items")
            return {**job, "token": token.text, "loop_items": most}

    async def report(self, dry_run_id: UUID, token: str, report: DryRunReport) -> None:
        """Raises `NotFound` when it is another runner's by now, or over."""
        failure = report.failure.model_dump() if report.failure else None
        status, kept = ("FAILED", None) if failure else ("DONE", report.as_json())
        if not await self._end(dry_run_id, hash_run_token(token), status, kept, failure):
            raise NotFound("dry run")

    async def _end(self, dry_run_id: UUID, token: bytes, status: str, report: Any, failure: Any) -> bool:
        async with transaction(self._worker) as db:
            return await db.fetchval(_sql.end, dry_run_id, token, status, report, failure) is not None

    async def _job(self, row: Any) -> dict[str, Any]:
        tenant_id = row["tenant_id"]
        async with tenant_transaction(self._api, tenant_id) as db:
            try:
                keys = await self._keys.within(db, tenant_id, [row["id"]])
            except (KeysShredded, SecretUnreadable):
                raise Conflict("the keys of the tenant's data are gone") from None
            given: Any = opened(tenant_id, row["id"], keys[row["id"]], row["given"])
            recorded, base, run = None, None, None
            sources: set[UUID] = set()
            if row["run_id"] is not None:
                run = await db.fetchrow(_sql.recorded_run, tenant_id, row["run_id"])
                if run is None:
                    raise NotFound("run")
                recorded = await _Recording(db, tenant_id, sources).of(run["id"], run["version_id"])
                base = {"version_id": str(run["version_id"]), "input": run["input"]}
            wanted = {row["version_id"], *_versions_of(recorded)}
            versions = await _versions(db, tenant_id, wanted, row)
            apps = {app_of(ref) for one in versions.values() for ref in declared_classes(one)}
            rules = await rules_of(db, tenant_id, apps)
            connections = {UUID(i) for one in versions.values() for i in one.get("connections", {}).values()}
            urls = await db.fetch(_sql.base_urls, tenant_id, sorted(connections))
            named = {name for one in versions.values() for name in secret_names(one).values()}
            secret_apps = await bounds_of(db, tenant_id, sorted(named)) if named else {}
            there = {row["name"] for row in await db.fetch(_sql.secrets_there, tenant_id, sorted(named))}
            gone = [*sorted(named - there), *map(str, sorted(connections - {one["id"] for one in urls}))]
            sealed = run is not None and (is_sealed(run["input"]) or _is_sealed(recorded))
            sealed = sealed and row["opens"]
            of_runs = await self._keys.within(db, tenant_id, sorted(sources)) if sealed else {}
        return {
            "id": row["id"],
            "tenant_id": tenant_id,
            "run_id": row["run_id"] or row["id"],
            "started_at": (run and run["started_at"]) or row["created_at"],
            "candidate": {"version_id": str(row["version_id"]), "input": given["input"]},
            "base": base,
            "versions": versions,
            "responses": given["responses"],
            "recorded": recorded,
            "output_keys": {str(i): key.hex() for i, key in of_runs.items()},
            "base_urls": {str(one["id"]): one["base_url"] for one in urls},
            "secret_apps": secret_apps,
            "gone": gone,
            "policy": {
                i: {ref: held_as(rules, ref, said) for ref, said in declared_classes(one).items()}
                for i, one in versions.items()
            },
        }


async def _versions(db: Db, tenant_id: UUID, wanted: Collection[UUID], row: Any) -> dict[str, dict[str, Any]]:
    """The resolved documents by their ids, with those of all sub-workflows."""
    found: dict[str, dict[str, Any]] = {}
    missing = {str(one) for one in wanted}
    if row["resolved"] is not None:
        found[str(row["version_id"])] = row["resolved"]
    while True:
        pinned = {c["versionId"] for one in found.values() for c in one.get("children", {}).values()}
        missing = (missing | pinned) - found.keys()
        if not missing:
            return found
        if len(found) + len(missing) > MAX_VERSIONS:
            raise LimitExceeded(f"more than {MAX_VERSIONS} versions would be walked")
        read = await db.fetch(_sql.versions, tenant_id, [UUID(one) for one in sorted(missing)])
        if len(read) < len(missing):
            raise NotFound("workflow version")
        found |= {str(one["id"]): one["resolved"] for one in read}


class _Recording:
    """Reads a run that was recorded, and its children. `sources` is told of the runs whose keys outputs are sealed
    by."""

    def __init__(self, db: Db, tenant_id: UUID, sources: set[UUID]) -> None:
        self._db, self._tenant_id, self._sources = db, tenant_id, sources
        self._rows = self._bytes = self._runs = 0

    async def of(self, run_id: UUID, version_id: UUID) -> dict[str, Any]:
        self._runs += 1
        self._bytes += await self._db.fetchval(_sql.size, self._tenant_id, run_id)
        if self._runs > MAX_CHILDREN or self._bytes > MAX_RECORDED_BYTES:
            raise LimitExceeded(f"the run has more than {MAX_CHILDREN} children, or too large outputs")
        read = await self._db.fetch(_sql.rows, self._tenant_id, run_id, MAX_ROWS + 1)
        self._rows += len(read)
        if self._rows > MAX_ROWS:
            raise LimitExceeded(f"the run has more than {MAX_ROWS} rows")
        rows: dict[str, Any] = {}
        done_by: dict[str, UUID] = {}
        for row in read:
            source = done_by[row["key"]] = row["taken_from"] or run_id
            rows[row["key"]] = {
                "status": row["status"],
                "output": row["output"],
                "error": row["error"],
                "run_id": source,
            }
        parents = {run_id, *done_by.values()}
        self._sources |= parents
        children: dict[str, Any] = {}
        found = await self._db.fetch(_sql.children, self._tenant_id, sorted(parents), MAX_CHILDREN + 1)
        newest = {
            child["parent_step"]: child
            for child in found
            if child["parent_run_id"] == done_by.get(child["parent_step"], run_id)
        }
        for step, child in newest.items():
            children[step] = await self.of(child["id"], child["version_id"])
        return {"version_id": str(version_id), "rows": rows, "children": children}


def _versions_of(recorded: Mapping[str, Any] | None) -> set[UUID]:
    if recorded is None:
        return set()
    return {
        UUID(recorded["version_id"]),
        *(one for child in recorded["children"].values() for one in _versions_of(child)),
    }


def _is_sealed(recorded: Mapping[str, Any] | None) -> bool:
    if recorded is None:
        return False
    own = any(is_sealed(row["output"]) for row in recorded["rows"].values())
    return own or any(_is_sealed(child) for child in recorded["children"].values())
