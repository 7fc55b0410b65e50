"""How many runners there should be: a pure rule, the one that KEDA and the horizontal autoscaler follow.

Sources: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ (algorithm, tolerance, stabilization
window of scale-downs), https://keda.sh/docs/latest/reference/scaledobject-spec/ (cooldownPeriod, which guards the way
to none alone).
"""

import math
from dataclasses import dataclass

# Within a tenth of the target nothing changes.
TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Rule:
    """`target` is the load of one runner, in runs. There are from `minimum` to `maximum` runners; one is taken away
    only when none of the last `stabilisation` seconds asked for it, and the last one only after `cool_down` seconds
    without any load, where `minimum` is 0."""

    target: float
    minimum: int
    maximum: int
    stabilisation: float
    cool_down: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What the rule knows of the past: how many runners were asked for at which second, and when there was load
    last."""

    asked: tuple[tuple[float, int], ...] = ()
    loaded_at: float | None = None


def follow(rule: Rule, memory: Memory, load: int | None, current: int, now: float) -> tuple[Memory, int]:
    """How many runners there should be now, where `current` are there, and what to remember.

    `load` is None while nobody can tell: then as many as there are were asked for. `now` is in seconds and never goes
    back.
    """
    desired = _within(rule, current if load is None else _desired(rule, load, current))
    recent = tuple((at, count) for at, count in memory.asked if now - at < rule.stabilisation)
    asked = (*recent, (now, desired))
    loaded_at = now if load != 0 or memory.loaded_at is None else memory.loaded_at
    remembered = Memory(asked, loaded_at)
    if desired >= current:
        return remembered, desired
    wanted = min(current, max(count for _, count in asked))
    if wanted == 0 and now - loaded_at < rule.cool_down:
        wanted = 1
    return remembered, _within(rule, wanted)


def _desired(rule: Rule, load: int, current: int) -> int:
    if current and abs(load / (rule.target * current) - 1) <= TOLERANCE:
        return current
    return math.ceil(load / rule.target)


def _within(rule: Rule, count: int) -> int:
    return max(rule.minimum, min(rule.maximum, count))
