"""Workflows and versions as readers see them: one by one, by pages, and of many at once what lists refer to."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from headrace.errors import NotFound
from headrace.postgres.pool import Pool, tenant_transaction
from headrace.workflow.sensitive import Marks

from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.workflows import repository, texts
from headrace_control.workflows.classes import read_classes
from headrace_control.workflows.diff import VersionDiff
from headrace_control.workflows.model import (
    Classified,
    DocumentTexts,
    VersionStatus,
    Workflow,
    WorkflowVersion,
)

_WORKFLOWS = Cursor("workflows")
_VERSIONS = Cursor("workflowVersions")
_NEWEST = 2**31 - 1


class WorkflowReading:
    """Of the caller's tenant, over a pool of the role headrace_api."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def diff(self, caller: Caller, before: UUID, after: UUID) -> VersionDiff:
        """What is different between two versions, of one workflow or of two."""
        caller.require(Permission.READ)
        return await texts.diff(self._pool, caller, before, after)

    async def workflow(self, caller: Caller, name: str) -> Workflow:
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            workflow = await repository.workflow_named(db, caller.tenant_id, name)
        if workflow is None:
            raise NotFound("workflow")
        return workflow

    async def version(self, caller: Caller, workflow: str, number: int) -> WorkflowVersion:
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            version = await repository.version_numbered(db, caller.tenant_id, workflow, number)
        if version is None:
            raise NotFound("workflow version")
        return version

    async def page(self, caller: Caller, first: int, after: str | None) -> PageOf[Workflow]:
        """By name."""
        caller.require(Permission.READ)
        limit, name = page_size(first), _WORKFLOWS.read_text(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.workflows_after(db, caller.tenant_id, name or "", limit + 1)
        return page_of(found, limit, lambda workflow: _WORKFLOWS.write(workflow.name))

    # What lists refer to, read for many at once.

    async def versions(
        self, caller: Caller, first: int, pages: Sequence[tuple[UUID, str | None]]
    ) -> Sequence[PageOf[WorkflowVersion]]:
        """For each (workflow, cursor) in turn: a page of its versions, newest first."""
        caller.require(Permission.READ)
        limit = page_size(first)
        places = [(workflow_id, _VERSIONS.read_number(after) or _NEWEST) for workflow_id, after in pages]
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.versions_below(db, caller.tenant_id, places, limit + 1)
        return [page_of(versions, limit, lambda v: _VERSIONS.write(v.number)) for versions in found]

    async def workflows_by_id(self, caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, Workflow]:
        names = caller.require_of_workflows(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.workflows_by_id(db, caller.tenant_id, ids)
        return {key: one for key, one in found.items() if names is None or one.name in names}

    async def versions_by_id(self, caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, WorkflowVersion]:
        async with texts.reading(self._pool, caller, ids) as (db, seen):
            return await repository.versions_by_id(db, caller.tenant_id, seen)

    async def newest_of_status(
        self, caller: Caller, workflow_ids: Sequence[UUID], status: VersionStatus
    ) -> Mapping[UUID, WorkflowVersion]:
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.newest_of_status(db, caller.tenant_id, workflow_ids, status)

    async def classes(self, caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, Classified]:
        """Of versions that are no drafts."""
        async with texts.reading(self._pool, caller, ids) as (db, seen):
            return await read_classes(db, caller.tenant_id, seen)

    async def document_texts(self, caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, DocumentTexts]:
        return await texts.document_texts(self._pool, caller, ids, len(ids))

    async def marks(self, caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, Marks]:
        """What versions mark as sensitive in the input of their runs; nothing for those that mark nothing."""
        return await texts.marks(self._pool, caller, ids)
