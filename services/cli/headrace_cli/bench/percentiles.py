"""Percentiles of a sample."""

from collections.abc import Sequence


def percentile(sample: Sequence[float], p: float) -> float:
    """The `p`th percentile (0 to 100), between the two nearest values; of an empty sample 0.

    As numpy's default and Postgres's `percentile_cont` have it, so that figures of both can stand side by side.
    """
    if not sample:
        return 0.0
    ordered = sorted(sample)
    place = (len(ordered) - 1) * p / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
