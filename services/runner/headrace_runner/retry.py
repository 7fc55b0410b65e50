"""Whether and when a failed call is made again. Pure: the randomness is passed in."""

from random import Random

from headrace.outbound.call import CallFailure
from headrace.outbound.failures import CallCode
from headrace.workflow.definition import PinnedAction
from headrace.workflow.document import Document, ErrorClass, RetryPolicy, RetryStrategy, Step
from headrace.workflow.idempotency import NOT_ANSWERED_BEHIND
from headrace.workflow.keys import read_key
from headrace.workflow.state import StepState, StepStatus

_CLASS_OF = {
    CallCode.TIMEOUT: ErrorClass.TIMEOUT,
    CallCode.CONNECT_FAILED: ErrorClass.CONNECTION,
    CallCode.DNS_FAILED: ErrorClass.CONNECTION,
    CallCode.CONNECTION_LOST: ErrorClass.CONNECTION,
    "TOKEN_UNAVAILABLE": ErrorClass.TOKEN,
    "CREDENTIAL_UNREADABLE": ErrorClass.TOKEN,
    "TOKEN_REFUSED": ErrorClass.TOKEN,
}
MAX_RETRY_AFTER_MS = 3_600_000


def policy_of(step: Step, pinned: PinnedAction, document: Document) -> RetryPolicy:
    """The policy of a step's calls: the step's own, else its action's, its app's, its step type's, else none."""
    default = document.retries.get(step.type)
    return step.retry or pinned.definition.retry or pinned.retry or default or RetryPolicy()


def retries_of(key: str, row: StepState) -> int:
    """The retries that a row was granted: its attempts beyond the first, if it does a step's own work.

    One that goes on has been granted an attempt for each that ended. Rounds of a repeat are no retries.
    """
    if not row.attempts or read_key(key).part is not None:
        return 0
    open_ = row.status in (StepStatus.RUNNING, StepStatus.WAITING)
    return max(row.attempts - row.round - (0 if open_ else 1), 0)


def in_doubt(failure: CallFailure, *, repeatable: bool) -> bool:
    """May the call have been carried out, with nobody to tell, while repeating it is not safe?"""
    if repeatable or not failure.sent or failure.carried_out:
        return False
    return failure.status is None or failure.status in NOT_ANSWERED_BEHIND


def class_of(failure: CallFailure) -> ErrorClass | None:
    """The kind of failure, as retry policies name it; None for one that no policy can name."""
    status = failure.status
    if not failure.code.startswith("HTTP_") or status is None:
        return _CLASS_OF.get(failure.code)
    if status == 429:
        return ErrorClass.RATE_LIMITED
    return ErrorClass.SERVER_ERROR if status in (408, 425) or 500 <= status < 600 else None


def worth_it(policy: RetryPolicy, failure: CallFailure, *, repeatable: bool) -> bool:
    """Whether the policy makes the call again after this failure, were there attempts left.

    A policy that names no failures takes timeouts, connections that failed or were lost, 408, 425, 429, 5xx, and a
    token endpoint that is away. A call that can not be repeated is not, whatever the policy says, once it may have
    been carried out.
    """
    kind = class_of(failure)
    if policy.strategy is RetryStrategy.NONE or kind is None or in_doubt(failure, repeatable=repeatable):
        return False
    if policy.on and kind not in policy.on:
        return False
    if failure.code == "TOKEN_REFUSED" and not policy.on:
        return False
    if repeatable or failure.status is None:
        return True
    return failure.code.startswith("HTTP_") and not failure.carried_out


def next_delay(
    policy: RetryPolicy, attempt: int, failure: CallFailure, rng: Random, *, repeatable: bool
) -> float | None:
    """Seconds until the next attempt; None when there is none. `attempt` counts those made, from 1.

    `Retry-After` puts the attempt off further, to at most an hour, and never brings it forward.
    """
    if attempt >= policy.max_attempts or not worth_it(policy, failure, repeatable=repeatable):
        return None
    initial, longest = policy.initial_delay_ms, policy.max_delay_ms
    match policy.strategy:
        case RetryStrategy.EXPONENTIAL:
            delay = rng.uniform(0, min(initial * 2 ** (attempt - 1), longest))
        case _:
            delay = float(min(initial, longest))
    if failure.retry_after is not None:
        delay = max(delay, min(failure.retry_after * 1000, MAX_RETRY_AFTER_MS))
    return delay / 1000
