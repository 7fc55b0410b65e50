"""What a claim entitles to: version, input, checkpoint, and the credentials of this one run.

Credentials are read as the run's tenant, through its row-level security, for the connections and secrets
that the version names and no others.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from headrace.postgres.pool import Pool, one_statement
from headrace.postgres.queries import load
from headrace.workflow.uses import app_of

from headrace_control.answer_text import passed_on
from headrace_control.internal_api.callbacks import CallbackRun, CallbackUrls
from headrace_control.internal_api.credentials import RunCredentials
from headrace_control.internal_api.doers import Doers
from headrace_control.internal_api.inbox import unused
from headrace_control.internal_api.openings import Openings
from headrace_control.internal_api.side_by_side import by_tenant
from headrace_control.internal_api.terms import NO_TERMS, terms_of
from headrace_control.internal_api.versions import PublishedVersion, PublishedVersions
from headrace_control.policy.holding import held_as

_sql = load("headrace_control.internal_api")

# Inputs, step outputs and messages in one answer to a claim.
ANSWER_BYTES = 16 * 1024 * 1024

_UNREADABLE = {
    "code": "OUTPUT_UNREADABLE",
    "message": "the key of the run's sensitive outputs does not open with the master key that the control plane has",
}


class Handover:
    def __init__(self, pool: Pool, credentials: RunCredentials, callbacks: CallbackUrls) -> None:
        self._pool, self._credentials, self._callbacks = pool, credentials, callbacks
        self._versions, self._openings = PublishedVersions(pool), Openings(pool, credentials)
        self._doers = Doers(pool)

    async def fitting(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Those of these runs whose inputs and checkpoints fit into one answer, taken in their order. The first one
        always fits."""
        resumed = [row["id"] for row in rows if _has_rows(row) or row["inbox_seq"] > 0]
        # One that undoes another gets that one's steps with its first claim.
        undone = [row["undoes_run_id"] for row in rows if row["undoes_run_id"] is not None]
        resumed += undone
        taking = [*undone, *(row["id"] for row in rows if row["origin_run_id"] is not None)]
        large = [row["id"] for row in rows if row["input"] is None]
        # A batch of inputs that came with their rows always fits.
        if len(rows) < 2 or not (resumed or large):
            return rows
        async with one_statement(self._pool) as db:
            sizes = {
                row["run_id"]: row["bytes"] for row in await db.fetch(_sql.sizes, resumed, large, taking)
            }
        fitting: list[Any] = []
        total = 0
        for row in rows:
            size = len((row["input"] or "").encode())
            size += sizes.get(row["id"], 0) + sizes.get(row["undoes_run_id"], 0)
            if fitting and total + size > ANSWER_BYTES:
                continue
            total += size
            fitting.append(row)
        return fitting

    async def of(
        self, rows: Sequence[Any], have: Sequence[str]
    ) -> tuple[dict[UUID, dict[str, Any]], dict[str, Any]]:
        """For claimed runs: what each gets, and the version documents that are not among the digests in `have`. Nothing
        for one that has gone with its tenant."""
        inputs = await self._read_inputs(rows)
        rows = [row for row in rows if row["id"] in inputs]
        if not rows:
            return {}, {}
        versions = await self._versions.of({row["version_id"] for row in rows})
        resumed = [row["id"] for row in rows if _has_rows(row)]
        origins = {row["id"]: row["undoes_run_id"] for row in rows if row["undoes_run_id"] is not None}
        wanted = [*resumed, *origins.values()]
        steps = await self._read_steps(wanted) if wanted else {}
        messages = await self._read_inbox([row for row in rows if row["inbox_seq"] > 0])
        given: dict[UUID, dict[str, Any]] = {}
        for row in rows:
            version = versions[row["version_id"]]
            given[row["id"]] = {
                "tenant_id": row["tenant_id"],
                "version_id": row["version_id"],
                "digest": version.digest,
                "input": passed_on(inputs[row["id"]]),
                # rule claim_tells_cancel
                "cancel": row["cancel_requested"],
                # rule claim_tells_pause
                "pause": row["pause_requested"],
                "compensating": row["compensating"],
                # rule inbox_behind_the_barrier: a take-over's come from here too, with its checkpoint
                "inbox_seq": row["inbox_seq"],
                "inbox": messages.get(row["id"], []),
                "depth": row["depth"],
                "undoes": row["undoes_run_id"],
                "kept_keys": row["kept_keys"],
                "created_at": row["created_at"],
                "started_at": row["started_at"],
                "steps": _rows(steps, row["id"], origins.get(row["id"])),
                "connections": {},
                "secrets": {},
                "secret_apps": {},
                "failure": None,
                "output_keys": {},
            }
        await self._add_terms(rows, versions, given)
        await self._openings.add(rows, versions, given)
        await self._add_output_keys(rows, versions, given, steps)
        for run_id, did in (await self._doers.of(rows, versions, steps, inputs)).items():
            given[run_id]["doers"] = {str(i): told for i, told in did.items()}
        await self._add_callbacks(rows, versions, given)
        known = set(have)
        documents = {
            v.digest: orjson.Fragment(v.document) for v in versions.values() if v.digest not in known
        }
        return given, documents

    async def _add_terms(
        self,
        rows: Sequence[Any],
        versions: Mapping[UUID, PublishedVersion],
        given: Mapping[UUID, dict[str, Any]],
    ) -> None:
        """How each action of a run's version is held now, for rules may have changed since it was published; and what
        its tenant lets it use."""
        apps: dict[UUID, set[str]] = {row["tenant_id"]: set() for row in rows}
        for row in rows:
            apps[row["tenant_id"]].update(map(app_of, versions[row["version_id"]].declared))
        terms = await terms_of(self._pool, apps)
        for row in rows:
            own = terms.get(row["tenant_id"], NO_TERMS)
            declared = versions[row["version_id"]].declared
            given[row["id"]]["policy"] = {
                ref: held_as(own.rules, ref, said) for ref, said in declared.items()
            }
            given[row["id"]]["quotas"] = own.quotas

    async def _add_output_keys(
        self,
        rows: Sequence[Any],
        versions: Mapping[UUID, PublishedVersion],
        given: Mapping[UUID, dict[str, Any]],
        steps: Mapping[UUID, list[dict[str, Any]]],
    ) -> None:
        wanted: dict[UUID, dict[UUID, list[UUID]]] = defaultdict(dict)
        for row in rows:
            origin = [row["undoes_run_id"]] if row["undoes_run_id"] is not None else []
            shown = (*steps.get(row["id"], ()), *(step for i in origin for step in steps.get(i, ())))
            # What was taken over is sealed by the key of the run that did it, whatever this version marks.
            did = {step["taken_from"]: None for step in shown if step["taken_from"] is not None}
            if versions[row["version_id"]].sensitive or did:
                wanted[row["tenant_id"]][row["id"]] = [row["id"], *origin, *did]
        for tenant_id, (keys, failure) in (await by_tenant(wanted, self._open_keys)).items():
            for run_id, own in wanted[tenant_id].items():
                given[run_id]["output_keys"] = {str(i): keys[i] for i in own} if keys else {}
                given[run_id]["failure"] = given[run_id]["failure"] or failure

    async def _open_keys(
        self, tenant_id: UUID, runs: Mapping[UUID, Sequence[UUID]]
    ) -> tuple[Mapping[UUID, str] | None, Mapping[str, str] | None]:
        """The keys by run, or why there are none."""
        keys = await self._credentials.output_keys(
            tenant_id, sorted({i for own in runs.values() for i in own})
        )
        return keys, None if keys else await self._credentials.failure(tenant_id) or _UNREADABLE

    async def _add_callbacks(
        self,
        rows: Sequence[Any],
        versions: Mapping[UUID, PublishedVersion],
        given: Mapping[UUID, dict[str, Any]],
    ) -> None:
        waiting: dict[UUID, list[CallbackRun]] = defaultdict(list)
        shown: dict[UUID, list[tuple[UUID, dict[str, Any]]]] = defaultdict(list)
        for row in rows:
            if signals := versions[row["version_id"]].signals:
                tenant_id, own = row["tenant_id"], given[row["id"]]
                waiting[tenant_id].append(CallbackRun(row["id"], row["created_at"], signals))
                shown[tenant_id].append((row["id"], own))
                # What undoes a step sees the addresses that the step saw.
                for did, told in own.get("doers", {}).items():
                    if told is not None:
                        waiting[tenant_id].append(CallbackRun(UUID(did), told["created_at"], signals))
                        shown[tenant_id].append((UUID(did), told))
        for tenant_id, urls in (await by_tenant(waiting, self._callbacks.urls)).items():
            for run_id, told in shown[tenant_id]:
                told["callbacks"] = urls.get(run_id, {})

    async def _read_inputs(self, rows: Sequence[Any]) -> Mapping[UUID, str]:
        """As JSON: those that came with their rows, and the large ones."""
        inputs = {row["id"]: row["input"] for row in rows if row["input"] is not None}
        large = [row["id"] for row in rows if row["input"] is None]
        if large:
            async with one_statement(self._pool) as db:
                inputs |= {row["id"]: row["input"] for row in await db.fetch(_sql.inputs, large)}
        return inputs

    async def _read_steps(self, run_ids: Sequence[UUID]) -> dict[UUID, list[dict[str, Any]]]:
        steps: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
        async with one_statement(self._pool) as db:
            for row in await db.fetch(_sql.checkpoint, run_ids):
                step = dict(row) | {"output": passed_on(row["output"])}
                steps[step.pop("run_id")].append(step)
        return steps

    async def _read_inbox(self, rows: Sequence[Any]) -> Mapping[UUID, list[dict[str, Any]]]:
        if not rows:
            return {}
        async with one_statement(self._pool) as db:
            found = await unused(db, {row["id"]: 0 for row in rows}, bounded=False)
        # rule seen_no_newer_than_rows: what came since the row was read is above its `inbox_seq`, and a heartbeat
        # brings it.
        return {
            row["id"]: [m for m in found.get(row["id"], []) if m["seq"] <= row["inbox_seq"]] for row in rows
        }


def _has_rows(row: Any) -> bool:
    """Whether the run may have rows of its own: it was advanced before, or has taken some over."""
    return bool(row["fence_epoch"] > 0 or row["origin_run_id"] is not None)


def _rows(
    steps: Mapping[UUID, list[dict[str, Any]]], run_id: UUID, origin: UUID | None
) -> list[dict[str, Any]]:
    """A run's own rows; for one that undoes another, behind what that one did."""
    own = steps.get(run_id, [])
    done = [row for row in steps.get(origin, []) if "." not in row["key"]] if origin else []
    return [*done, *own]
