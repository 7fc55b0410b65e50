"""What a tenant has that a document may refer to, read for one document in a few queries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.actions import parse_action
from headrace.workflow.definition import ActionDefinition, PinnedAction, PinnedChild
from headrace.workflow.document import Document
from headrace.workflow.grammar import BUILT_IN_TYPES
from headrace.workflow.retry import load_retry
from headrace.workflow.uses import actions_used, children_used, connections_used
from headrace.workflow.validate import Catalog

from headrace_control.auth.roles import Role
from headrace_control.members.repository import unknown_deciders
from headrace_control.policy.model import Effective
from headrace_control.policy.repository import rules_of
from headrace_control.workflows.deciders import deciders

_sql = load("headrace_control.workflows")

# How many names of a kind are read to suggest one of them.
SUGGESTED = 2000


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the tenant has, as far as one document is concerned: to check it, and to pin it."""

    catalog: Catalog
    actions: Mapping[str, PinnedAction]
    connections: Mapping[str, UUID]
    workflows: Mapping[str, Mapping[int, PinnedChild]]
    policy: Mapping[str, Effective]
    unknown_deciders: frozenset[str]


async def read_holdings(
    db: Db, tenant_id: UUID, document: Document, step_types: frozenset[str] = BUILT_IN_TYPES
) -> Holdings:
    """Each action at its newest revision, each workflow at its newest published version and at those named."""
    refs = actions_used(document)
    wanted = [ref.partition("/") for ref in sorted(refs)]
    found = await db.fetch(
        _sql.pinnable_actions, tenant_id, [app for app, _, _ in wanted], [name for _, _, name in wanted]
    )
    actions = {f"{row['app']}/{row['name']}": _pinned(row) for row in found}
    # Names for suggestions: only when something is missing.
    names = await db.fetch(_sql.action_names, tenant_id, SUGGESTED) if len(actions) < len(refs) else []
    connections = await db.fetch(_sql.connections, tenant_id, sorted(connections_used(document)), SUGGESTED)
    secrets = await db.fetch(_sql.secret_names, tenant_id, list(document.secrets.values()), SUGGESTED)
    workflows = await _read_workflows(db, tenant_id, document)
    rules = await rules_of(db, tenant_id, {pinned.definition.app for pinned in actions.values()})
    policy = {
        ref: rules.effective(pinned.definition.app, pinned.definition.name, pinned.definition.approval_class)
        for ref, pinned in actions.items()
    }
    catalog = Catalog(
        actions=_Actions(actions, [row["ref"] for row in names]),
        connections={row["name"]: row["app"] for row in connections},
        secrets=frozenset(row["name"] for row in secrets),
        step_types=step_types,
        workflows=workflows,
        roles=frozenset(Role),
        secret_apps={row["name"]: frozenset(row["apps"]) for row in secrets if row["apps"] is not None},
    )
    named = deciders(document)
    unknown = await unknown_deciders(db, tenant_id, named) if named else frozenset()
    ids = {row["name"]: row["id"] for row in connections}
    return Holdings(catalog, actions, ids, workflows, policy, unknown)


async def _read_workflows(
    db: Db, tenant_id: UUID, document: Document
) -> Mapping[str, Mapping[int, PinnedChild]]:
    """The published versions that the document may pin, by workflow and number; others, for suggestions, without."""
    children = children_used(document).values()
    if not children:
        return {}
    wanted = sorted(
        {(child.workflow, child.version or 0) for child in children} | {(c.workflow, 0) for c in children}
    )
    found: dict[str, dict[int, PinnedChild]] = {}
    for row in await db.fetch(
        _sql.pinnable_workflows,
        tenant_id,
        [name for name, _ in wanted],
        [number or None for _, number in wanted],
    ):
        pinned = PinnedChild(str(row["id"]), row["version"], row["parameters"], row["held_back"])
        found.setdefault(row["name"], {})[pinned.version] = pinned
    if len(found) < len({name for name, _ in wanted}):
        for row in await db.fetch(_sql.published_workflow_names, tenant_id, SUGGESTED):
            found.setdefault(row["name"], {})
    return found


class _Actions(Mapping[str, ActionDefinition]):
    """The definitions that a document wants, among the names of all that there are.

    Names are listed for suggestions without their definitions being read.
    """

    def __init__(self, pinned: Mapping[str, PinnedAction], names: Sequence[str]) -> None:
        self._pinned, self._names = pinned, sorted({*pinned, *names})

    def __getitem__(self, ref: str) -> ActionDefinition:
        return self._pinned[ref].definition

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, ref: object) -> bool:
        return ref in self._pinned


def _pinned(row: Any) -> PinnedAction:
    return PinnedAction(
        revision_id=str(row["revision_id"]),
        revision=row["revision"],
        base_url=row["base_url"],
        definition=parse_action(row["definition"], row["app"]),
        retry=load_retry(row["retry"]),
    )
