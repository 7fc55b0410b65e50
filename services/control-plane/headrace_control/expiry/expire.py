"""Forgets what nobody can use any more."""

from datetime import timedelta

from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

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
# Hooks' messages, behind their ends.
HOOK_MESSAGES_KEPT = timedelta(days=30)


async def expire(pool: Pool, start_keys_kept: timedelta, dead_letters_kept: timedelta) -> int:
    """How many rows went. `pool` is of the role headrace_worker.

    Nothing goes of a run that has not ended: its start key still answers it, a redeemed token still allows the attempts
    of its call, and what it gave up on may be all that tells why it waits.
    """
    gone = 0
    for statement, kept in (
        (_sql.expire_start_keys, start_keys_kept),
        (_sql.expire_tokens, TOKENS_KEPT),
        (_sql.expire_firings, FIRINGS_KEPT),
        (_sql.expire_deliveries, DELIVERIES_KEPT),
        (_sql.expire_dry_runs, DRY_RUNS_KEPT),
        (_sql.expire_hook_messages, HOOK_MESSAGES_KEPT),
        (_sql.expire_dead_letters, dead_letters_kept),
        (_sql.expire_replays, dead_letters_kept),
    ):
        while True:
            async with transaction(pool) as db:
                went = len(await db.fetch(statement, kept, MOST))
            gone += went
            if went < MOST:
                break
    return gone
