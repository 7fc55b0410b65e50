"""Actions and their revisions in GraphQL."""

from datetime import datetime
from typing import Annotated, cast
from uuid import UUID

import strawberry
from headrace.errors import NotFound
from headrace.json_types import Json

from headrace_control.answer_text import passed_on
from headrace_control.apps import model
from headrace_control.apps.graphql import AppType
from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import field, mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON
from headrace_control.pages import DEFAULT_PAGE


async def _definition(root: "ActionRevisionType", info: Info) -> JSON:
    found = await info.context.loaders.definitions.load(UUID(root.id))
    if found is None:
        raise NotFound("action revision")
    return JSON(passed_on(found))


@strawberry.type(name="ActionRevision", description="One revision of an action; it never changes.")
class ActionRevisionType:
    id: strawberry.ID
    revision: int
    digest: str = strawberry.field(description="SHA-256 of the definition's canonical JSON.")
    definition: JSON = strawberry.field(resolver=_definition)
    created_at: datetime
    created_by: strawberry.ID | None = strawberry.field(
        description="Who saved it: the id of a member or of an API key."
    )

    @classmethod
    def of(cls, revision: model.Revision) -> "ActionRevisionType":
        return cls(
            id=strawberry.ID(str(revision.id)),
            revision=revision.number,
            digest=revision.digest,
            created_at=revision.created_at,
            created_by=strawberry.ID(str(revision.created_by)) if revision.created_by else None,
        )


@strawberry.type(name="Action", description="One operation of an app.")
class ActionType:
    id: strawberry.ID
    name: str
    created_at: datetime
    latest: ActionRevisionType
    source: strawberry.Private[model.Action]

    @field
    async def app(self, info: Info) -> AppType:
        """The app it belongs to."""
        return AppType.of(await info.context.loaders.apps.load(self.source.app_id))

    @classmethod
    def of(cls, action: model.Action) -> "ActionType":
        return cls(
            id=strawberry.ID(str(action.id)),
            name=action.name,
            created_at=action.created_at,
            latest=ActionRevisionType.of(action.latest),
            source=action,
        )


@strawberry.type(name="SavedAction", description="An action as it stands after saving.")
class SavedActionType:
    action: ActionType
    created: bool = strawberry.field(description="False: the newest revision said the same already.")


SaveActionPayload = Annotated[SavedActionType | Failed, strawberry.union("SaveActionPayload")]


@strawberry.type
class ActionQuery:
    @query
    async def action(self, info: Info, app: str, name: str) -> ActionType | None:
        """The action of this app and name; null when there is none."""
        found = await info.context.services.actions.get(info.context.caller, app, name)
        return ActionType.of(found) if found else None

    @query
    async def actions(
        self, info: Info, app: str | None = None, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[ActionType]:
        """Actions by app and name; `app` narrows to one app's."""
        found = await info.context.services.actions.list(info.context.caller, app, first, after)
        return page(found, ActionType.of)

    @query
    async def action_revisions(
        self, info: Info, app: str, name: str, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[ActionRevisionType]:
        """An action's revisions, newest first."""
        found = await info.context.services.actions.revisions(info.context.caller, app, name, first, after)
        return page(found, ActionRevisionType.of)


@strawberry.type
class ActionMutation:
    @mutation
    async def save_action(self, info: Info, app: str, name: str, definition: JSON) -> SaveActionPayload:
        """Make an action say `definition`: a new revision, unless the newest one says the same already."""
        saved = await info.context.services.actions.save(
            info.context.caller, app, name, cast(Json, definition)
        )
        return SavedActionType(action=ActionType.of(saved.action), created=saved.created)
