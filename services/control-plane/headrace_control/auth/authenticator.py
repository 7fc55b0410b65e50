"""From the Authorization header to the caller."""

from headrace.errors import Unauthenticated
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

from headrace_control.auth.caller import Actor, ActorKind, Caller, Origin
from headrace_control.auth.keys import hash_key, is_key
from headrace_control.auth.permissions import scope_of
from headrace_control.auth.roles import Role

_sql = load("headrace_control.auth")


class Authenticator:
    """Looks keys up in the database at each call, so that a revoked key ends at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def caller(self, authorization: str | None, origin: Origin | None = None) -> Caller:
        """Who shows `Bearer <key>` (RFC 6750). Raises `Unauthenticated` in the same words for every cause."""
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        if scheme.lower() == "bearer" and is_key(key):
            async with transaction(self._pool) as db:
                row = await db.fetchrow(_sql.find_api_key, hash_key(key))
            if row is not None:
                actor = Actor(ActorKind.API_KEY, row["id"], row["name"])
                return Caller(
                    row["tenant_id"],
                    actor,
                    Role(row["role"]),
                    row["platform"],
                    origin or Origin(),
                    scope_of(row["permissions"]),
                )
        raise Unauthenticated("a valid API key is needed: Authorization: Bearer hr_...")
