"""Workflows as designers make them: validate, draft, publish, deprecate. For what is read of them see `reading`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from headrace.errors import Conflict, InvalidInput, NotFound, Problem
from headrace.json_types import Json, JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.workflow.classification import Classification
from headrace.workflow.json_rules import check_json
from headrace.workflow.names import NAME

from headrace_control.audit.record import Act, AuditOutcome, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.pages import Cursor
from headrace_control.rollouts.beginning import begin, refuse_while_open
from headrace_control.rollouts.model import Rollout, Terms
from headrace_control.rollouts.repository import open_of
from headrace_control.rollouts.terms import check_terms
from headrace_control.workflows import repository
from headrace_control.workflows.gates import Notice, refused_places
from headrace_control.workflows.model import (
    VersionStatus,
    WorkflowVersion,
)
from headrace_control.workflows.publishing import Publishable, prepare
from headrace_control.workflows.text import read_document
from headrace_control.workflows.waivers import audited, check_waiver, waived_of

_WORKFLOWS = Cursor("workflows")
_VERSIONS = Cursor("workflowVersions")
_NEWEST = 2**31 - 1

MAX_NOTE = 1000
# Before the paths of what is wrong with that argument; what is wrong with the document stands at its own places.
_ROLLOUT = "rollout."


@dataclass(frozen=True, slots=True)
class Validated:
    """What stands in the way of publishing a document; and when it is in order, which steps ask for approval, and of
    which class it is."""

    problems: Sequence[Problem] = ()
    notices: Sequence[Notice] = ()
    classification: Classification | None = None


@dataclass(frozen=True, slots=True)
class SavedDraft:
    """The draft, and what still stands in the way of its publication."""

    version: WorkflowVersion
    found: Validated


@dataclass(frozen=True, slots=True)
class Published:
    """`created` is false when the newest published version, or the candidate of the open rollout, said the same
    already, and is answered. `rollout`: the open one that the version is the candidate of."""

    version: WorkflowVersion
    created: bool
    notices: Sequence[Notice] = ()
    rollout: Rollout | None = None


class WorkflowService:
    """Workflows of the caller's tenant, over a pool of the role headrace_api.

    Documents come as a JSON value or as a text of YAML or JSON.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def validate(self, caller: Caller, given: object) -> Validated:
        """Everything that stands in the way of publishing `given`; nothing is written."""
        caller.require(Permission.DESIGN)
        try:
            data, _ = read_document(given)
        except InvalidInput as error:
            return Validated(error.problems)
        return await self._validated(caller, data)

    async def save_draft(self, caller: Caller, given: object, note: str | None = None) -> SavedDraft:
        """Write the workflow's open draft, in place if there is one. The last one to save wins.

        A draft may have any problem but those that keep it from being stored under its name.
        """
        caller.require(Permission.DESIGN)
        data, source = read_document(given)
        name, document = _storable(data, note)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            workflow = await repository.lock_workflow(db, caller.tenant_id, name)
            version = await repository.save_draft(
                db, caller.tenant_id, workflow.id, document, source, note, caller.actor.id
            )
            await record(
                db, caller, Act("draft.save", _target(version), after=document, detail={"workflow": name})
            )
        return SavedDraft(version, await self._validated(caller, document))

    async def discard_draft(self, caller: Caller, version_id: UUID) -> WorkflowVersion:
        """Throw a draft away. Raises `NotFound`, and `Conflict` for a version that is no draft."""
        caller.require(Permission.DESIGN)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            await repository.lock_workflow_of_version(db, caller.tenant_id, version_id)
            version = _found(await repository.versions_by_id(db, caller.tenant_id, [version_id]), version_id)
            if version.status is not VersionStatus.DRAFT:
                raise Conflict("the version is published and stays; deprecate it instead")
            await repository.delete_draft(db, caller.tenant_id, version_id)
            await record(db, caller, Act("draft.discard", _target(version)))
        return version

    async def publish_version(
        self, caller: Caller, version_id: UUID, rollout: Terms | None = None, waiver: str | None = None
    ) -> Published:
        """Publish a draft as it stands. A version that is published already is answered as it is.

        With `rollout` it is a candidate from its first moment on. `waiver` is an admin's reason to publish a long-lived
        version that lacks safeguards. Raises `InvalidInput` with every problem, `NotFound`, and `Conflict` for a
        deprecated version, a draft that was saved again meanwhile, or while a rollout is open.
        """
        _require(caller, rollout)
        check_waiver(caller, waiver)
        tenant_id = caller.tenant_id
        async with tenant_transaction(self._pool, tenant_id) as db:
            written = (await repository.documents(db, tenant_id, [version_id])).get(version_id)
        if written is None:
            raise NotFound("workflow version")
        # A version with a resolved document is no draft, and is looked at under the lock.
        ready = None if written.resolved else await self._prepare(caller, written.document, version_id)
        async with tenant_transaction(self._pool, tenant_id) as db:
            workflow = await repository.lock_workflow_of_version(db, tenant_id, version_id)
            version = _found(await repository.versions_by_id(db, tenant_id, [version_id]), version_id)
            if workflow is None:
                raise NotFound("workflow version")
            under_way = await open_of(db, tenant_id, workflow.id)
            match version.status:
                case VersionStatus.PUBLISHED:
                    return Published(version, created=False, rollout=_of_candidate(under_way, version))
                case VersionStatus.DEPRECATED:
                    raise Conflict("the version is deprecated")
            documents = await repository.documents(db, tenant_id, [version_id])
            if ready is None or documents[version_id] != written:
                raise Conflict("the draft was saved again meanwhile; look at it and publish once more")
            await refuse_while_open(db, tenant_id, workflow.id)
            waived = waived_of(ready.classification, waiver)
            published = await repository.publish_draft(
                db, tenant_id, ready, caller.actor.id, held_back=rollout is not None, waiver=waived
            )
            return await self._published(db, caller, "version.publish", ready, published, rollout, waived)

    async def publish(
        self,
        caller: Caller,
        given: object,
        note: str | None = None,
        rollout: Terms | None = None,
        waiver: str | None = None,
    ) -> Published:
        """Publish a document in one go, beside the open draft if there is one, which is left alone.

        Idempotent: when the newest published version has the same digest, it is answered. The digest covers
        the pinned action revisions and connections too, so a new revision makes a new version. With `rollout` it is a
        candidate from its first moment on; what is the open rollout's candidate already is answered, too. `waiver` is
        as in `publish_version`. Raises `InvalidInput` with every problem, and `Conflict` while a rollout of another
        version is open.
        """
        _require(caller, rollout)
        check_waiver(caller, waiver)
        tenant_id = caller.tenant_id
        data, source = read_document(given)
        _check_note(note)
        ready = await self._prepare(caller, data)
        async with tenant_transaction(self._pool, tenant_id) as db:
            workflow = await repository.lock_workflow(db, tenant_id, ready.workflow)
            newest = await repository.newest_of_status(db, tenant_id, [workflow.id], VersionStatus.PUBLISHED)
            if workflow.id in newest and newest[workflow.id].digest == ready.digest:
                return Published(newest[workflow.id], created=False, notices=ready.notices)
            if under_way := await open_of(db, tenant_id, workflow.id):
                known = await repository.versions_by_id(db, tenant_id, [under_way.candidate_id])
                candidate = _found(known, under_way.candidate_id)
                if candidate.digest == ready.digest:
                    return Published(candidate, created=False, notices=ready.notices, rollout=under_way)
            await refuse_while_open(db, tenant_id, workflow.id)
            held_back, waived = rollout is not None, waived_of(ready.classification, waiver)
            published = await repository.insert_published(
                db,
                tenant_id,
                workflow.id,
                ready,
                source,
                note,
                caller.actor.id,
                held_back=held_back,
                waiver=waived,
            )
            return await self._published(db, caller, "workflow.publish", ready, published, rollout, waived)

    async def _published(
        self,
        db: Db,
        caller: Caller,
        action: str,
        ready: Publishable,
        version: WorkflowVersion,
        terms: Terms | None,
        waiver: str | None,
    ) -> Published:
        """Recorded; and with terms its rollout is begun in the same transaction: it never takes more than its share.
        Raises `Conflict` where what it uses was deleted since it was looked up."""
        if not await repository.keep_used(db, caller.tenant_id, ready.resolved):
            raise Conflict("a connection or a secret that it names has just been deleted")
        detail: JsonObject = {"workflow": ready.workflow, "number": version.number, "digest": ready.digest}
        detail |= audited(ready.classification, waiver)
        # The whole of it: pinned revisions, children and connections too.
        await record(db, caller, Act(action, _target(version), after=ready.resolved, detail=detail))
        rollout = None
        if terms is not None:
            whose = (version.workflow_id, ready.workflow, version.id)
            rollout = await begin(db, caller, *whose, terms, place=_ROLLOUT)
        return Published(version, created=True, notices=ready.notices, rollout=rollout)

    async def _validated(self, caller: Caller, data: Json) -> Validated:
        try:
            ready = await prepare(self._pool, caller.tenant_id, data)
        except InvalidInput as error:
            return Validated(error.problems)
        found = ready.classification
        return Validated([lack.problem for lack in found.hindrances], ready.notices, found)

    async def _prepare(self, caller: Caller, data: Json, version_id: UUID | None = None) -> Publishable:
        """As `prepare`; that the policy refused it is kept."""
        try:
            return await prepare(self._pool, caller.tenant_id, data, version_id)
        except InvalidInput as error:
            if refused := refused_places(error.problems):
                name = str(data.get("workflow")) if isinstance(data, dict) else ""
                act = Act(
                    "workflow.publish",
                    f"workflow/{name}",
                    outcome=AuditOutcome.REFUSED,
                    detail={"code": "POLICY_FORBIDDEN", "places": list(refused)},
                )
                async with tenant_transaction(self._pool, caller.tenant_id) as db:
                    await record(db, caller, act)
            raise

    async def deprecate(self, caller: Caller, version_id: UUID) -> WorkflowVersion:
        """No new runs of this version start; those that run go on. Idempotent. Raises `NotFound`, and `Conflict` for a
        draft, or a version that an open rollout gives starts to."""
        caller.require(Permission.DESIGN)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            workflow = await repository.lock_workflow_of_version(db, caller.tenant_id, version_id)
            under_way = await open_of(db, caller.tenant_id, workflow.id) if workflow else None
            if under_way is not None and version_id in (under_way.stable_id, under_way.candidate_id):
                raise Conflict("starts go to this version by an open rollout: promote or roll back first")
            changed = await repository.deprecate(db, caller.tenant_id, version_id)
            if changed is not None:
                await record(db, caller, Act("version.deprecate", _target(changed)))
                return changed
            version = _found(await repository.versions_by_id(db, caller.tenant_id, [version_id]), version_id)
        if version.status is VersionStatus.DRAFT:
            raise Conflict("the version is a draft; discard it instead")
        return version


def _target(version: WorkflowVersion) -> str:
    return f"version/{version.id}"


def _require(caller: Caller, rollout: Terms | None) -> None:
    caller.require(Permission.DESIGN)
    if rollout is not None:
        caller.require(Permission.MANAGE_ROLLOUTS)
        check_terms(rollout, place=_ROLLOUT)  # also where there turns out to be nothing to publish


def _of_candidate(rollout: Rollout | None, version: WorkflowVersion) -> Rollout | None:
    return rollout if rollout is not None and rollout.candidate_id == version.id else None


def _found(versions: Mapping[UUID, WorkflowVersion], version_id: UUID) -> WorkflowVersion:
    if version_id not in versions:
        raise NotFound("workflow version")
    return versions[version_id]


def _storable(data: Json, note: str | None) -> tuple[str, JsonObject]:
    """The name and the document of a draft. Raises `InvalidInput` for what can not be stored."""
    problems = check_json(data)
    if problems:
        raise InvalidInput(problems)
    _check_note(note)
    if not isinstance(data, dict):
        raise InvalidInput([Problem("", "a document is an object", "Write `workflow`, `steps` and so on.")])
    name = data.get("workflow")
    if not isinstance(name, str) or not NAME.allows(name):
        raise InvalidInput([Problem("workflow", f"this is no {NAME.what}", NAME.words)])
    return name, data


def _check_note(note: str | None) -> None:
    if note is not None and len(note) > MAX_NOTE:
        raise InvalidInput([Problem("note", f"longer than {MAX_NOTE} characters", "Shorten it.")])
