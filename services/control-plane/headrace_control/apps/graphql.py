"""Apps in GraphQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, cast

import strawberry
from headrace.json_types import Json
from headrace.workflow.retry import dump_retry

from headrace_control.apps import model
from headrace_control.apps.auth_scheme import dump_scheme
from headrace_control.apps.limits import dump_limits
from headrace_control.graphql.context import Info
from headrace_control.graphql.deleted import Deleted
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.workflows.gates import Notice
from headrace_control.workflows.graphql_types import NoticeType


@strawberry.type(name="App", description="An external API that workflows call.")
class AppType:
    id: strawberry.ID
    name: str
    title: str
    base_url: str
    auth: JSON = strawberry.field(description="How its connections authenticate: `{kind, ...}`.")
    retry: JSON | None = strawberry.field(
        description="How its calls are made again where neither step nor action says."
    )
    limits: JSON | None = strawberry.field(
        description="How fast each of its connections may be called: `{requestsPerSecond, burst}`."
    )
    created_at: datetime
    updated_at: datetime
    notices: list[NoticeType] = strawberry.field(
        description="In the answer of `updateApp` with a `baseUrl`: versions, published or with runs under way, that "
        "would send a secret where the app was, though it is for some apps alone. Empty in any other place."
    )

    @classmethod
    def of(cls, app: model.App, told: Sequence[Notice] = ()) -> "AppType":
        return cls(
            id=strawberry.ID(str(app.id)),
            name=app.name,
            title=app.title,
            base_url=app.base_url,
            auth=JSON(dump_scheme(app.auth)),
            retry=JSON(dump_retry(app.retry)) if app.retry else None,
            limits=JSON(dump_limits(app.limits)) if app.limits else None,
            created_at=app.created_at,
            updated_at=app.updated_at,
            notices=[NoticeType.of(notice) for notice in told],
        )


@strawberry.input(description="An app to create.")
class AppInput:
    name: str
    base_url: str
    auth: JSON
    title: str = ""
    retry: JSON | None = None
    limits: JSON | None = None


@strawberry.input(description="What to change of an app; what is left out stays.")
class AppChanges:
    title: str | None = None
    base_url: str | None = None
    auth: JSON | None = None
    retry: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="null leaves it to the step types."
    )
    limits: JSON | None = strawberry.field(default=strawberry.UNSET, description="null takes them away.")


CreateAppPayload = Annotated[AppType | Failed, strawberry.union("CreateAppPayload")]
UpdateAppPayload = Annotated[AppType | Failed, strawberry.union("UpdateAppPayload")]
DeleteAppPayload = Annotated[Deleted | Failed, strawberry.union("DeleteAppPayload")]


@strawberry.type
class AppQuery:
    @query
    async def app(self, info: Info, name: str) -> AppType | None:
        """The app of this name; null when there is none."""
        found = await info.context.services.apps.get(info.context.caller, name)
        return AppType.of(found) if found else None

    @query
    async def apps(self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None) -> Page[AppType]:
        """The tenant's apps, by name."""
        found = await info.context.services.apps.list(info.context.caller, first, after)
        return page(found, AppType.of)


@strawberry.type
class AppMutation:
    @mutation
    async def create_app(self, info: Info, input: AppInput) -> CreateAppPayload:  # noqa: A002
        """Create an app."""
        new = model.NewApp(
            input.name,
            input.title,
            input.base_url,
            cast(Json, input.auth),
            cast(Json, input.retry),
            cast(Json, input.limits),
        )
        return AppType.of(await info.context.services.apps.create(info.context.caller, new))

    @mutation
    async def update_app(self, info: Info, name: str, input: AppChanges) -> UpdateAppPayload:  # noqa: A002
        """Change an app. Published workflow versions keep the base URL and the retry policy that they pinned. With a
        `baseUrl`, `notices` has those that would send a secret there which names its apps: their runs fail."""
        changes = model.AppChanges(
            input.title,
            input.base_url,
            cast(Json, input.auth),
            model.Keep.KEEP if input.retry is strawberry.UNSET else cast(Json, input.retry),
            model.Keep.KEEP if input.limits is strawberry.UNSET else cast(Json, input.limits),
        )
        services, caller = info.context.services, info.context.caller
        app = await services.apps.update(caller, name, changes)
        return AppType.of(
            app, () if input.base_url is None else await services.secrets.refusals_at(caller, name)
        )

    @mutation
    async def delete_app(self, info: Info, name: str) -> DeleteAppPayload:
        """Delete an app that has neither actions nor connections."""
        return Deleted(name=(await info.context.services.apps.delete(info.context.caller, name)).name)
