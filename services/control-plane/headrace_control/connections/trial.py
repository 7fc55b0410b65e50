"""A connection test: one real call with the connection's credential, of which only the outcome is told."""

import re
from urllib.parse import urlsplit
from uuid import UUID

from headrace.errors import Conflict, InvalidInput, NotFound, Problem, Unavailable
from headrace.json_types import JsonObject
from headrace.outbound.auth import Credential
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.postgres.pool import Pool, tenant_transaction
from headrace.workflow.actions import endpoint_problem
from headrace.workflow.definition import AuthKind

from headrace_control.apps import repository as apps
from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.connections import repository
from headrace_control.connections.credentials import Credentials
from headrace_control.connections.model import CredentialUnreadable, RunCredential, TokenRefused, TrialResult
from headrace_control.policy import repository as policy
from headrace_control.policy.model import ApprovalClass

SECONDS = 15.0
# A test asks nobody's approval, so it changes nothing. (RFC 9110, 9.2.1)
METHODS = ("GET", "HEAD", "OPTIONS")
_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*")


class ConnectionTrial:
    """Tests connections through the guarded outbound client."""

    def __init__(self, pool: Pool, credentials: Credentials, outbound: OutboundClient) -> None:
        self._pool, self._credentials, self._outbound = pool, credentials, outbound

    async def run(self, caller: Caller, name: str, method: str, path: str) -> TrialResult:
        """Call `path` (may have a query; "" is the base URL itself) and say what came of it.

        Raises `NotFound`, `InvalidInput` (also for a method by which something could be changed), and `Conflict` when
        the policy lets no call to the app be made. A call that fails is a result.
        """
        caller.require(Permission.USE_CONNECTIONS)
        _check(method, path)
        connection_id, base_url = await self._find(caller, name)
        result = await self._call(caller, connection_id, base_url, method, path)
        detail: JsonObject = {
            "connectionId": str(connection_id),
            "host": urlsplit(base_url).hostname,
            "address": result.address,
            "status": result.status,
            "code": result.error_code,
        }
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            await record(db, caller, Act("connection.test", f"connection/{name}", detail=detail))
        return result

    async def _call(
        self, caller: Caller, connection_id: UUID, base_url: str, method: str, path: str
    ) -> TrialResult:
        credential = await self._credential(caller, connection_id)
        if isinstance(credential, TrialResult):
            return credential
        outcome = await self._outbound.send(
            OutboundCall(method, base_url.rstrip("/") + path if path else base_url, timeout=SECONDS),
            tenant_id=caller.tenant_id,
            credential=credential,
            refresh=lambda used: self._refreshed(caller, connection_id, used),
        )
        match outcome:
            case CallResult():
                words = f"the target answered {outcome.status}"
                return TrialResult(True, outcome.status, None, words, outcome.dialled, outcome.duration)
            case CallFailure():
                return TrialResult(
                    False, outcome.status, outcome.code, outcome.message, outcome.dialled, outcome.duration
                )

    async def _find(self, caller: Caller, name: str) -> tuple[UUID, str]:
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.find_connection(db, caller.tenant_id, name)
            if found is None:
                raise NotFound("connection")
            app = (await apps.apps_by_id(db, caller.tenant_id, [found.app_id]))[found.app_id]
            rule = (await policy.rules_of(db, caller.tenant_id, [app.name])).of_app(app.name)
            if rule is not None and rule.approval_class is ApprovalClass.C:
                raise Conflict(f"a policy rule lets no call to the app {app.name!r} be made")
            return found.id, found.base_url or app.base_url

    async def _credential(self, caller: Caller, connection_id: UUID) -> Credential | TrialResult:
        found = (await self._credentials.current(caller.tenant_id, [connection_id])).get(connection_id)
        if found is None:
            raise NotFound("connection")
        if isinstance(found, CredentialUnreadable):
            return _failed(found.CODE, found.MESSAGE)
        if found.credential.kind is not AuthKind.OAUTH2 or found.credential.fields:
            return found.credential
        try:
            refreshed = await self._credentials.refresh(caller.tenant_id, connection_id, found.version)
        except Unavailable as error:
            return _failed("TOKEN_UNAVAILABLE", error.message)
        if isinstance(refreshed, CredentialUnreadable):
            return _failed(refreshed.CODE, refreshed.MESSAGE)
        if isinstance(refreshed, TokenRefused):
            return _failed("TOKEN_REFUSED", refreshed.message)
        return refreshed.credential

    async def _refreshed(self, caller: Caller, connection_id: UUID, used: Credential) -> Credential | None:
        try:
            newer = await self._credentials.refresh(caller.tenant_id, connection_id, used.version)
        except Unavailable:
            return None
        return newer.credential if isinstance(newer, RunCredential) else None


def _check(method: str, path: str) -> None:
    problems = []
    if method not in METHODS:
        mend = (
            f"Write one of {', '.join(METHODS)}; for others write an action, whose calls keep to the policy."
        )
        problems.append(Problem("method", "a connection is not tested by this method", mend))
    plain, _, query = path.partition("?")
    if path and ("{" in plain or endpoint_problem(plain) or not _QUERY.fullmatch(query)):
        problems.append(Problem("path", "this is no path", "Write one such as /orders/1?full=true."))
    if problems:
        raise InvalidInput(problems)


def _failed(code: str, message: str) -> TrialResult:
    return TrialResult(False, None, code, message, None, 0.0)
