"""Logs people in: from a client's wish to a session, by way of the identity provider.

No session is made before the client that began shows its verifier, so there is none that another could fix or fetch;
and no token stands in an address.
"""

import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from headrace.errors import (
    Conflict,
    Expired,
    Forbidden,
    HeadraceError,
    InvalidInput,
    LimitExceeded,
    NotFound,
    Problem,
    Unauthenticated,
)
from headrace.json_types import JsonObject
from headrace.postgres.pool import Pool, tenant_transaction, transaction

from headrace_control.audit.record import Act, AuditOutcome, record
from headrace_control.auth.caller import Actor, ActorKind, Caller, Origin
from headrace_control.auth.tokens import TokenKind, mint_token, token_hash
from headrace_control.code_flow.answer import Ended, ProviderAnswer
from headrace_control.code_flow.pkce import STATE, new_verifier, s256
from headrace_control.code_flow.redirects import check_redirect
from headrace_control.login import repository
from headrace_control.login.model import LoginBegun, LoginWanted, NewSession, Pending
from headrace_control.login.provider import IdentityProvider
from headrace_control.members import repository as members
from headrace_control.members.model import Identity, Member, MemberStatus
from headrace_control.tenants.repository import find_tenant
from headrace_control.web.addresses import bucket_of

_log = structlog.get_logger(__name__)

LOGIN_LASTS = timedelta(minutes=10)
CODE_LASTS = timedelta(minutes=1)
# Log-ins that one address has begun and not finished, at most.
MOST_FROM_ONE_ADDRESS = 200
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class LoginRules:
    """`callback` is our own address at which the provider's answer arrives; `redirects` are allowed beside loopback."""

    callback: str
    redirects: Collection[str]
    sessions_last: timedelta


class LoginService:
    """Over a pool of the role headrace_api. Without a provider there is no log-in."""

    def __init__(self, pool: Pool, provider: IdentityProvider | None, rules: LoginRules) -> None:
        self._pool, self._provider, self._rules = pool, provider, rules

    @property
    def by_tls(self) -> bool:
        """Whether browsers reach us by https."""
        return self._rules.callback.startswith("https:")

    async def begin(self, wanted: LoginWanted, origin: Origin) -> LoginBegun:
        """Keep what is wanted, and send the browser to the provider. Raises `InvalidInput`, `LimitExceeded`."""
        provider = self._open()
        _check(wanted)
        redirect = check_redirect(
            wanted.redirect, self._rules.redirects, "a log-in", "HEADRACE_LOGIN_REDIRECTS"
        )
        state, browser = mint_token(TokenKind.LOGIN_STATE), mint_token(TokenKind.BROWSER)
        pending = Pending(
            nonce=secrets.token_urlsafe(32),
            verifier=new_verifier(),
            tenant=wanted.tenant,
            invitation_hash=token_hash(TokenKind.INVITATION, wanted.invitation),
            challenge=wanted.challenge,
            redirect=redirect,
            client_state=wanted.state,
        )
        location = await provider.authorization_url(
            self._rules.callback, state.text, pending.nonce, s256(pending.verifier)
        )
        subscriber = bucket_of(origin.address or "unknown")
        async with transaction(self._pool) as db:
            kept = await repository.begin(
                db, state.hash, browser.hash, pending, subscriber, LOGIN_LASTS, MOST_FROM_ONE_ADDRESS
            )
        if not kept:
            raise LimitExceeded("too many log-ins were begun from this address; try again in ten minutes")
        return LoginBegun(location, browser.text)

    async def finish(self, answer: ProviderAnswer, browser: str | None, origin: Origin) -> Ended:
        """Read the provider's answer, in the browser that began. Raises `Expired` unless it did; what fails later is
        for the client to hear."""
        self._open()
        state, seen = token_hash(TokenKind.LOGIN_STATE, answer.state), token_hash(TokenKind.BROWSER, browser)
        pending = None
        if state and seen:
            async with transaction(self._pool) as db:
                pending = await repository.take(db, state, seen)
        if pending is None:
            raise Expired("this log-in is over, or began in another browser; begin it anew")
        try:
            code = await self._identified(answer, pending, origin)
        except HeadraceError as failure:
            _log.warning("a log-in failed", code=failure.code, why=failure.message, tenant=pending.tenant)
            return Ended(pending.redirect, pending.client_state, failure=failure)
        return Ended(pending.redirect, pending.client_state, code)

    async def exchange(self, code: str, verifier: str, redirect: str, origin: Origin) -> NewSession:
        """A session for the code, once, to who has the verifier. Raises `Unauthenticated` in the same words for every
        cause."""
        refused = Unauthenticated("this code is not valid; log in anew")
        digest = token_hash(TokenKind.LOGIN_CODE, code)
        if digest is None:
            raise refused
        async with transaction(self._pool) as db:
            taken = await repository.take_code(db, digest)
        if taken is None:
            raise refused
        tenant_id, member_id, challenge, sent_to = taken
        fits = _VERIFIER.fullmatch(verifier) is not None and hmac.compare_digest(s256(verifier), challenge)
        if not fits or redirect != sent_to:
            raise refused
        token = mint_token(TokenKind.SESSION)
        async with tenant_transaction(self._pool, tenant_id) as db:
            ends = await repository.insert_session(
                db, tenant_id, member_id, token.hash, self._rules.sessions_last
            )
            member = await members.find_member(db, tenant_id, member_id)
            tenant = await find_tenant(db, tenant_id)
            if ends is None or member is None or tenant is None:
                raise refused
            await record(db, _as_caller(tenant_id, member, origin), Act("session.begin", _target(member)))
        return NewSession(token.text, ends, tenant.name, member.email, member.role)

    async def logout(self, caller: Caller, token: str) -> None:
        """End the caller's session, which `token` is. A key is none: `Conflict`."""
        digest = token_hash(TokenKind.SESSION, token)
        if digest is None or caller.actor.kind is not ActorKind.MEMBER:
            raise Conflict("this is no session; an API key is revoked instead")
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            if await repository.end_session(db, caller.tenant_id, digest) is not None:
                await record(db, caller, Act("session.end", f"member/{caller.actor.id}"))

    def _open(self) -> IdentityProvider:
        if self._provider is None:
            raise NotFound("log-in (this deployment has no HEADRACE_OIDC_ISSUER)")
        return self._provider

    async def _identified(self, answer: ProviderAnswer, pending: Pending, origin: Origin) -> str:
        """The code by which the client gets its session."""
        provider = self._open()
        await provider.check_issuer(answer.issuer)
        if answer.error is not None:
            raise Unauthenticated("the identity provider did not let this person in")
        if answer.code is None:
            raise Unauthenticated("the identity provider gave no code")
        identity = await provider.identify(
            answer.code,
            pending.verifier,
            self._rules.callback,
            pending.nonce,
            email=pending.invitation_hash is not None,
        )
        if pending.invitation_hash is not None:
            tenant_id, member_id = await self._accepted(pending.invitation_hash, identity, origin)
        else:
            tenant_id, member_id = await self._member(pending.tenant or "", identity)
        code = mint_token(TokenKind.LOGIN_CODE)
        async with tenant_transaction(self._pool, tenant_id) as db:
            await repository.put_code(db, tenant_id, member_id, code.hash, pending, CODE_LASTS)
        return code.text

    async def _member(self, tenant: str, identity: Identity) -> tuple[UUID, UUID]:
        async with transaction(self._pool) as db:
            found = await repository.find_member(db, tenant, identity.issuer, identity.subject)
        if found is None:
            raise Forbidden("you are no member of this tenant; ask its admin for an invitation")
        return found

    async def _accepted(self, code_hash: bytes, identity: Identity, origin: Origin) -> tuple[UUID, UUID]:
        async with transaction(self._pool) as db:
            found = await repository.find_invitation(db, code_hash)
        if found is None:
            raise Forbidden("this invitation was used, revoked, or is over; ask for another one")
        tenant_id, member_id, email = found
        if identity.email is None or not hmac.compare_digest(identity.email, email):
            await self._refused(tenant_id, member_id, origin)
            raise Forbidden(
                "this invitation is for another e-mail address, or the identity provider has not verified yours"
            )
        try:
            await self._join(tenant_id, member_id, code_hash, identity, origin)
        except Conflict:
            raise Conflict("you are a member of this tenant already, by another address") from None
        return tenant_id, member_id

    async def _join(
        self, tenant_id: UUID, member_id: UUID, code_hash: bytes, identity: Identity, origin: Origin
    ) -> None:
        async with tenant_transaction(self._pool, tenant_id) as db:
            member = await members.accept(db, tenant_id, member_id, code_hash, identity)
            if member is None:
                raise Forbidden("this invitation was used, revoked, or is over; ask for another one")
            after: JsonObject = {"email": member.email, "subject": identity.subject}
            await record(
                db,
                _as_caller(tenant_id, member, origin),
                Act("member.join", _target(member), after=after),
            )

    async def _refused(self, tenant_id: UUID, member_id: UUID, origin: Origin) -> None:
        async with tenant_transaction(self._pool, tenant_id) as db:
            member = await members.find_member(db, tenant_id, member_id)
            if member is not None and member.status is MemberStatus.INVITED:
                act = Act("member.join", _target(member), outcome=AuditOutcome.REFUSED)
                await record(db, _as_caller(tenant_id, member, origin), act)


def _check(wanted: LoginWanted) -> None:
    problems = []
    if not _CHALLENGE.fullmatch(wanted.challenge):
        mend = "give the SHA-256 of a verifier in base64url (PKCE, S256)"
        problems.append(Problem("challenge", "this is no challenge", mend))
    if not STATE.fullmatch(wanted.state):
        problems.append(Problem("state", "missing, or too long", "give a random text of 1 to 200 characters"))
    if (wanted.tenant is None) == (wanted.invitation is None):
        problems.append(Problem("tenant", "one of tenant and invitation is needed", "give one of them"))
    elif wanted.tenant is not None and not _TENANT.fullmatch(wanted.tenant):
        problems.append(Problem("tenant", "this is no tenant name", "give the tenant's name"))
    elif wanted.invitation is not None and token_hash(TokenKind.INVITATION, wanted.invitation) is None:
        problems.append(Problem("invitation", "this is no invitation code", "paste the whole of it: hi_..."))
    if problems:
        raise InvalidInput(problems)


def _as_caller(tenant_id: UUID, member: Member, origin: Origin) -> Caller:
    return Caller(tenant_id, Actor(ActorKind.MEMBER, member.id, member.email), member.role, origin=origin)


def _target(member: Member) -> str:
    return f"member/{member.id}"
