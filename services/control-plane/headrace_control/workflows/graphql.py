"""Designing workflows in GraphQL."""

from typing import Annotated

import strawberry
from headrace.errors import Problem
from headrace.workflow.classification import Classification

from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed, ProblemType
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON, read_id
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.rollouts.graphql_types import RolloutInput, RolloutType
from headrace_control.workflows.graphql_types import (
    ChangeType,
    ClassificationType,
    NoticeType,
    VersionDiffType,
    WorkflowType,
    WorkflowVersionType,
)
from headrace_control.workflows.service import Published

_VERSION = "workflow version"


_CLASS = "The class that it would be published as; none while it has problems of another kind."
_NOTICES = "Steps that ask for approval at each run, as the policy is now."


@strawberry.type(
    description="What stands in the way of publishing a document; nothing when the list is empty."
)
class Validation:
    problems: list[ProblemType]
    notices: list[NoticeType] = strawberry.field(description=_NOTICES)
    classification: ClassificationType | None = strawberry.field(description=_CLASS)


@strawberry.type(description="A draft just saved, and what still stands in the way of its publication.")
class SavedDraft:
    version: WorkflowVersionType
    problems: list[ProblemType]
    notices: list[NoticeType] = strawberry.field(description=_NOTICES)
    classification: ClassificationType | None = strawberry.field(description=_CLASS)


@strawberry.type(description="A published version.")
class PublishedVersion:
    version: WorkflowVersionType
    created: bool = strawberry.field(description="False: it said the same already, and is answered as it is.")
    notices: list[NoticeType] = strawberry.field(description=_NOTICES)
    rollout: RolloutType | None = strawberry.field(description="The open one that it is the candidate of.")

    @classmethod
    def of(cls, published: Published) -> "PublishedVersion":
        return cls(
            version=WorkflowVersionType.of(published.version),
            created=published.created,
            notices=[NoticeType.of(notice) for notice in published.notices],
            rollout=RolloutType.of(published.rollout) if published.rollout else None,
        )


SaveDraftPayload = Annotated[SavedDraft | Failed, strawberry.union("SaveDraftPayload")]
DiscardDraftPayload = Annotated[WorkflowVersionType | Failed, strawberry.union("DiscardDraftPayload")]
PublishVersionPayload = Annotated[PublishedVersion | Failed, strawberry.union("PublishVersionPayload")]
PublishWorkflowPayload = Annotated[PublishedVersion | Failed, strawberry.union("PublishWorkflowPayload")]
DeprecateVersionPayload = Annotated[WorkflowVersionType | Failed, strawberry.union("DeprecateVersionPayload")]


@strawberry.type
class WorkflowQuery:
    @query
    async def workflow(self, info: Info, name: str) -> WorkflowType | None:
        """The workflow of this name."""
        reading = info.context.services.workflow_reading
        return WorkflowType.of(await reading.workflow(info.context.caller, name))

    @query
    async def workflows(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[WorkflowType]:
        """Workflows by name."""
        found = await info.context.services.workflow_reading.page(info.context.caller, first, after)
        return page(found, WorkflowType.of)

    @query
    async def workflow_version(self, info: Info, workflow: str, number: int) -> WorkflowVersionType | None:
        """A version by its workflow's name and its number."""
        reading = info.context.services.workflow_reading
        return WorkflowVersionType.of(await reading.version(info.context.caller, workflow, number))

    @query
    async def validate_workflow(self, info: Info, document: JSON) -> Validation:
        """Everything that stands in the way of publishing a document: a JSON value, or a text of YAML or JSON."""
        found = await info.context.services.workflows.validate(info.context.caller, document)
        return Validation(
            problems=[_problem(problem) for problem in found.problems],
            notices=[NoticeType.of(notice) for notice in found.notices],
            classification=_class(found.classification),
        )

    @query
    async def diff_versions(self, info: Info, a: strawberry.ID, b: strawberry.ID) -> VersionDiffType | None:
        """What makes version `b` out of version `a`, in the order of the document."""
        reading = info.context.services.workflow_reading
        diff = await reading.diff(info.context.caller, read_id(a, _VERSION), read_id(b, _VERSION))
        return VersionDiffType(
            changes=[ChangeType.of(change) for change in diff.changes], truncated=diff.truncated
        )


@strawberry.type
class WorkflowMutation:
    @mutation
    async def save_draft(self, info: Info, document: JSON, note: str | None = None) -> SaveDraftPayload:
        """Write the open draft of the workflow that the document names; a new draft if there is none.

        A workflow has one open draft, edited in place; the last one to save wins. The document is a JSON value,
        or a text of YAML or JSON, and may be unfinished.
        """
        saved = await info.context.services.workflows.save_draft(info.context.caller, document, note)
        return SavedDraft(
            version=WorkflowVersionType.of(saved.version),
            problems=[_problem(problem) for problem in saved.found.problems],
            notices=[NoticeType.of(notice) for notice in saved.found.notices],
            classification=_class(saved.found.classification),
        )

    @mutation
    async def discard_draft(self, info: Info, id: strawberry.ID) -> DiscardDraftPayload:  # noqa: A002
        """Throw a draft away."""
        service = info.context.services.workflows
        return WorkflowVersionType.of(await service.discard_draft(info.context.caller, read_id(id, _VERSION)))

    @mutation
    async def publish_version(
        self,
        info: Info,
        id: strawberry.ID,  # noqa: A002
        rollout: RolloutInput | None = None,
        waiver: str | None = None,
    ) -> PublishVersionPayload:
        """Check a draft, pin its actions' newest revisions, and make it immutable. With `rollout` it takes no more than
        that share of starts from its first moment on.

        A long-lived version whose steps lack compensation or idempotency is refused, unless an admin gives a `waiver`:
        the reason to publish it all the same.
        """
        service, terms = info.context.services.workflows, rollout.terms() if rollout else None
        caller, version = info.context.caller, read_id(id, _VERSION)
        return PublishedVersion.of(await service.publish_version(caller, version, terms, waiver))

    @mutation
    async def publish_workflow(
        self,
        info: Info,
        document: JSON,
        note: str | None = None,
        rollout: RolloutInput | None = None,
        waiver: str | None = None,
    ) -> PublishWorkflowPayload:
        """Publish a document in one go; the open draft is left alone.

        When the newest published version comes out the same, action revisions included, it is answered. With `rollout`
        the version takes no more than that share of starts from its first moment on. `waiver` is as for
        `publishVersion`.
        """
        service, terms = info.context.services.workflows, rollout.terms() if rollout else None
        published = await service.publish(info.context.caller, document, note, terms, waiver)
        return PublishedVersion.of(published)

    @mutation
    async def deprecate_version(self, info: Info, id: strawberry.ID) -> DeprecateVersionPayload:  # noqa: A002
        """No new runs of this version start; those that run go on."""
        service = info.context.services.workflows
        return WorkflowVersionType.of(await service.deprecate(info.context.caller, read_id(id, _VERSION)))


def _class(found: Classification | None) -> ClassificationType | None:
    return None if found is None else ClassificationType.of(found)


def _problem(problem: Problem) -> ProblemType:
    return ProblemType(path=problem.path, message=problem.message, mend=problem.mend, code=problem.code)
