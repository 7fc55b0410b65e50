"""What is said of two versions from their counts, against figures from the literature and from plain reckoning."""

from fractions import Fraction
from math import comb

import pytest
from headrace_control.rollouts.statistics import fisher, wilson


@pytest.mark.parametrize(
    ("failed", "ended", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 0, 0.0, 1.0),
        (7, 7, 0.6457, 1.0),
    ],
)
def test_wilsons_interval(failed: int, ended: int, low: float, high: float) -> None:
    assert wilson(failed, ended) == pytest.approx((low, high), abs=0.0001)


def exact(failed_a: int, ended_a: int, failed_b: int, ended_b: int) -> Fraction:
    failed, ended = failed_a + failed_b, ended_a + ended_b
    ways = {n: comb(ended_a, n) * comb(ended_b, failed - n) for n in range(min(failed, ended_a) + 1)}
    return Fraction(sum(w for w in ways.values() if w <= ways[failed_a]), comb(ended, failed))


@pytest.mark.parametrize(
    "counts",
    [
        (3, 4, 1, 4),
        (1, 12, 9, 12),
        (0, 10, 0, 300),
        (30, 30, 0, 300),
        (5, 50, 50, 500),
        (0, 0, 3, 9),
        (2, 7, 2, 7),
    ],
)
def test_fishers_test_is_what_counting_gives(counts: tuple[int, int, int, int]) -> None:
    assert fisher(*counts) == pytest.approx(float(exact(*counts)), rel=1e-6)
    assert fisher(*counts[2:], *counts[:2]) == pytest.approx(fisher(*counts), rel=1e-6)


def test_fishers_test_of_the_tea_and_of_many_runs() -> None:
    assert fisher(3, 4, 1, 4) == pytest.approx(0.4857, abs=0.0001)
    assert fisher(450, 5_000, 4_500, 45_000) < 0.05
    assert fisher(500, 5_000, 4_500, 45_000) == pytest.approx(1.0, abs=0.02)
