"""Reading and writing the retry policy that steps and actions share."""

from headrace.json_types import Json, JsonObject
from headrace.workflow.document import ErrorClass, RetryPolicy, RetryStrategy
from headrace.workflow.reading import Fields, Reading

KEYS = ("strategy", "maxAttempts", "initialDelayMs", "maxDelayMs", "on")
MAX_ATTEMPTS = 50
MAX_DELAY_MS = 24 * 60 * 60 * 1000
DEFAULT_ATTEMPTS = 3


def read_retry(owner: Fields, name: str = "retry") -> RetryPolicy | None:
    """The policy under `name`, None when there is none or it is wrong.

    `maxAttempts` counts the first attempt too; left out it is 3, or 1 with strategy NONE.
    """
    if not owner.has(name):
        return None
    fields = owner.reading.fields(owner.any(name), owner.at(name), KEYS)
    if fields is None:
        return None
    fields.required("strategy", "Write NONE, FIXED or EXPONENTIAL.")
    strategy = fields.choice("strategy", RetryStrategy)
    attempts = fields.integer("maxAttempts", 1, MAX_ATTEMPTS)
    initial = fields.integer("initialDelayMs", 0, MAX_DELAY_MS)
    longest = fields.integer("maxDelayMs", 0, MAX_DELAY_MS)
    on = fields.choices("on", ErrorClass)
    if fields.any("on") == []:
        fields.wrong("on", "no failure is named", "Leave it out for the usual ones, or choose strategy NONE.")
    if strategy is None:
        return None
    if strategy is RetryStrategy.NONE and (attempts or 1) > 1:
        fields.wrong("maxAttempts", "strategy NONE makes one attempt", "Choose FIXED or EXPONENTIAL.")
    plain = RetryPolicy()
    return RetryPolicy(
        strategy,
        attempts or (1 if strategy is RetryStrategy.NONE else DEFAULT_ATTEMPTS),
        plain.initial_delay_ms if initial is None else initial,
        plain.max_delay_ms if longest is None else longest,
        on or (),
    )


def load_retry(stored: Json) -> RetryPolicy | None:
    """The policy that `dump_retry` wrote; None for none. Raises `InvalidInput`."""
    reading = Reading()
    fields = reading.fields({"retry": stored}, "", ("retry",)) if stored is not None else None
    policy = read_retry(fields) if fields is not None else None
    reading.finish()
    return policy


def dump_retry(retry: RetryPolicy) -> JsonObject:
    data: JsonObject = {
        "strategy": retry.strategy.value,
        "maxAttempts": retry.max_attempts,
        "initialDelayMs": retry.initial_delay_ms,
        "maxDelayMs": retry.max_delay_ms,
    }
    if retry.on:
        data["on"] = [found.value for found in retry.on]
    return data
