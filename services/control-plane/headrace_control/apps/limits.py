"""How fast an app, or one of its connections, may be called: as designers write it, checked, and back."""

import math
from dataclasses import dataclass

from headrace.json_types import Json, JsonObject
from headrace.workflow.reading import Fields, Reading

KEYS = ("requestsPerSecond", "burst")
LEAST_RATE, MOST_RATE = 0.001, 10_000.0
MOST_BURST = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Calls per second on average, and how many at once after a pause."""

    requests_per_second: float
    burst: int


def read_limits(owner: Fields, name: str = "limits") -> Limits | None:
    """The limits under `name`, None when there are none or they are wrong.

    `burst` left out is the calls of one second, one at least.
    """
    if not owner.has(name):
        return None
    fields = owner.reading.fields(owner.any(name), owner.at(name), KEYS)
    if fields is None:
        return None
    rate = fields.any("requestsPerSecond")
    burst = fields.integer("burst", 1, MOST_BURST)
    fits = isinstance(rate, int | float) and not isinstance(rate, bool) and LEAST_RATE <= rate <= MOST_RATE
    if not fits or not isinstance(rate, int | float):
        mend = f"Write a number from {LEAST_RATE} to {MOST_RATE:.0f}."
        fields.wrong("requestsPerSecond", "no such rate can be kept", mend)
        return None
    return Limits(float(rate), burst or max(math.ceil(rate), 1))


def load_limits(stored: Json) -> Limits | None:
    """The limits that `dump_limits` wrote; None for none. Raises `InvalidInput`."""
    reading = Reading()
    fields = reading.fields({"limits": stored}, "", ("limits",)) if stored is not None else None
    limits = read_limits(fields) if fields is not None else None
    reading.finish()
    return limits


def dump_limits(limits: Limits) -> JsonObject:
    return {"requestsPerSecond": limits.requests_per_second, "burst": limits.burst}
