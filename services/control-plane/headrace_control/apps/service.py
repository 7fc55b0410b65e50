"""The external APIs that a tenant's workflows call."""

from collections.abc import Sequence
from uuid import UUID

from headrace.errors import Conflict, NotFound
from headrace.json_types import JsonObject
from headrace.outbound.target import parse_target
from headrace.postgres.pool import Pool, tenant_transaction
from headrace.workflow.reading import Reading
from headrace.workflow.retry import dump_retry, read_retry

from headrace_control.apps import repository
from headrace_control.apps.auth_scheme import AuthScheme, dump_scheme, read_scheme, read_url
from headrace_control.apps.limits import dump_limits, read_limits
from headrace_control.apps.model import App, AppChanges, AppFields, Keep, NewApp
from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.names import name_problems
from headrace_control.pages import Cursor, PageOf, page_of, page_size

_APPS = Cursor("apps")
MAX_TITLE = 200


class AppService:
    """Apps, over a pool of the role headrace_api. Names identify apps and do not change."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, caller: Caller, new: NewApp) -> App:
        """Raises `InvalidInput` with every problem, `Conflict` when the name is taken."""
        caller.require(Permission.DESIGN)
        written = _check(new)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            app = await repository.insert_app(db, caller.tenant_id, new.name, written)
            if app is None:
                raise Conflict("an app of this name is already there")
            await record(db, caller, Act("app.create", f"app/{app.name}", after=_content(app)))
        return app

    async def update(self, caller: Caller, name: str, changes: AppChanges) -> App:
        """Change an app. Published versions keep the base URL and the retry policy that they pinned.

        While an app has connections, its kind of auth stays, and where their secrets are sent is moved only by
        those who manage connections: else a designer could have them sent anywhere. So it is while a secret names it.
        """
        caller.require(Permission.DESIGN)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            app = await repository.lock_app(db, caller.tenant_id, name)
            if app is None:
                raise NotFound("app")
            written = _check(_changed(app, changes))
            scheme = written.auth
            uses = await repository.app_uses(db, caller.tenant_id, app.id)
            if uses.connections and scheme.kind is not app.auth.kind:
                raise Conflict("the app has connections, so its kind of auth can not change")
            moved = _destinations(written.base_url, scheme) != _destinations(app.base_url, app.auth)
            if moved and (uses.connections or uses.secrets):
                caller.require(Permission.MANAGE_CONNECTIONS)
            updated = await repository.update_app(db, caller.tenant_id, app.id, written)
            change = Act("app.update", f"app/{name}", _content(app), _content(updated))
            await record(db, caller, change)
            return updated

    async def delete(self, caller: Caller, name: str) -> App:
        """Delete an app that has neither actions nor connections; revisions are for ever. Raises `Conflict`."""
        caller.require(Permission.DESIGN)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            app = await repository.lock_app(db, caller.tenant_id, name)
            if app is None:
                raise NotFound("app")
            uses = await repository.app_uses(db, caller.tenant_id, app.id)
            if uses.actions or uses.connections:
                raise Conflict("the app is in use: it has actions or connections")
            if uses.secrets:
                raise Conflict("the app is in use: secrets name it; set them for other apps first")
            await repository.delete_app(db, caller.tenant_id, app.id)
            await record(db, caller, Act("app.delete", f"app/{name}", before=_content(app)))
            return app

    async def get(self, caller: Caller, name: str) -> App | None:
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.find_app(db, caller.tenant_id, name)

    async def by_id(self, caller: Caller, ids: Sequence[UUID]) -> dict[UUID, App]:
        """Those of the tenant's apps that are among `ids`."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.apps_by_id(db, caller.tenant_id, ids)

    async def list(self, caller: Caller, first: int, after: str | None) -> PageOf[App]:
        """By name."""
        caller.require(Permission.READ)
        limit, name = page_size(first), _APPS.read_text(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.list_apps(db, caller.tenant_id, name, limit + 1)
        return page_of(found, limit, lambda app: _APPS.write(app.name))


def _content(app: App) -> JsonObject:
    return {
        "title": app.title,
        "baseUrl": app.base_url,
        "auth": dump_scheme(app.auth),
        "retry": dump_retry(app.retry) if app.retry else None,
        "limits": dump_limits(app.limits) if app.limits else None,
    }


def _changed(app: App, changes: AppChanges) -> NewApp:
    retry = changes.retry
    if isinstance(retry, Keep):
        retry = dump_retry(app.retry) if app.retry else None
    limits = changes.limits
    if isinstance(limits, Keep):
        limits = dump_limits(app.limits) if app.limits else None
    return NewApp(
        app.name,
        app.title if changes.title is None else changes.title,
        app.base_url if changes.base_url is None else changes.base_url,
        dump_scheme(app.auth) if changes.auth is None else changes.auth,
        retry,
        limits,
    )


def _check(app: NewApp) -> AppFields:
    reading = Reading()
    reading.problems.extend(name_problems(app.name))
    if len(app.title) > MAX_TITLE:
        reading.add("title", f"a title has at most {MAX_TITLE} characters", "Make it shorter.")
    given: JsonObject = {"baseUrl": app.base_url}
    if app.retry is not None:
        given["retry"] = app.retry
    if app.limits is not None:
        given["limits"] = app.limits
    fields = reading.fields(given, "", ("baseUrl", "retry", "limits"))
    retry, limits = None, None
    if fields is not None:
        read_url(fields, "baseUrl", query=False)
        retry, limits = read_retry(fields), read_limits(fields)
    scheme = read_scheme(reading, app.auth, "auth")
    reading.finish()
    assert scheme is not None  # noqa: S101 - a reading without problems made one
    return AppFields(app.title, app.base_url, scheme, retry, limits)


def _destinations(base_url: str, scheme: AuthScheme) -> Sequence[tuple[str, str, int] | None]:
    """The origin of each place where secrets of the app are sent, and people to agree; in a fixed order, for two that
    change places get each other's secrets."""
    places = (base_url, scheme.token_url, scheme.authorization_url)
    return [parse_target(url).origin if url else None for url in places]
