"""Whether a document can be published, what runners get of it, and of which class it is."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from headrace.errors import InvalidInput
from headrace.ids import new_id
from headrace.json_types import Json, JsonObject
from headrace.postgres.pool import Pool, tenant_transaction
from headrace.workflow.classification import Classification
from headrace.workflow.classify import classify
from headrace.workflow.definition import PinnedChild, Version, pinned_by
from headrace.workflow.document import Document
from headrace.workflow.expressions import check_parsing
from headrace.workflow.parse import read_document
from headrace.workflow.uses import children_used, connections_used
from headrace.workflow.validate import beside, validate_document
from headrace.workflow.version import digest, dump_version

from headrace_control.workflows.catalog import Holdings, read_holdings
from headrace_control.workflows.classes import asking, of_children
from headrace_control.workflows.deciders import unknown_deciders
from headrace_control.workflows.gates import Notice, forbidden, notices
from headrace_control.workflows.step_types import installed_step_types


@dataclass(frozen=True, slots=True)
class Publishable:
    """A document that was found in order: its action revisions and child versions pinned, its connections by id.

    What its classification says of missing safeguards may still stand in the way; only an admin waives that.
    """

    workflow: str
    version_id: UUID
    document: Json
    resolved: JsonObject
    digest: str
    notices: Sequence[Notice]
    classification: Classification


async def check(pool: Pool, tenant_id: UUID, data: Json) -> tuple[Document, Holdings]:
    """The document in `data`, and what the tenant has for it. Raises `InvalidInput` with every problem, of its
    shape and of its content."""
    document, shape = await asyncio.to_thread(read_document, data)
    if document is None:
        raise InvalidInput(shape)
    step_types = await asyncio.to_thread(installed_step_types)
    async with tenant_transaction(pool, tenant_id) as db:
        holdings = await read_holdings(db, tenant_id, document, step_types)
    # Off the event loop, and outside the transaction: a large document takes its time.
    if costly := await asyncio.to_thread(check_parsing, data):
        raise InvalidInput([*shape, *costly])
    content = await asyncio.to_thread(validate_document, document, holdings.catalog)
    refused = forbidden(document, holdings.policy)
    if problems := [*shape, *beside(content, shape), *refused]:
        raise InvalidInput(problems)
    return document, holdings


async def prepare(pool: Pool, tenant_id: UUID, data: Json, version_id: UUID | None = None) -> Publishable:
    """What publishing `data` as `version_id` (a new one if none is given) would store. Raises `InvalidInput`."""
    document, holdings = await check(pool, tenant_id, data)
    version_id = version_id or new_id()
    version = Version(
        id=str(version_id),
        digest="",
        document=document,
        actions=holdings.actions,
        connections={name: str(holdings.connections[name]) for name in sorted(connections_used(document))},
        children=_pinned(document, holdings),
    )
    version = replace(version, digest=digest(dump_version(version)))
    children = await of_children(pool, tenant_id, version)
    found = await asyncio.to_thread(classify, version, children, asking(holdings.policy))
    gated = notices_of(document, holdings)
    return Publishable(
        document.workflow, version_id, data, dump_version(version), version.digest, gated, found
    )


def notices_of(document: Document, holdings: Holdings) -> list[Notice]:
    """What is no problem, and worth knowing before the document runs."""
    return [
        *notices(document, holdings.policy),
        *unknown_deciders(document, holdings.unknown_deciders),
    ]


def _pinned(document: Document, holdings: Holdings) -> dict[str, PinnedChild]:
    """What each `workflow` step runs: the version that it names, or the newest that is published."""
    pinned: dict[str, PinnedChild] = {}
    for key, child in children_used(document).items():
        found = pinned_by(child.version, holdings.workflows[child.workflow])
        if found is not None:  # always, of a document that has passed the check
            pinned[key] = found
    return pinned
