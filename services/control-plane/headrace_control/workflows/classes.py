"""The classes of versions: as they were stored at publishing, or found from what runners get of older ones."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from uuid import UUID

import orjson
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.postgres.queries import load
from headrace.workflow.classification import Classification, load_classification
from headrace.workflow.classify import classify
from headrace.workflow.definition import Version
from headrace.workflow.version import load_version

from headrace_control.policy.model import ApprovalClass, Effective
from headrace_control.policy.repository import rules_of
from headrace_control.workflows.model import Classified

_sql = load("headrace_control.workflows")


async def read_classes(db: Db, tenant_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, Classified]:
    """By version; drafts are left out.

    A version that was published before versions were classified keeps none: its class is found anew each time, by the
    tenant's policy of the moment. Its children were published before it, so that this ends.
    """
    found: dict[UUID, Classified] = {}
    for row in await db.fetch(_sql.classifications, tenant_id, list(ids)):
        if row["classification"] is not None:
            found[row["id"]] = Classified(load_classification(row["classification"]), row["waiver"])
        else:
            found[row["id"]] = Classified(await _found_anew(db, tenant_id, row["id"]), None)
    return found


async def of_children(pool: Pool, tenant_id: UUID, version: Version) -> Mapping[str, Classification]:
    """What the version's `workflow` steps run, by their keys."""
    if not version.children:
        return {}
    async with tenant_transaction(pool, tenant_id) as db:
        return await _of_children(db, tenant_id, version)


def asking(policy: Mapping[str, Effective]) -> frozenset[str]:
    """The actions whose calls ask for a person's approval."""
    return frozenset(ref for ref, held in policy.items() if held.approval_class is ApprovalClass.B)


async def _of_children(db: Db, tenant_id: UUID, version: Version) -> Mapping[str, Classification]:
    ids = {UUID(child.version_id) for child in version.children.values()}
    found = await read_classes(db, tenant_id, ids)
    return {key: _answered_for(found[UUID(child.version_id)]) for key, child in version.children.items()}


def _answered_for(child: Classified) -> Classification:
    """What an admin has waived of a child is not asked again of its parents."""
    return replace(child.classification, lacks=()) if child.waiver is not None else child.classification


async def _found_anew(db: Db, tenant_id: UUID, version_id: UUID) -> Classification:
    text: bytes = await db.fetchval(_sql.resolved, tenant_id, version_id)
    version = await asyncio.to_thread(lambda: load_version(orjson.loads(text)))
    children = await _of_children(db, tenant_id, version) if version.children else {}
    actions = {ref: pinned.definition for ref, pinned in version.actions.items()}
    rules = await rules_of(db, tenant_id, {action.app for action in actions.values()})
    policy = {
        ref: rules.effective(action.app, action.name, action.approval_class)
        for ref, action in actions.items()
    }
    return await asyncio.to_thread(classify, version, children, asking(policy))
