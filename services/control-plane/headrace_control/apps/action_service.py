"""Actions: one operation of an app, each change a new revision that never changes."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from headrace.errors import InvalidInput, NotFound, Problem
from headrace.json_types import Json, JsonObject
from headrace.postgres.pool import Pool, tenant_transaction
from headrace.workflow.actions import PARTS, dump_action, parse_action
from headrace.workflow.definition import ActionDefinition
from headrace.workflow.json_rules import digest_of
from headrace.workflow.schemas import check_schema
from headrace.workflow.validate import validate_action

from headrace_control.answer_size import Sized, look_up
from headrace_control.apps import repository
from headrace_control.apps.model import Action, Revision, SavedAction
from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.pages import Cursor, PageOf, page_of, page_size

_ACTIONS = Cursor("actions")
_REVISIONS = Cursor("actionRevisions")
_NEWEST = 2**31 - 1


class ActionService:
    """Actions, over a pool of the role headrace_api. App and name identify an action and do not change."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def save(self, caller: Caller, app: str, name: str, definition: Json) -> SavedAction:
        """Make the action say `definition`: a new revision, unless the newest one says the same already.

        Raises `InvalidInput` with every problem, `NotFound` when there is no such app.
        """
        caller.require(Permission.DESIGN)
        parsed = _check(app, name, definition)
        data = dump_action(parsed)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.keep_app(db, caller.tenant_id, app)
            if found is None:
                raise NotFound("app")
            created = await repository.save_revision(
                db, caller.tenant_id, found.id, name, data, digest_of(data), caller.actor.id
            )
            actions = await repository.latest_actions(db, caller.tenant_id, [(app, name)])
            detail: JsonObject = {"revision": actions[app, name].latest.number, "created": created}
            await record(db, caller, Act("action.save", f"action/{app}/{name}", after=data, detail=detail))
            return SavedAction(actions[app, name], created)

    async def get(self, caller: Caller, app: str, name: str) -> Action | None:
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return (await repository.latest_actions(db, caller.tenant_id, [(app, name)])).get((app, name))

    async def list(self, caller: Caller, app: str | None, first: int, after: str | None) -> PageOf[Action]:
        """By app and name; `app` narrows to one app's."""
        caller.require(Permission.READ)
        limit, key = page_size(first), _ACTIONS.read(after, parts=2)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            place = (key[0], key[1]) if key else ("", "")
            found = await repository.list_actions(db, caller.tenant_id, app, place, limit + 1)
        return page_of(found, limit, lambda action: _ACTIONS.write(action.app, action.name))

    async def revisions(
        self, caller: Caller, app: str, name: str, first: int, after: str | None
    ) -> PageOf[Revision]:
        """Newest first."""
        caller.require(Permission.READ)
        limit, below = page_size(first), _REVISIONS.read_number(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.list_revisions(
                db, caller.tenant_id, app, name, _NEWEST if below is None else below, limit + 1
            )
        return page_of(found, limit, lambda revision: _REVISIONS.write(revision.number))

    async def definitions(self, caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, bytes]:
        """What revisions say, as `dump_action` writes it, as JSON texts."""
        caller.require(Permission.READ)

        async def read(most: int) -> Sized[Mapping[UUID, bytes]]:
            async with tenant_transaction(self._pool, caller.tenant_id) as db:
                return await repository.definitions(db, caller.tenant_id, ids, most)

        return await look_up(len(ids), read)


def _check(app: str, name: str, definition: Json) -> ActionDefinition:
    """The definition, parsed; raises `InvalidInput` with the problems of all of its parts."""
    # The name stands beside the definition; repeating it inside is allowed, contradicting it is not.
    named: Json = {"name": name, **definition} if isinstance(definition, dict) else definition
    parsed: ActionDefinition | None = None
    problems: list[Problem] = []
    try:
        parsed = parse_action(named, app)
    except InvalidInput as error:
        problems.extend(error.problems)
    if isinstance(named, dict):
        if named["name"] != name:
            mend = "Leave `name` out of the definition, or make it the action's."
            problems.append(Problem("name", "the definition has another name", mend))
        for part in PARTS if parsed is None else ():
            schema = named.get(f"{part}Schema")
            if isinstance(schema, dict):
                problems.extend(check_schema(schema, f"{part}Schema"))
    if parsed is not None:
        problems.extend(validate_action(parsed))
    if parsed is None or problems:
        raise InvalidInput(problems)
    return parsed
