"""What versions say, for answers: their documents as JSON texts, what differs between two, what one marks."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
from headrace.errors import NotFound
from headrace.json_types import Json
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.workflow.sensitive import Marks

from headrace_control.answer_size import Sized, look_up
from headrace_control.answer_text import as_text, made_of, read_beside
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.workflows import repository
from headrace_control.workflows.diff import VersionDiff, diff_versions
from headrace_control.workflows.model import Change, DocumentTexts, VersionDocuments


@contextlib.asynccontextmanager
async def reading(
    pool: Pool, caller: Caller, ids: Sequence[UUID]
) -> AsyncIterator[tuple[Db, Sequence[UUID]]]:
    """A transaction, and those of the versions that the caller sees."""
    names = caller.require_of_workflows(Permission.READ)
    async with tenant_transaction(pool, caller.tenant_id) as db:
        seen = ids if names is None else await repository.of_workflows(db, caller.tenant_id, ids, names)
        yield db, seen


async def document_texts(
    pool: Pool, caller: Caller, ids: Sequence[UUID], things: int
) -> Mapping[UUID, DocumentTexts]:
    """Of the versions that the caller sees; they count as so many things (see `look_up`)."""

    async def read(most: int) -> Sized[Mapping[UUID, DocumentTexts]]:
        async with reading(pool, caller, ids) as (db, seen):
            return await repository.document_texts(db, caller.tenant_id, seen, most)

    return await look_up(things, read)


async def diff(pool: Pool, caller: Caller, before: UUID, after: UUID) -> VersionDiff:
    """See `diff_versions`. What stands in the changes is text. Raises `NotFound`."""
    found = await document_texts(pool, caller, [before, after], things=1)
    if before not in found or after not in found:
        raise NotFound("workflow version")
    return await read_beside(lambda: _diff(found[before], found[after]))


async def marks(pool: Pool, caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, Marks]:
    """What versions mark as sensitive in the input of their runs; nothing for those that mark nothing."""

    async def read(most: int) -> Sized[Mapping[UUID, bytes]]:
        async with reading(pool, caller, ids) as (db, seen):
            return await repository.marked_parameters(db, caller.tenant_id, seen, most)

    parameters = await look_up(len(ids), read, stays=False)
    found = {i: await made_of(text, _marks_of) for i, text in parameters.items()}
    return {i: marked for i, marked in found.items() if marked is not None}


def _marks_of(parameters: Json) -> Marks | None:
    return Marks.of(parameters) if isinstance(parameters, dict) else None


def _diff(before: DocumentTexts, after: DocumentTexts) -> VersionDiff:
    found = diff_versions(_whole(before), _whole(after))
    return VersionDiff([_in_text(change) for change in found.changes], found.truncated)


def _whole(texts: DocumentTexts) -> VersionDocuments:
    resolved = None if texts.resolved is None else orjson.loads(texts.resolved)
    return VersionDocuments(orjson.loads(texts.document), texts.source, resolved)


def _in_text(change: Change) -> Change:
    before: Any = as_text(change.before)
    after: Any = as_text(change.after)
    return replace(change, before=before, after=after)
