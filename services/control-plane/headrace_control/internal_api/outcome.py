"""What becomes of a job that asks for a claim."""

from enum import StrEnum


class Outcome(StrEnum):
    GRANTED = "GRANTED"
    TAKEOVER = "TAKEOVER"  # granted; the barrier comes before the checkpoint
    ALONE = "ALONE"  # not granted; ask again from a process of the run's own
    OTHER_POOL = "OTHER_POOL"  # not granted: the run is for the runners of another pool
    REFUSED = "REFUSED"  # acknowledge and forget: the sweeper comes back if it has to
