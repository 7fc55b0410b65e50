"""Workflows and their versions, as services answer them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headrace.json_types import Json
from headrace.workflow.classification import Classification


class VersionStatus(StrEnum):
    """A version moves from DRAFT to PUBLISHED to DEPRECATED, and never back.

    DRAFT may be edited in place and thrown away; a workflow has at most one. PUBLISHED is immutable and may be
    started. DEPRECATED is immutable, its runs go on, and no new ones start.
    """

    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    DEPRECATED = "DEPRECATED"


class ChangeKind(StrEnum):
    ADDED = "ADDED"
    REMOVED = "REMOVED"
    CHANGED = "CHANGED"


@dataclass(frozen=True, slots=True)
class Workflow:
    """`pool` is the runner pool that it is bound to; None: its tenant's."""

    id: UUID
    name: str
    created_at: datetime
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowVersion:
    """A version without its documents, which are read when they are asked for.

    `number` of a draft is what it would be published as: it moves up when another version is published
    beside it. `digest` is None for a draft.
    """

    id: UUID
    workflow_id: UUID
    number: int
    status: VersionStatus
    digest: str | None
    note: str
    created_at: datetime
    created_by: UUID | None
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class Classified:
    """A version's class; `waiver` is why an admin let it be published though it lacks safeguards."""

    classification: Classification
    waiver: str | None


@dataclass(frozen=True, slots=True)
class VersionDocuments:
    """`document` is what the designer wrote, `source` its text when it came as one; `resolved` is what runners
    get, None for a draft."""

    document: Json
    source: str | None
    resolved: Json


@dataclass(frozen=True, slots=True)
class DocumentTexts:
    """As `VersionDocuments`, each as JSON text."""

    document: bytes
    source: str | None
    resolved: bytes | None


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `path` names steps by key; `before` is None for ADDED, `after` for REMOVED."""

    path: str
    kind: ChangeKind
    before: Json
    after: Json
