"""Whether two versions fail differently often, said from counts alone."""

from math import exp, lgamma, sqrt

Z = 1.959964
"""Of a normal distribution: 95% of it lie within."""

SIGNIFICANT = 0.01
"""Below this a difference is called one. Not the usual 0.05: people look again and again while a rollout goes on."""


def wilson(failed: int, ended: int) -> tuple[float, float]:
    """The bounds, 0 to 1, that hold the true rate of failures with 95% confidence; (0, 1) when nothing has ended.

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927: unlike the normal
    approximation it is right for few runs and for rates near 0.
    """
    if ended == 0:
        return 0.0, 1.0
    rate, square = failed / ended, Z * Z / ended
    middle = (rate + square / 2) / (1 + square)
    half = Z * sqrt(rate * (1 - rate) / ended + square / (4 * ended)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def fisher(failed_a: int, ended_a: int, failed_b: int, ended_b: int) -> float:
    """The probability of counts that differ at least as much as these do, if both fail equally often: Fisher's exact
    test of two proportions, two-sided. Right for any counts; 1 when there is nothing to compare. Takes as many steps
    as the smaller margin of the counts has."""
    ended, failed = ended_a + ended_b, failed_a + failed_b
    low, high = max(0, failed - ended_b), min(failed, ended_a)
    whole = _ways(ended, failed)

    def log_probability(of_a: int) -> float:
        return _ways(ended_a, of_a) + _ways(ended_b, failed - of_a) - whole

    # Equally unlikely ones count, whichever way the last digit was rounded.
    seen = log_probability(failed_a) + 1e-7
    return min(1.0, sum(exp(one) for n in range(low, high + 1) if (one := log_probability(n)) <= seen))


def _ways(of: int, chosen: int) -> float:
    """The logarithm of the number of ways to choose."""
    return lgamma(of + 1) - lgamma(chosen + 1) - lgamma(of - chosen + 1)
