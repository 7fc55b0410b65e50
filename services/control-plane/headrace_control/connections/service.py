"""A tenant's credentials for its apps: written, replaced and deleted here, read by nobody through the API."""

from headrace.errors import Conflict, NotFound
from headrace.json_types import Json, JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.workflow.reading import Fields, Reading

from headrace_control.apps import repository as apps
from headrace_control.apps.auth_scheme import AuthScheme
from headrace_control.apps.limits import Limits, dump_limits, read_limits
from headrace_control.apps.model import Keep
from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.connections import repository
from headrace_control.connections.checks import read_base_url, read_config, read_secrets
from headrace_control.connections.model import Connection, ConnectionChanges, ConnectionStatus, NewConnection
from headrace_control.names import name_problems
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.vault.vault import Vault
from headrace_control.workflows.repository import require_unused

_CONNECTIONS = Cursor("connections")


class ConnectionService:
    """Connections, over a pool of the role headrace_api. Names identify connections and do not change."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def create(self, caller: Caller, new: NewConnection) -> Connection:
        """Raises `InvalidInput` with every problem, `NotFound` (the app), `Conflict` (the name is taken)."""
        caller.require(Permission.MANAGE_CONNECTIONS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            # Locked, so that its kind of auth does not change under the new connection.
            app = await apps.lock_app(db, caller.tenant_id, new.app)
            if app is None:
                raise NotFound("app")
            reading = Reading()
            reading.problems.extend(name_problems(new.name))
            base_url = read_base_url(reading, new.base_url)
            config = read_config(reading, app.auth, new.config)
            secrets = read_secrets(reading, app.auth, new.secrets, complete=True)
            limits = _limits(reading, new.limits)
            reading.finish()
            connection_id = await repository.insert_connection(
                db, caller.tenant_id, app.id, new.name, base_url, config, limits
            )
            if connection_id is None:
                raise Conflict("a connection of this name is already there")
            values = {
                repository.place_of(caller.tenant_id, connection_id, field): value
                for field, value in secrets.items()
            }
            await repository.put_secrets(
                db, caller.tenant_id, await self._vault.seal(db, caller.tenant_id, values)
            )
            made = await _found(db, caller, new.name)
            await record(db, caller, _act("connection.create", None, made))
            return made

    async def update(self, caller: Caller, name: str, changes: ConnectionChanges) -> Connection:
        """Change what is not secret. Another client or other scopes end the access token."""
        caller.require(Permission.MANAGE_CONNECTIONS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            connection = await _locked(db, caller, name)
            scheme = await _scheme(db, caller, connection)
            reading = Reading()
            base_url = connection.base_url
            if not isinstance(changes.base_url, Keep):
                base_url = read_base_url(reading, changes.base_url)
            config = connection.config
            if changes.config is not None:
                config = read_config(reading, scheme, changes.config)
            limits = connection.limits
            if not isinstance(changes.limits, Keep):
                limits = _limits(reading, changes.limits)
            reading.finish()
            await repository.update_connection(db, caller.tenant_id, connection.id, base_url, config, limits)
            if config != connection.config:
                await repository.forget_token(db, caller.tenant_id, connection.id)
            updated = await _found(db, caller, name)
            await record(db, caller, _act("connection.update", connection, updated))
            return updated

    async def rotate_secret(self, caller: Caller, name: str, secrets: object) -> Connection:
        """Replace the given secret fields. Access tokens of the old ones end, and so does a token error."""
        caller.require(Permission.MANAGE_CONNECTIONS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            connection = await _locked(db, caller, name)
            scheme = await _scheme(db, caller, connection)
            reading = Reading()
            given = read_secrets(reading, scheme, secrets, complete=False)  # type: ignore[arg-type]
            reading.finish()
            values = {
                repository.place_of(caller.tenant_id, connection.id, field): value
                for field, value in given.items()
            }
            await repository.put_secrets(
                db, caller.tenant_id, await self._vault.seal(db, caller.tenant_id, values)
            )
            await repository.forget_token(db, caller.tenant_id, connection.id)
            # Of values not even digests are kept: a short one could be guessed from its digest.
            detail: JsonObject = {"id": str(connection.id), "fields": [*sorted(given)]}
            await record(db, caller, Act("connection_secret.rotate", _target(connection), detail=detail))
            return await _found(db, caller, name)

    async def delete(self, caller: Caller, name: str) -> Connection:
        """Delete it with its secrets. Raises `Conflict` while a published version uses it."""
        caller.require(Permission.MANAGE_CONNECTIONS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            connection = await _locked(db, caller, name)
            await require_unused(db, caller.tenant_id, connection_id=connection.id)
            await repository.delete_connection(db, caller.tenant_id, connection.id)
            await record(db, caller, _act("connection.delete", connection, None))
            return connection

    async def get(self, caller: Caller, name: str) -> Connection | None:
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.find_connection(db, caller.tenant_id, name)

    async def list(
        self,
        caller: Caller,
        app: str | None,
        status: ConnectionStatus | None,
        first: int,
        after: str | None,
    ) -> PageOf[Connection]:
        """By name; `app` narrows to one app's, `status` to those of it."""
        caller.require(Permission.READ)
        limit, name = page_size(first), _CONNECTIONS.read_text(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.list_connections(db, caller.tenant_id, app, status, name, limit + 1)
        return page_of(found, limit, lambda connection: _CONNECTIONS.write(connection.name))


def _target(connection: Connection) -> str:
    return f"connection/{connection.name}"


def _act(action: str, before: Connection | None, after: Connection | None) -> Act:
    known = after or before
    if known is None:
        raise ValueError("an act has a connection")
    # Runs use a connection by its id: it is what leads from here to them.
    detail: JsonObject = {"id": str(known.id)}
    return Act(action, _target(known), _content(before), _content(after), detail=detail)


def _content(connection: Connection | None) -> JsonObject | None:
    if connection is None:
        return None
    return {
        "id": str(connection.id),
        "appId": str(connection.app_id),
        "baseUrl": connection.base_url,
        "config": connection.config,
        "secretFields": [*connection.secret_fields],
        "limits": dump_limits(connection.limits) if connection.limits else None,
    }


def _limits(reading: Reading, limits: Json) -> Limits | None:
    return None if limits is None else read_limits(Fields(reading, "", {"limits": limits}))


async def _locked(db: Db, caller: Caller, name: str) -> Connection:
    connection = await repository.lock_connection(db, caller.tenant_id, name)
    if connection is None:
        raise NotFound("connection")
    return connection


async def _found(db: Db, caller: Caller, name: str) -> Connection:
    connection = await repository.find_connection(db, caller.tenant_id, name)
    if connection is None:
        raise NotFound("connection")
    return connection


async def _scheme(db: Db, caller: Caller, connection: Connection) -> AuthScheme:
    return (await apps.apps_by_id(db, caller.tenant_id, [connection.app_id]))[connection.app_id].auth
