"""From the Authorization header to the caller."""

from collections.abc import Callable
from datetime import timedelta

from headrace.errors import Unauthenticated
from headrace.postgres.pool import Pool, one_statement
from headrace.postgres.queries import load

from headrace_control.auth.caller import Actor, ActorKind, Caller, Origin
from headrace_control.auth.keys import hash_key, is_key
from headrace_control.auth.permissions import scope_of
from headrace_control.auth.roles import Role
from headrace_control.auth.tokens import TokenKind, token_hash

_sql = load("headrace_control.auth")


class Authenticator:
    """Looks keys and sessions up in the database at each call, so that what is revoked ends at once.

    A session ends, too, when it was not used for `idle`.
    """

    def __init__(self, pool: Pool, idle: timedelta, refused: Callable[[str, str | None], None]) -> None:
        """`refused` is told what was shown in vain, and from which address."""
        self._pool, self._idle, self._refused = pool, idle, refused

    async def caller(self, authorization: str | None, origin: Origin | None = None) -> Caller:
        """Who shows `Bearer <key or session>` (RFC 6750). Raises `Unauthenticated` in the same words for every
        cause."""
        scheme, _, shown = (authorization or "").partition(" ")
        found = None
        if scheme.lower() == "bearer":
            found = await self._found(shown.strip(), origin or Origin())
        if found is None:
            if authorization:
                self._refused(shown.strip(), origin.address if origin else None)
            raise Unauthenticated("a valid API key or session is needed: Authorization: Bearer ...")
        return found

    async def _found(self, shown: str, origin: Origin) -> Caller | None:
        if is_key(shown):
            return await self._by_key(hash_key(shown), origin)
        session = token_hash(TokenKind.SESSION, shown)
        return await self._by_session(session, origin) if session else None

    async def _by_key(self, digest: bytes, origin: Origin) -> Caller | None:
        async with one_statement(self._pool) as db:
            row = await db.fetchrow(_sql.find_api_key, digest)
        if row is None:
            return None
        actor = Actor(ActorKind.API_KEY, row["id"], row["name"])
        scope = scope_of(row["permissions"])
        workflows = None if row["workflows"] is None else frozenset(row["workflows"])
        return Caller(
            row["tenant_id"],
            actor,
            Role(row["role"]),
            row["platform"],
            origin,
            scope,
            row["owner"],
            workflows,
        )

    async def _by_session(self, digest: bytes, origin: Origin) -> Caller | None:
        async with one_statement(self._pool) as db:
            row = await db.fetchrow(_sql.find_session, digest, self._idle)
        if row is None:
            return None
        actor = Actor(ActorKind.MEMBER, row["id"], row["name"])
        return Caller(row["tenant_id"], actor, Role(row["role"]), row["platform"], origin)
