"""Whether and when a failed call is made again. Pure: the randomness is passed in."""

from random import Random

from headrace.outbound.call import CallFailure
from headrace.outbound.failures import CallCode
from headrace.workflow.document import RetryPolicy, RetryStrategy

_WORTH_IT = frozenset(
    {CallCode.TIMEOUT, CallCode.CONNECT_FAILED, CallCode.DNS_FAILED, CallCode.CONNECTION_LOST}
)
# A gateway's word that it had no answer: the call may have been carried out behind it.
_NOT_ANSWERED_BEHIND = frozenset({502, 504})
MAX_RETRY_AFTER_MS = 3_600_000


def in_doubt(failure: CallFailure, *, repeatable: bool) -> bool:
    """May the call have been carried out, with nobody to tell, while repeating it is not safe?"""
    return not repeatable and failure.sent and failure.status is None


def next_delay(
    policy: RetryPolicy, attempt: int, failure: CallFailure, rng: Random, *, repeatable: bool
) -> float | None:
    """Seconds until the next attempt; None when there is none. `attempt` counts those made, from 1.

    Worth it are timeouts, connections that failed or were lost, 408, 425, 429 and 5xx. `Retry-After` puts
    the attempt off further, to at most an hour, and never brings it forward.
    """
    if policy.strategy is RetryStrategy.NONE or attempt >= policy.max_attempts:
        return None
    if in_doubt(failure, repeatable=repeatable) or not _worth_it(failure, repeatable):
        return None
    initial, longest = policy.initial_delay_ms, policy.max_delay_ms
    match policy.strategy:
        case RetryStrategy.FIXED:
            delay = float(min(initial, longest))
        case RetryStrategy.EXPONENTIAL:
            delay = rng.uniform(0, min(initial * 2 ** (attempt - 1), longest))
    if failure.retry_after is not None:
        delay = max(delay, min(failure.retry_after * 1000, MAX_RETRY_AFTER_MS))
    return delay / 1000


def _worth_it(failure: CallFailure, repeatable: bool) -> bool:
    status = failure.status
    if not failure.code.startswith("HTTP_") or status is None:
        # An answer that broke off after its status: the call was carried out.
        return failure.code in _WORTH_IT and (repeatable or status is None)
    if not repeatable and status in _NOT_ANSWERED_BEHIND:
        return False
    return status in (408, 425, 429) or 500 <= status < 600
