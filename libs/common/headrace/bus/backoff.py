"""How long to wait before trying again."""

LONGEST = 50
"""The longest pause, in multiples of the first."""


def pause_after(failures: int, first: float) -> float:
    """Seconds to wait after so many failures in a row: four times longer each time, up to `LONGEST`."""
    return first * min(4.0 ** min(failures - 1, 10), LONGEST)
