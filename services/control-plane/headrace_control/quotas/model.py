"""A tenant's quotas, and what it uses of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a tenant may use at most; None: as much as any tenant may.

    `runs_in_flight` are sent to runners or held by them: more wait their turn. Starts above one of the others are
    refused: `unfinished_runs` at once, `stored_runs` finished or not, `starts_per_minute`, `input_bytes` of one start.
    A list of more than `loop_items` fails its loop. A run writes `log_records` in one claim, and no more.
    """

    runs_in_flight: int
    unfinished_runs: int | None = None
    stored_runs: int | None = None
    starts_per_minute: int | None = None
    input_bytes: int | None = None
    loop_items: int | None = None
    log_records: int | None = None

    @property
    def limit_starts(self) -> bool:
        """Whether a start has to be looked at."""
        looked_at = (self.unfinished_runs, self.stored_runs, self.starts_per_minute, self.input_bytes)
        return any(quota is not None for quota in looked_at)


@dataclass(frozen=True, slots=True)
class Usage:
    """`stored_runs` is as counted last, a minute ago or so; None where there is no quota of it."""

    runs_in_flight: int
    unfinished_runs: int
    stored_runs: int | None


@dataclass(frozen=True, slots=True)
class QuotasUsed:
    quotas: Quotas
    usage: Usage
