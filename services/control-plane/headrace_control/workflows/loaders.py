"""What versions and runs refer to, loaded for a whole page at once."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from headrace.errors import NotFound
from headrace.workflow.sensitive import Marks

from headrace_control.auth.caller import Caller
from headrace_control.graphql.batches import batch
from headrace_control.pages import PageOf
from headrace_control.workflows.model import (
    Classified,
    DocumentTexts,
    VersionStatus,
    Workflow,
    WorkflowVersion,
)
from headrace_control.workflows.reading import WorkflowReading

VersionPage = tuple[UUID, int, str | None]  # workflow, first, after


class WorkflowLoaders:
    """Of one caller."""

    def __init__(self, reading: WorkflowReading, caller: Caller) -> None:
        self._reading, self._caller = reading, caller
        self._workflow = batch(self._workflows)
        self._version = batch(self._versions)
        self.versions = batch(self._version_pages)
        self.documents = batch(self._documents)
        self.marks = batch(self._marks)
        self.classes = batch(self._classes)
        self.newest_published = batch(self._newest_published)
        self.draft = batch(self._drafts)

    async def workflow(self, workflow_id: UUID) -> Workflow:
        found = await self._workflow.load(workflow_id)
        if found is None:
            raise NotFound("workflow")
        return found

    async def version(self, version_id: UUID) -> WorkflowVersion:
        found = await self._version.load(version_id)
        if found is None:
            raise NotFound("workflow version")
        return found

    async def _workflows(self, ids: Sequence[UUID]) -> Mapping[UUID, Workflow]:
        return await self._reading.workflows_by_id(self._caller, ids)

    async def _versions(self, ids: Sequence[UUID]) -> Mapping[UUID, WorkflowVersion]:
        return await self._reading.versions_by_id(self._caller, ids)

    async def _version_pages(
        self, pages: Sequence[VersionPage]
    ) -> Mapping[VersionPage, PageOf[WorkflowVersion]]:
        found: dict[VersionPage, PageOf[WorkflowVersion]] = {}
        for first in {page[1] for page in pages}:
            alike = [page for page in pages if page[1] == first]
            places = [(workflow_id, after) for workflow_id, _, after in alike]
            found.update(zip(alike, await self._reading.versions(self._caller, first, places), strict=True))
        return found

    async def _documents(self, ids: Sequence[UUID]) -> Mapping[UUID, DocumentTexts]:
        return await self._reading.document_texts(self._caller, ids)

    async def _marks(self, ids: Sequence[UUID]) -> Mapping[UUID, Marks]:
        """Read off a version's schema once, however many of its runs are listed."""
        return await self._reading.marks(self._caller, ids)

    async def _classes(self, ids: Sequence[UUID]) -> Mapping[UUID, Classified]:
        return await self._reading.classes(self._caller, ids)

    async def _newest_published(self, workflow_ids: Sequence[UUID]) -> Mapping[UUID, WorkflowVersion]:
        return await self._reading.newest_of_status(self._caller, workflow_ids, VersionStatus.PUBLISHED)

    async def _drafts(self, workflow_ids: Sequence[UUID]) -> Mapping[UUID, WorkflowVersion]:
        return await self._reading.newest_of_status(self._caller, workflow_ids, VersionStatus.DRAFT)
