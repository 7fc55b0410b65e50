"""Which runner is asking: short-lived sessions, opened with the fleet's enrolment token."""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from headrace.errors import Conflict, Unauthenticated
from headrace.pools import named, stored
from headrace.postgres.pool import Pool, one_statement, transaction
from headrace.postgres.queries import load
from headrace.refusals.audit import Refusal, Refused

from headrace_control.internal_api.models import SessionBody

_sql = load("headrace_control.internal_api")

# How long a session that was looked up is taken for open without another look, and how many are.
KEPT_SECONDS = 10.0
MAX_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class KnownRunner:
    """Who shows an open session: the runner, and the pool whose runs it advances."""

    id: UUID
    pool: str


class RunnerSessions:
    """Sessions of runners, over a pool of the role headrace_worker.

    The enrolment token is the fleet's own and opens sessions, nothing else. A runner pool that is among
    `pool_tokens` has one of its own, which enrols for that pool alone; the fleet's does not enrol for it. A session
    belongs to one runner for `lifetime`; its token is made by the runner, so that opening it again after a lost
    answer is the same session.
    """

    def __init__(
        self,
        pool: Pool,
        enrolment_token: str,
        lifetime: timedelta,
        refused: Refused,
        pool_tokens: Mapping[str, str] | None = None,
    ) -> None:
        self._pool, self._lifetime, self._refused = pool, lifetime, refused
        self._enrolment = enrolment_token.encode()
        self._of_pools = {name: token.encode() for name, token in (pool_tokens or {}).items()}
        self._kept: OrderedDict[bytes, tuple[KnownRunner, float]] = OrderedDict()

    async def open(self, authorization: str, body: SessionBody, address: str | None) -> float:
        """Open a session for who asks from `address`; for how many seconds it is good.

        By the enrolment token for a runner that has no open session, or by an open session of the same runner, of the
        same pool. Raises `Unauthenticated`, and `Conflict` when the runner's name is another's, or was one's of another
        pool.
        """
        by = _bearer(authorization)
        asking = KnownRunner(body.runner_id, body.pool)
        enrolling = hmac.compare_digest(by, self._of_pools.get(body.pool, self._enrolment))
        if not enrolling and await self._find(_hash(by)) != asking:
            self._note("runner_session.open", Unauthenticated.code, address)
            raise Unauthenticated("the internal API is for runners")
        pool = stored(body.pool)
        async with transaction(self._pool) as db:
            if enrolling and await db.fetchval(_sql.known_in_another_pool, body.runner_id, pool):
                self._note("runner_session.open", Conflict.code, address)
                raise Conflict("this runner is known in another pool; start the runner anew")
            opened = await db.fetchval(
                _sql.open_session,
                _hash(body.session.encode()),
                body.runner_id,
                self._lifetime,
                enrolling,
                pool,
            )
            if opened is None:
                self._note("runner_session.open", Conflict.code, address)
                raise Conflict("this runner has a session already; start the runner anew")
            await db.execute(_sql.forget_sessions)
        return self._lifetime.total_seconds()

    async def runner_of(self, authorization: str, address: str | None) -> KnownRunner:
        """The runner whose session this is, shown from `address`. Raises `Unauthenticated` in the same words for every
        cause."""
        hashed = _hash(_bearer(authorization))
        known = self._kept.get(hashed)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        runner = await self._find(hashed)
        if runner is None:
            self._kept.pop(hashed, None)
            if authorization:
                self._note("runner_session.use", Unauthenticated.code, address)
            raise Unauthenticated("the internal API is for runners")
        self._kept[hashed] = (runner, time.monotonic() + KEPT_SECONDS)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return runner

    def _note(self, action: str, code: str, address: str | None) -> None:
        self._refused(Refusal(action, "runner_session", code, address=address))

    async def _find(self, hashed: bytes) -> KnownRunner | None:
        async with one_statement(self._pool) as db:
            row = await db.fetchrow(_sql.find_session, hashed)
        return KnownRunner(row["runner_id"], named(row["pool"])) if row else None


def _bearer(authorization: str) -> bytes:
    scheme, _, token = authorization.partition(" ")
    return token.strip().encode() if scheme.lower() == "bearer" else b""


def _hash(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
