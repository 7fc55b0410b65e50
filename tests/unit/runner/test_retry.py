"""Which failed calls are made again, and when."""

from dataclasses import replace
from random import Random

import pytest
from headrace.outbound.call import CallFailure
from headrace.workflow.definition import (
    ActionDefinition,
    Idempotency,
    IdempotencyMode,
    PinnedAction,
)
from headrace.workflow.document import Document, ErrorClass, RetryPolicy, RetryStrategy, Step
from headrace.workflow.idempotency import may_repeat
from headrace_runner.retry import in_doubt, next_delay, policy_of
from hypothesis import given
from hypothesis import strategies as st

FIXED = RetryPolicy(RetryStrategy.FIXED, 3, 200, 10_000)
RNG = Random(1)


def http(status: int, retry_after: float | None = None) -> CallFailure:
    return CallFailure(f"HTTP_{status}", "", sent=True, status=status, retry_after=retry_after)


def delay(failure: CallFailure, *, repeatable: bool = True, policy: RetryPolicy = FIXED) -> float | None:
    return next_delay(policy, 1, failure, RNG, repeatable=repeatable)


@pytest.mark.parametrize(
    ("failure", "repeatable", "again"),
    [
        (CallFailure("TIMEOUT", "", sent=False), False, True),
        (CallFailure("TIMEOUT", "", sent=True), False, False),
        (CallFailure("TIMEOUT", "", sent=True), True, True),
        (CallFailure("TIMEOUT", "", sent=True, status=200), False, False),
        (CallFailure("TIMEOUT", "", sent=True, status=200), True, True),
        (CallFailure("CONNECTION_LOST", "", sent=True), False, False),
        (CallFailure("CONNECTION_LOST", "", sent=True), True, True),
        (CallFailure("CONNECTION_LOST", "", sent=True, status=200), False, False),
        (CallFailure("CONNECTION_LOST", "", sent=True, status=200), True, True),
        (CallFailure("CREDENTIAL_UNREADABLE", "", sent=False), False, True),
        (CallFailure("CONNECT_FAILED", "", sent=False), False, True),
        (CallFailure("CONNECT_FAILED", "", sent=True), False, False),
        (CallFailure("DNS_FAILED", "", sent=False), False, True),
        (CallFailure("TLS_FAILED", "", sent=False), True, False),
        (CallFailure("EGRESS_DENIED", "", sent=False), True, False),
        (CallFailure("INVALID_URL", "", sent=False), True, False),
        (CallFailure("CREDENTIAL_UNUSABLE", "", sent=False), True, False),
        (CallFailure("RESPONSE_TOO_LARGE", "", sent=True, status=200), True, False),
        (CallFailure("BAD_RESPONSE", "", sent=True, status=200), True, False),
        (CallFailure("TOO_MANY_REDIRECTS", "", sent=True), True, False),
        (http(400), True, False),
        (http(401), True, False),
        (http(404), True, False),
        (http(409), True, False),
        (http(422), True, False),
        (http(408), False, True),
        (http(425), False, True),
        (http(429), False, True),
        (http(500), False, True),
        (http(503), False, True),
        (http(502), True, True),
        (http(502), False, False),
        (http(504), False, False),
        (http(520), False, False),
        (http(522), False, False),
        (http(524), True, True),
        (http(524), False, False),
        (http(599), False, False),
        (http(521), False, True),
        (http(302), True, False),
    ],
)
def test_which_failures_are_worth_it(failure: CallFailure, *, repeatable: bool, again: bool) -> None:
    assert (delay(failure, repeatable=repeatable) is not None) == again


@pytest.mark.parametrize(
    ("sent", "status", "repeatable", "doubt"),
    [
        (True, None, False, True),
        (True, None, True, False),
        (False, None, False, False),
        (True, 500, False, False),
        (True, 504, False, True),
        (True, 524, False, True),
        (True, 504, True, False),
    ],
)
def test_in_doubt(sent: bool, status: int | None, *, repeatable: bool, doubt: bool) -> None:
    failure = CallFailure("TIMEOUT", "", sent=sent, status=status)
    assert in_doubt(failure, repeatable=repeatable) == doubt


@pytest.mark.parametrize("status", [503, 504])
def test_what_was_carried_out_is_neither_made_again_nor_in_doubt(status: int) -> None:
    failure = replace(http(status), carried_out=True)
    assert delay(failure, repeatable=False) is None
    assert not in_doubt(failure, repeatable=False)
    assert delay(failure, repeatable=True) is not None


def test_strategies() -> None:
    assert delay(http(503), policy=RetryPolicy(RetryStrategy.NONE, 5)) is None
    assert delay(http(503)) == 0.2
    assert delay(http(503), policy=replace(FIXED, initial_delay_ms=20_000)) == 10.0


@given(st.integers(1, 49), st.integers(0, 1000), st.integers(0, 100_000), st.randoms(use_true_random=False))
def test_exponential_is_full_jitter_under_its_caps(
    attempt: int, initial: int, longest: int, rng: Random
) -> None:
    policy = RetryPolicy(RetryStrategy.EXPONENTIAL, 50, initial, longest)
    seconds = next_delay(policy, attempt, http(503), rng, repeatable=True)
    assert seconds is not None
    assert 0 <= seconds <= min(initial * 2 ** (attempt - 1), longest) / 1000


def test_exponential_uses_its_whole_range() -> None:
    policy = RetryPolicy(RetryStrategy.EXPONENTIAL, 50, 1000, 60_000)
    drawn = [next_delay(policy, 4, http(503), RNG, repeatable=True) or 0.0 for _ in range(500)]
    assert min(drawn) < 1.0
    assert max(drawn) > 7.0


def test_attempts_are_counted_in_all() -> None:
    failure = http(503)
    made = [next_delay(FIXED, attempt, failure, RNG, repeatable=True) for attempt in (1, 2, 3, 4)]
    assert made == [0.2, 0.2, None, None]


@pytest.mark.parametrize(("asked", "given_"), [(0.0, 0.2), (0.1, 0.2), (5.0, 5.0), (10**6, 3600.0)])
def test_retry_after_puts_off_and_never_brings_forward(asked: float, given_: float) -> None:
    assert delay(http(429, asked)) == given_


@pytest.mark.parametrize(
    ("method", "mode", "repeatable"),
    [
        ("GET", IdempotencyMode.METHOD, True),
        ("HEAD", IdempotencyMode.METHOD, True),
        ("PUT", IdempotencyMode.METHOD, True),
        ("DELETE", IdempotencyMode.METHOD, True),
        ("OPTIONS", IdempotencyMode.METHOD, True),
        ("POST", IdempotencyMode.METHOD, False),
        ("PATCH", IdempotencyMode.METHOD, False),
        ("POST", IdempotencyMode.KEY, True),
        ("POST", IdempotencyMode.IDEMPOTENT, True),
        ("GET", IdempotencyMode.NONE, False),
    ],
)
def test_what_may_be_repeated(method: str, mode: IdempotencyMode, *, repeatable: bool) -> None:
    assert may_repeat(ActionDefinition("a", "b", method, "/", idempotency=Idempotency(mode))) == repeatable


def test_a_policy_that_names_failures_is_for_those_alone() -> None:
    limited = replace(FIXED, on=(ErrorClass.RATE_LIMITED, ErrorClass.TOKEN))
    assert delay(http(429), policy=limited) is not None
    assert delay(http(503), policy=limited) is None
    assert delay(CallFailure("TIMEOUT", "", sent=False), policy=limited) is None
    assert delay(CallFailure("TOKEN_REFUSED", "", sent=False), policy=limited) is not None
    assert delay(CallFailure("TOKEN_REFUSED", "", sent=False)) is None
    assert delay(CallFailure("TOKEN_UNAVAILABLE", "", sent=False)) is not None
    # Naming a failure does not make a call safe that is not.
    lost = replace(FIXED, on=(ErrorClass.CONNECTION, ErrorClass.SERVER_ERROR))
    assert delay(CallFailure("CONNECTION_LOST", "", sent=True), policy=lost, repeatable=False) is None
    assert delay(http(502), policy=lost, repeatable=False) is None


@pytest.mark.parametrize("written", ["step", "action", "app", "type", "nothing"])
def test_the_nearest_policy_counts(written: str) -> None:
    """Step over action over app over step type: each is there together with all those behind it."""
    order = ["step", "action", "app", "type"]
    there = order[order.index(written) :] if written in order else []

    def policy(place: str) -> RetryPolicy | None:
        return RetryPolicy(RetryStrategy.FIXED, order.index(place) + 2) if place in there else None

    action = ActionDefinition("shop", "get", "GET", "/x", retry=policy("action"))
    pinned = PinnedAction("r", 1, "https://shop.example", action, policy("app"))
    of_type = policy("type")
    document = Document("w", (), retries={"action": of_type} if of_type else {})
    found = policy_of(Step("a", retry=policy("step")), pinned, document)
    assert found == (policy(written) if there else RetryPolicy())
