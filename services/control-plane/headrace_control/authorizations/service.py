"""From a wish to authorize a connection to its tokens, by way of the provider (RFC 6749, 4.1, with PKCE).

Only the actor who began an authorization finishes it, with a code that went to a browser which the provider sent back:
so neither is somebody's consent attached to another's connection, nor another's account to theirs.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from headrace.errors import (
    Conflict,
    Expired,
    HeadraceError,
    InvalidInput,
    LimitExceeded,
    NotFound,
    Problem,
    ProviderRefused,
    Unavailable,
)
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.outbound.client import OutboundClient
from headrace.outbound.oauth2 import TokenFailure, TokenFailureKind, TokenGrant, request_token
from headrace.postgres.pool import Db, Pool, tenant_transaction, transaction

from headrace_control.apps import repository as apps
from headrace_control.apps.auth_scheme import AuthScheme, GrantKind, dump_scheme
from headrace_control.audit.record import Act, AuditOutcome, Part, digest_of, record
from headrace_control.auth.caller import Actor, ActorKind, Caller, Origin
from headrace_control.auth.permissions import Permission
from headrace_control.auth.tokens import TokenKind, mint_token, token_hash
from headrace_control.authorizations import repository
from headrace_control.authorizations.model import AuthorizationBegun, AuthorizationWanted, Pending
from headrace_control.code_flow.answer import Ended, ProviderAnswer, with_query
from headrace_control.code_flow.pkce import STATE, new_verifier, s256
from headrace_control.code_flow.redirects import check_redirect
from headrace_control.connections import repository as connections
from headrace_control.connections.assembly import client_id, code_request, fields_of, is_complete, scope
from headrace_control.connections.grants import bounded, keep_grant
from headrace_control.connections.model import Connection, CredentialUnreadable
from headrace_control.connections.repository import SealedCredential
from headrace_control.connections.turns import Turns
from headrace_control.vault.vault import Vault

_log = structlog.get_logger(__name__)

LASTS = timedelta(minutes=10)
CODE_LASTS = timedelta(minutes=5)
# Of one connection, on their way at once.
MOST = 10
# RFC 6749, 4.1.2.1, and OpenID Connect Core, 3.1.2.6. What else a provider says is not taken over.
_ERRORS = frozenset(
    {
        "invalid_request",
        "unauthorized_client",
        "access_denied",
        "unsupported_response_type",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "interaction_required",
        "login_required",
        "account_selection_required",
        "consent_required",
    }
)


@dataclass(frozen=True, slots=True)
class AuthorizationRules:
    """`callback` is our own address at which the provider's answer arrives; `redirects` are allowed beside loopback.
    A token endpoint has `token_seconds`."""

    callback: str
    redirects: Collection[str]
    token_seconds: float


class AuthorizationService:
    """Over a pool of the role headrace_api. `turns` are those of token refreshes."""

    def __init__(
        self, pool: Pool, vault: Vault, outbound: OutboundClient, turns: Turns, rules: AuthorizationRules
    ) -> None:
        self._pool, self._vault, self._outbound = pool, vault, outbound
        self._turns, self._rules = turns, rules

    async def begin(self, caller: Caller, wanted: AuthorizationWanted) -> AuthorizationBegun:
        """Keep what is wanted, and say where the browser goes. Raises `NotFound` (the connection), `InvalidInput`,
        `Conflict` when its app has no authorization codes, `LimitExceeded`."""
        caller.require(Permission.MANAGE_CONNECTIONS)
        if not STATE.fullmatch(wanted.state):
            mend = "give a random text of 1 to 200 letters, digits and ._~-"
            raise InvalidInput([Problem("state", "missing, or too long", mend)])
        setting = "HEADRACE_AUTHORIZATION_REDIRECTS"
        check_redirect(wanted.redirect, self._rules.redirects, "an authorization", setting)
        state, verifier, tenant_id = (
            mint_token(TokenKind.AUTHORIZATION_STATE),
            new_verifier(),
            caller.tenant_id,
        )
        async with tenant_transaction(self._pool, tenant_id) as db:
            # Locked, so that those who begin at once count each other.
            connection = await connections.lock_connection(db, tenant_id, wanted.connection)
            if connection is None:
                raise NotFound("connection")
            auth = (await apps.apps_by_id(db, tenant_id, [connection.app_id]))[connection.app_id].auth
            if auth.grant is not GrantKind.AUTHORIZATION_CODE:
                raise Conflict("the connection's app does not authenticate by authorization codes")
            pending = repository.new_pending(
                new_id(),
                connection.id,
                caller.actor,
                wanted.redirect,
                wanted.state,
                _digest(auth, connection.config),
            )
            over = await repository.begin(db, tenant_id, state.hash, pending, LASTS, MOST)
            if over is None:
                raise LimitExceeded(
                    "too many authorizations of this connection are on their way; wait ten minutes"
                )
            await repository.put(db, self._vault, tenant_id, pending, repository.VERIFIER, verifier)
            detail: JsonObject = {"id": str(connection.id), "authorization": str(pending.id)}
            act = Act("connection.authorize", f"connection/{connection.name}", detail=detail)
            await record(db, caller, act)
        asked = {
            "response_type": "code",
            "client_id": client_id(connection.config),
            "redirect_uri": self._rules.callback,
            "state": state.text,
            "code_challenge": s256(verifier),
            "code_challenge_method": "S256",
        }
        if scopes := scope(connection.config, auth):
            asked["scope"] = scopes
        return AuthorizationBegun(with_query(auth.authorization_url, asked), self._rules.callback, over)

    async def answer(self, answer: ProviderAnswer, origin: Origin) -> Ended:
        """Keep the provider's code, once, and give the browser ours. Raises `Expired` for a state that is not on its
        way; what else is wrong is for the client to hear."""
        over = Expired("this authorization is over; begin it anew")
        state = token_hash(TokenKind.AUTHORIZATION_STATE, answer.state)
        if state is None:
            raise over
        async with transaction(self._pool) as db:
            tenant_id = await repository.tenant_of(db, state)
        if tenant_id is None:
            raise over
        async with tenant_transaction(self._pool, tenant_id) as db:
            pending = await repository.lock_by_state(db, tenant_id, state)
            if pending is None:
                raise over
            try:
                code = await self._code(db, tenant_id, pending, answer)
            except (ProviderRefused, Conflict) as failure:
                await repository.end(db, tenant_id, pending)
                await _note(db, tenant_id, pending, origin, failure)
                return Ended(pending.redirect, pending.client_state, failure=failure)
            minted = mint_token(TokenKind.AUTHORIZATION_CODE)
            await repository.put(db, self._vault, tenant_id, pending, repository.CODE, code)
            await repository.answered(db, tenant_id, pending, minted.hash, CODE_LASTS)
            await _note(db, tenant_id, pending, origin)
        return Ended(pending.redirect, pending.client_state, minted.text)

    async def finish(self, caller: Caller, code: str) -> Connection:
        """Take the provider's code to the token endpoint. Raises `NotFound` in the same words for every code that is
        not the caller's own of now, `Conflict`, `ProviderRefused`, `Unavailable`; then it is to be begun anew."""
        caller.require(Permission.MANAGE_CONNECTIONS)
        tenant_id, digest = caller.tenant_id, token_hash(TokenKind.AUTHORIZATION_CODE, code)
        taken = None
        if digest is not None:
            async with tenant_transaction(self._pool, tenant_id) as db:
                taken = await repository.take_by_code(db, self._vault, tenant_id, digest)
        # Whoever else shows it has it from where it was not meant to go, so it is used up.
        if taken is None or not taken[0].began_by(caller.actor):
            raise NotFound("authorization")
        pending, parts = taken
        async with tenant_transaction(self._pool, tenant_id) as db:
            endpoint = await connections.token_endpoint(db, tenant_id, pending.connection_id)
        if endpoint is None:
            raise NotFound("authorization")
        async with self._turns.of(tenant_id, endpoint), tenant_transaction(self._pool, tenant_id) as db:
            outcome = await self._exchange(db, caller, pending, parts)
        if isinstance(outcome, TokenFailure):
            raise _refused(outcome)
        return outcome

    async def _code(self, db: Db, tenant_id: UUID, pending: Pending, answer: ProviderAnswer) -> str:
        """The provider's code. Raises `ProviderRefused`, and `Conflict` when the app was changed meanwhile."""
        sealed = await connections.sealed_credentials(db, tenant_id, [pending.connection_id], timedelta())
        if not sealed or _digest(sealed[0].auth, sealed[0].config) != pending.provider:
            raise _changed()
        issuer = sealed[0].auth.issuer
        # RFC 9207: an answer that another provider gave is not to be taken to this one's token endpoint.
        if issuer and answer.issuer != issuer:
            raise ProviderRefused("the answer is not this provider's", "wrong_issuer")
        if answer.error is not None:
            reason = answer.error if answer.error in _ERRORS else "unknown_error"
            raise ProviderRefused(f"the provider answered {reason}", reason)
        if answer.code is None:
            raise ProviderRefused("the provider gave no code", "no_code")
        return answer.code

    async def _exchange(
        self, db: Db, caller: Caller, pending: Pending, parts: dict[str, str]
    ) -> Connection | TokenFailure:
        tenant_id, connection_id = caller.tenant_id, pending.connection_id
        sealed = await connections.lock_credential(db, tenant_id, connection_id, timedelta())
        if sealed is None:
            raise NotFound("authorization")
        if _digest(sealed.auth, sealed.config) != pending.provider:
            raise _changed()
        values = fields_of(await self._vault.unseal(tenant_id, sealed.fields), connection_id)
        if not is_complete(sealed, values) or parts.keys() != {repository.VERIFIER, repository.CODE}:
            raise Conflict(CredentialUnreadable.MESSAGE)
        request = code_request(
            sealed,
            values,
            self._rules.token_seconds,
            parts[repository.CODE],
            self._rules.callback,
            parts[repository.VERIFIER],
        )
        outcome = await request_token(self._outbound, request, tenant_id=tenant_id)
        if isinstance(outcome, TokenGrant):
            return await self._keep(db, caller, pending, sealed, values, outcome)
        detail: JsonObject = {"authorization": str(pending.id), "code": outcome.code}
        name = await repository.connection_name(db, tenant_id, connection_id)
        act = Act("authorization.finish", f"connection/{name}", outcome=AuditOutcome.REFUSED, detail=detail)
        await record(db, caller, act)
        return outcome

    async def _keep(
        self,
        db: Db,
        caller: Caller,
        pending: Pending,
        sealed: SealedCredential,
        values: dict[str, str],
        grant: TokenGrant,
    ) -> Connection:
        tenant_id, connection_id = caller.tenant_id, pending.connection_id
        await connections.authorized(db, tenant_id, connection_id, caller.actor.name)
        _, detail = await keep_grant(db, self._vault, tenant_id, sealed, values, grant)
        if grant.refresh_token is None:
            ends = bounded(grant.expires_in)
            await connections.authorization_ends(db, tenant_id, connection_id, ends)
        name = await repository.connection_name(db, tenant_id, connection_id)
        detail = {**detail, "id": str(connection_id), "authorization": str(pending.id)}
        await record(db, caller, Act("authorization.finish", f"connection/{name}", detail=detail))
        found = await connections.find_connection(db, tenant_id, name)
        if found is None:
            raise NotFound("connection")
        return found


def _digest(auth: AuthScheme, config: JsonObject) -> bytes:
    """Of all that says whom a code comes from, and whom it is taken to as whom."""
    digest = digest_of({"auth": dump_scheme(auth), "config": config})
    if digest is None:
        raise ValueError("there is a digest of something")
    return digest


def _changed() -> Conflict:
    return Conflict("the app or the connection was changed since the authorization began; begin it anew")


def _refused(failure: TokenFailure) -> HeadraceError:
    match failure.kind:
        case TokenFailureKind.UNAVAILABLE:
            return Unavailable(f"{failure.message}; begin the authorization anew")
        case TokenFailureKind.INVALID_GRANT:
            words = "the token endpoint answered invalid_grant: it does not take the code"
            return ProviderRefused(words, failure.code)
        case TokenFailureKind.REJECTED:
            return ProviderRefused(failure.message, failure.code)


async def _note(
    db: Db, tenant_id: UUID, pending: Pending, origin: Origin, failure: HeadraceError | None = None
) -> None:
    """Whoever holds the state acts, whoever that is."""
    detail: JsonObject = {"authorization": str(pending.id)}
    if failure is not None:
        detail["code"] = failure.reason if isinstance(failure, ProviderRefused) else failure.code
        _log.warning("an authorization failed", code=detail["code"], tenant=str(tenant_id))
    actor = Actor(ActorKind.CALLBACK, pending.id, "authorization")
    name = await repository.connection_name(db, tenant_id, pending.connection_id)
    outcome = AuditOutcome.DONE if failure is None else AuditOutcome.REFUSED
    act = Act("authorization.answer", f"connection/{name}", outcome=outcome, detail=detail)
    await record(db, Part(tenant_id, actor, origin), act)
