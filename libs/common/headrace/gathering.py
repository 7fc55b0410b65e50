"""How long what comes is gathered before it goes: by how many runs the last turn was for.

A flush, a claim call, a transaction cost much the same for one run and for fifty. A run alone waits for nothing; of
many, each waits a little, and there is several times as much room for all.
"""

_SECONDS_PER_RUN = 0.001


def pause_after(runs: int, most: float) -> float:
    """Seconds to wait before the next turn, at most `most`, after one that was for `runs` runs."""
    return min(runs * _SECONDS_PER_RUN, most) if runs > 1 else 0.0
