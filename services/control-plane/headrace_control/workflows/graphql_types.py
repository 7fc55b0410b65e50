"""Workflows, versions and their differences in GraphQL."""

from datetime import datetime
from typing import Annotated

import strawberry
from headrace.workflow import classification

from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import ProblemType
from headrace_control.graphql.fields import field
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON, json_text
from headrace_control.pages import DEFAULT_PAGE, PageOf
from headrace_control.workflows import model
from headrace_control.workflows.gates import Notice

strawberry.enum(
    model.VersionStatus,
    description="DRAFT can be edited. PUBLISHED is immutable and can be started. DEPRECATED can not be started.",
)
strawberry.enum(model.ChangeKind, description="What became of a place between two versions.")
strawberry.enum(
    classification.LifeClass,
    description="What a run is: SHORT_LIVED calls and waits for nothing, MEDIUM_LIVED takes minutes or hours, "
    "LONG_LIVED has to survive days, or binds several systems, people or outsiders.",
)
strawberry.enum(classification.ClassRule, description="A rule by which a version is of its class.")


@strawberry.type(name="ClassReason", description="One rule that holds for a version.")
class ClassReasonType:
    rule: classification.ClassRule
    step: str | None = strawberry.field(description="None: it is about the version as a whole.")
    message: str


@strawberry.type(name="Classification", description="The class of a version, and why.")
class ClassificationType:
    class_: classification.LifeClass = strawberry.field(name="class")
    reasons: list[ClassReasonType] = strawberry.field(
        description="Those of its class first; 20 steps for a rule."
    )
    lacks: list[ProblemType] = strawberry.field(
        description="What a long-lived version needs and this one has not: compensation, idempotency."
    )
    waiver: str | None = strawberry.field(
        description="Why an admin let it be published though it is long-lived and lacks them."
    )

    @classmethod
    def of(cls, found: classification.Classification, waiver: str | None = None) -> "ClassificationType":
        return cls(
            class_=found.life,
            reasons=[ClassReasonType(rule=r.rule, step=r.step, message=r.message) for r in found.reasons],
            lacks=[
                ProblemType(path=p.path, message=p.message, mend=p.mend, code=p.code)
                for p in (lack.problem for lack in found.lacks)
            ],
            waiver=waiver,
        )


@strawberry.type(name="WorkflowVersion", description="One version of a workflow; immutable once published.")
class WorkflowVersionType:
    version: strawberry.Private[model.WorkflowVersion]
    id: strawberry.ID
    number: int = strawberry.field(description="Of a draft: what it would be published as.")
    status: model.VersionStatus
    digest: str | None = strawberry.field(description="SHA-256 of what runners get; none for a draft.")
    note: str
    created_at: datetime
    created_by: strawberry.ID | None = strawberry.field(
        description="Who wrote it: the id of a member or of an API key."
    )
    published_at: datetime | None

    @classmethod
    def of(cls, version: model.WorkflowVersion) -> "WorkflowVersionType":
        return cls(
            version=version,
            id=strawberry.ID(str(version.id)),
            number=version.number,
            status=version.status,
            digest=version.digest,
            note=version.note,
            created_at=version.created_at,
            created_by=strawberry.ID(str(version.created_by)) if version.created_by else None,
            published_at=version.published_at,
        )

    @field
    async def workflow(self, info: Info) -> Annotated["WorkflowType", strawberry.lazy(__name__)]:
        """The workflow that this is a version of."""
        return WorkflowType.of(await info.context.loaders.workflows.workflow(self.version.workflow_id))

    @field
    async def document(self, info: Info) -> JSON | None:
        """The document as JSON."""
        found = await info.context.loaders.workflows.documents.load(self.version.id)
        return json_text(found.document) if found else None

    @field
    async def source(self, info: Info) -> str | None:
        """The text as it was written, when it came as a text."""
        found = await info.context.loaders.workflows.documents.load(self.version.id)
        return found.source if found else None

    @field
    async def classification(self, info: Info) -> ClassificationType | None:
        """Its class, found when it was published; none for a draft, see `validateWorkflow`."""
        found = await info.context.loaders.workflows.classes.load(self.version.id)
        return ClassificationType.of(found.classification, found.waiver) if found else None

    @field
    async def resolved(self, info: Info) -> JSON | None:
        """What runners get, with action revisions pinned; none for a draft."""
        found = await info.context.loaders.workflows.documents.load(self.version.id)
        return json_text(found.resolved) if found else None


@strawberry.type(name="Workflow", description="A workflow and its versions.")
class WorkflowType:
    workflow: strawberry.Private[model.Workflow]
    id: strawberry.ID
    name: str
    created_at: datetime
    pool: str | None = strawberry.field(
        description="The runner pool that it is bound to; null: its tenant's."
    )

    @classmethod
    def of(cls, workflow: model.Workflow) -> "WorkflowType":
        return cls(
            workflow=workflow,
            id=strawberry.ID(str(workflow.id)),
            name=workflow.name,
            created_at=workflow.created_at,
            pool=workflow.pool,
        )

    @field
    async def versions(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[WorkflowVersionType]:
        """Its versions, newest first, with the draft on top."""
        found = await info.context.loaders.workflows.versions.load((self.workflow.id, first, after))
        return page(found or PageOf((), None, False), WorkflowVersionType.of)

    @field
    async def published(self, info: Info) -> WorkflowVersionType | None:
        """What a start without a version runs: the newest published version that is not held back from a rollout; while
        one is open, its stable version."""
        found = await info.context.loaders.workflows.newest_published.load(self.workflow.id)
        return WorkflowVersionType.of(found) if found else None

    @field
    async def draft(self, info: Info) -> WorkflowVersionType | None:
        """The open draft."""
        found = await info.context.loaders.workflows.draft.load(self.workflow.id)
        return WorkflowVersionType.of(found) if found else None


@strawberry.type(name="Change", description="One difference between two versions.")
class ChangeType:
    path: str = strawberry.field(description="The place; steps by key, as `steps.refund.input.amount`.")
    kind: model.ChangeKind
    before: JSON | None
    after: JSON | None

    @classmethod
    def of(cls, change: model.Change) -> "ChangeType":
        return cls(path=change.path, kind=change.kind, before=JSON(change.before), after=JSON(change.after))


@strawberry.type(name="VersionDiff", description="What is different between two versions.")
class VersionDiffType:
    changes: list[ChangeType]
    truncated: bool = strawberry.field(description="There are more changes than are listed.")


@strawberry.type(
    name="Notice", description="Something about a document that is no problem, and worth knowing."
)
class NoticeType:
    path: str = strawberry.field(
        description="The place in the document, as `steps[1].action`; where that is not the one in hand, behind its "
        "workflow and version, as `pay 3: steps[1]`."
    )
    message: str
    code: str

    @classmethod
    def of(cls, notice: Notice) -> "NoticeType":
        return cls(path=notice.path, message=notice.message, code=notice.code)
