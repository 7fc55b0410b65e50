"""Forgets what nobody can use any more."""

from dataclasses import dataclass
from datetime import timedelta

from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load
from headrace.workflow.grammar import MAX_CACHE_MS

_sql = load("headrace_control.expiry")

# Rows that go in one transaction.
MOST = 1_000
# Tokens of approvals are kept so long behind their time: the audit has who approved what for as long as it is kept.
TOKENS_KEPT = timedelta(days=30)
# What came of schedules' firings. A run says for good what started it.
FIRINGS_KEPT = timedelta(days=90)
# What came of webhooks' messages, their ids among it: far longer than a message's timestamp lets it be taken.
DELIVERIES_KEPT = timedelta(days=30)
# A dry run is read right after it was walked.
DRY_RUNS_KEPT = timedelta(days=1)
# Cached results of one tenant; beyond them those that end first go.
MOST_CACHED = 100_000
# Hooks' messages, behind their ends.
HOOK_MESSAGES_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Kept:
    """How long an operator keeps what; runs for good, where it is None."""

    start_keys: timedelta
    dead_letters: timedelta
    runs: timedelta | None = None


async def expire(pool: Pool, kept: Kept) -> int:
    """How many rows went. `pool` is of the role headrace_worker.

    Nothing goes of a run that has not ended: its start key still answers it, a redeemed token still allows the attempts
    of its call, and what it gave up on may be all that tells why it waits.
    """
    gone = 0
    for statement, time in (
        (_sql.expire_start_keys, kept.start_keys),
        (_sql.expire_tokens, TOKENS_KEPT),
        (_sql.expire_firings, FIRINGS_KEPT),
        (_sql.expire_deliveries, DELIVERIES_KEPT),
        (_sql.expire_dry_runs, DRY_RUNS_KEPT),
        (_sql.expire_hook_messages, HOOK_MESSAGES_KEPT),
        (_sql.expire_cached_results, timedelta(0)),
        (_sql.expire_forgotten_results, timedelta(milliseconds=MAX_CACHE_MS)),
        (_sql.expire_dead_letters, kept.dead_letters),
        (_sql.expire_replays, kept.dead_letters),
    ):
        while True:
            async with transaction(pool) as db:
                went = len(await db.fetch(statement, time, MOST))
            gone += went
            if went < MOST:
                break
    return gone + await _crowd_out(pool)


async def _crowd_out(pool: Pool) -> int:
    """Take from tenants what they have of cached results beyond `MOST_CACHED`."""
    gone = 0
    async with transaction(pool) as db:
        crowded = await db.fetch(_sql.crowded_with_results, MOST_CACHED)
    for row in crowded:
        over = row["over"]
        while over > 0:
            async with transaction(pool) as db:
                went = len(await db.fetch(_sql.crowd_out_cached_results, row["tenant_id"], min(over, MOST)))
            if not went:
                break
            gone, over = gone + went, over - went
    return gone


async def drop_months(pool: Pool, kept: timedelta) -> list[str]:
    """Months of runs that went, as YYYYMM. A month goes as a whole, when all of it is over and nobody needs a run of it
    any more; see migration 0045. `pool` is of the role headrace_worker. Raises `asyncpg.LockNotAvailableError` when
    somebody reads one of them for long."""
    gone: list[str] = []
    while True:
        async with transaction(pool) as db:
            month = await db.fetchval(_sql.drop_month, kept)
        if month is None:
            return gone
        gone.append(month)
