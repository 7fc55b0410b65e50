"""The SQL of workflows and versions. Every function works inside the caller's transaction and tenant."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from headrace.errors import Conflict
from headrace.ids import new_id
from headrace.json_types import Json
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.classification import dump_classification
from headrace.workflow.schema_survey import SENSITIVE

from headrace_control.answer_size import Sized
from headrace_control.workflows.model import (
    DocumentTexts,
    VersionDocuments,
    VersionStatus,
    Workflow,
    WorkflowVersion,
)
from headrace_control.workflows.publishing import Publishable

_sql = load("headrace_control.workflows")


async def workflow_named(db: Db, tenant_id: UUID, name: str) -> Workflow | None:
    row = await db.fetchrow(_sql.workflow_named, tenant_id, name)
    return Workflow(**row) if row else None


async def workflows_by_id(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, Workflow]:
    return {row["id"]: Workflow(**row) for row in await db.fetch(_sql.workflows_by_id, tenant_id, ids)}


async def workflows_after(db: Db, tenant_id: UUID, name: str, limit: int) -> Sequence[Workflow]:
    """In the order of their names, beginning above `name`."""
    return [Workflow(**row) for row in await db.fetch(_sql.workflows_after, tenant_id, name, limit)]


async def lock_workflow(db: Db, tenant_id: UUID, name: str) -> Workflow:
    """The workflow, made when it is new; its versions are numbered by nobody else until the transaction ends."""
    (row,) = await db.fetch(_sql.lock_workflow, tenant_id, new_id(), name)
    return Workflow(**row)


async def lock_workflow_of_version(db: Db, tenant_id: UUID, version_id: UUID) -> Workflow | None:
    row = await db.fetchrow(_sql.lock_workflow_of_version, tenant_id, version_id)
    return Workflow(**row) if row else None


async def versions_by_id(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, WorkflowVersion]:
    return {row["id"]: _version(row) for row in await db.fetch(_sql.versions_by_id, tenant_id, ids)}


async def of_workflows(
    db: Db, tenant_id: UUID, ids: Sequence[UUID], names: Collection[str]
) -> Sequence[UUID]:
    """Those of the versions that are of workflows with these names."""
    return [row["id"] for row in await db.fetch(_sql.versions_of_workflows, tenant_id, ids, list(names))]


async def version_numbered(db: Db, tenant_id: UUID, workflow: str, number: int) -> WorkflowVersion | None:
    row = await db.fetchrow(_sql.version_numbered, tenant_id, workflow, number)
    return _version(row) if row else None


async def versions_below(
    db: Db, tenant_id: UUID, places: Sequence[tuple[UUID, int]], limit: int
) -> Sequence[Sequence[WorkflowVersion]]:
    """For each (workflow, number) in turn: at most `limit` versions below the number, newest first."""
    found: list[list[WorkflowVersion]] = [[] for _ in places]
    columns = [list(column) for column in zip(*places, strict=True)]
    for row in await db.fetch(_sql.versions_below, tenant_id, *columns, limit):
        fields = dict(row)
        found[fields.pop("n") - 1].append(_version(fields))
    return found


async def newest_of_status(
    db: Db, tenant_id: UUID, workflow_ids: Sequence[UUID], status: VersionStatus
) -> Mapping[UUID, WorkflowVersion]:
    """By workflow; a workflow without a version of this status is left out."""
    rows = await db.fetch(_sql.newest_of_status, tenant_id, workflow_ids, status)
    return {row["workflow_id"]: _version(row) for row in rows}


async def documents(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, VersionDocuments]:
    """Read whole, which takes many times their size: of few versions."""
    rows = await db.fetch(_sql.documents, tenant_id, ids)
    return {row["id"]: VersionDocuments(row["document"], row["source"], row["resolved"]) for row in rows}


async def document_texts(
    db: Db, tenant_id: UUID, ids: Sequence[UUID], most: int
) -> Sized[Mapping[UUID, DocumentTexts]]:
    """None of them when they have more than `most` bytes together."""
    rows = await db.fetch(_sql.document_texts, tenant_id, ids, most)
    found = {
        row["id"]: DocumentTexts(row["document"], row["source"], row["resolved"])
        for row in rows
        if row["id"] is not None
    }
    return Sized(rows[0]["size"], found)


async def marked_parameters(
    db: Db, tenant_id: UUID, ids: Sequence[UUID], most: int
) -> Sized[Mapping[UUID, bytes]]:
    """The parameters, as JSON texts, of those versions that may mark something in them; as `document_texts`."""
    rows = await db.fetch(_sql.marked_parameters, tenant_id, ids, most, f'"{SENSITIVE}"')
    found = {row["id"]: row["parameters"] for row in rows if row["id"] is not None}
    return Sized(rows[0]["size"], found)


async def save_draft(
    db: Db,
    tenant_id: UUID,
    workflow_id: UUID,
    document: Json,
    source: str | None,
    note: str | None,
    created_by: UUID,
) -> WorkflowVersion:
    """The workflow's draft, edited in place or made. Under the workflow's lock."""
    written = (tenant_id, workflow_id, document, source, note, created_by)
    row = await db.fetchrow(_sql.edit_draft, *written)
    return _version(row or await db.fetchrow(_sql.insert_draft, *written, new_id()))


async def delete_draft(db: Db, tenant_id: UUID, version_id: UUID) -> None:
    await db.execute(_sql.delete_draft, tenant_id, version_id)


async def publish_draft(
    db: Db,
    tenant_id: UUID,
    ready: Publishable,
    published_by: UUID,
    *,
    held_back: bool = False,
    waiver: str | None = None,
) -> WorkflowVersion:
    """Under the workflow's lock, of a version that is a draft."""
    row = await db.fetchrow(
        _sql.publish_draft,
        tenant_id,
        ready.version_id,
        ready.resolved,
        ready.digest,
        published_by,
        held_back,
        dump_classification(ready.classification),
        waiver,
    )
    return _version(row)


async def insert_published(
    db: Db,
    tenant_id: UUID,
    workflow_id: UUID,
    ready: Publishable,
    source: str | None,
    note: str | None,
    created_by: UUID,
    *,
    held_back: bool = False,
    waiver: str | None = None,
) -> WorkflowVersion:
    """A new published version beside the draft, if there is one. Under the workflow's lock."""
    await db.execute(_sql.move_draft_up, tenant_id, workflow_id)
    row = await db.fetchrow(
        _sql.insert_published,
        tenant_id,
        workflow_id,
        ready.document,
        source,
        note,
        created_by,
        ready.version_id,
        ready.resolved,
        ready.digest,
        held_back,
        dump_classification(ready.classification),
        waiver,
    )
    return _version(row)


async def keep_used(db: Db, tenant_id: UUID, resolved: Mapping[str, Any]) -> bool:
    """Nobody deletes the connections and secrets that a resolved document names until the transaction ends; False when
    one is gone already."""
    connections = sorted({UUID(one) for one in resolved["connections"].values()})
    env = resolved["document"].get("env") or {}
    secrets = sorted({value["secret"] for value in env.values() if isinstance(value, dict)})
    kept = [
        *await db.fetch(_sql.keep_connections, tenant_id, connections),
        *await db.fetch(_sql.keep_secrets, tenant_id, secrets),
    ]
    return len(kept) == len(connections) + len(secrets)


async def require_unused(
    db: Db, tenant_id: UUID, *, connection_id: UUID | None = None, secret: str | None = None
) -> None:
    """Raises `Conflict` with some of the published versions that use the connection or the secret, or that run a
    sub-workflow which does."""
    wanted = None if connection_id is None else str(connection_id)
    rows = await db.fetch(_sql.versions_using, tenant_id, wanted, secret)
    if using := [f"{row['name']} {row['version']}" for row in rows]:
        raise Conflict(
            f"published versions use it: {', '.join(using)}; deprecate them, or publish without it"
        )


async def deprecate(db: Db, tenant_id: UUID, version_id: UUID) -> WorkflowVersion | None:
    """None when the version is not published."""
    row = await db.fetchrow(_sql.deprecate, tenant_id, version_id)
    return _version(row) if row else None


def _version(row: Any) -> WorkflowVersion:
    return WorkflowVersion(**{**row, "status": VersionStatus(row["status"])})
