"""The bodies of the internal API's requests. Answers are built in `claims`, `checkpoints` and `leases`."""

from typing import Annotated
from uuid import UUID

from headrace.pools import DEFAULT_POOL, POOL_NAME
from pydantic import BaseModel, ConfigDict, Field

from headrace_control.internal_api.dry_run_reports import DryRunReport
from headrace_control.internal_api.run_tokens import hash_run_token

MAX_BATCH = 500
MAX_HELD = 10_000


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class SessionBody(_Body):
    """`session` is made by the runner, at random: `hrs_` and 256 bits in base64url. `pool` is whose runs it advances; a
    runner of the release before does not say."""

    runner_id: UUID
    session: str = Field(pattern=r"^hrs_[A-Za-z0-9_-]{43}$")
    pool: str = Field(default=DEFAULT_POOL, pattern=f"^{POOL_NAME}$")


class RunBody(_Body):
    """On behalf of a run: `run_token` came with its claim, of that epoch, and ends with it."""

    run_id: UUID
    epoch: int = Field(ge=1, lt=2**31)
    run_token: str = Field(min_length=1, max_length=100)

    @property
    def token_hash(self) -> bytes:
        return hash_run_token(self.run_token)


class JobRef(BaseModel):
    """A job as it came from the bus. `tenant_id`: in whose name; a runner of the release before does not say.
    `traceparent` is the span of its sending; what is none counts as none."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tenant_id: UUID | None = None
    run_id: UUID
    dispatch_id: UUID
    traceparent: str | None = Field(default=None, max_length=55)


class ClaimsBody(_Body):
    """A batch of jobs to claim.

    `call` numbers the runner's claim calls from 1 upward. `have` lists digests of version documents that the
    runner already holds; the others come with the answer. `alone`: this process carries one run and no other,
    so it may have one that is suspected of ending its runners.
    """

    call: int = Field(ge=1, lt=2**63)
    capacity: int = Field(ge=0, lt=2**31)
    jobs: Annotated[list[JobRef], Field(max_length=MAX_BATCH)]
    have: Annotated[list[str], Field(max_length=MAX_HELD)] = []
    alone: bool = False


class RunEpoch(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    run_id: UUID
    epoch: int = Field(ge=1, lt=2**31)


class CheckpointsBody(_Body):
    """Take-overs whose `claimed` mark was confirmed; answered when a mark is applied, or after `wait` seconds."""

    runs: Annotated[list[RunEpoch], Field(max_length=MAX_BATCH)]
    have: Annotated[list[str], Field(max_length=MAX_HELD)] = []
    wait: float = Field(default=5.0, ge=0, le=20)


class HeartbeatBody(_Body):
    """`held`: every run whose claim the runner knows of. `calls_settled`: the highest claim call such that it
    and all before it were answered or given up. `inbox_seen`: up to which message each of these runs is known to the
    runner; 0 for one that is not named."""

    calls_settled: int = Field(ge=0, lt=2**63)
    capacity: int = Field(ge=0, lt=2**31)
    held: Annotated[list[UUID], Field(max_length=MAX_HELD)]
    inbox_seen: Annotated[dict[UUID, Annotated[int, Field(ge=0, lt=2**31)]], Field(max_length=MAX_HELD)] = {}


class PermitsBody(RunBody):
    """Up to `wanted` calls through a connection of the run's version are to be made now."""

    connection_id: UUID
    wanted: int = Field(ge=1, le=100)


class ReportBody(RunBody):
    """What became of a call: a failure of the target, or that the probe of a half open breaker went well.

    `successes` were made through the connection since this runner's last report. `retry_after` is in seconds.
    """

    connection_id: UUID
    ok: bool
    probe: bool = False
    successes: int = Field(default=0, ge=0, le=1_000_000_000)
    retry_after: float | None = Field(default=None, ge=0, le=1_000_000_000)


class CallBody(RunBody):
    """A call that the policy holds is to be made: of the row `step`, with this digest (SHA-256, in hexadecimal).

    `token` is that of an approval, if one is at hand. `begun`: the row has been attempted before. `unattended`: the
    call undoes or ends something.
    """

    step: str = Field(min_length=1, max_length=200)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    token: str | None = Field(default=None, max_length=1_000)
    begun: bool = False
    unattended: bool = False


class CachedResultBody(RunBody):
    """Is there a result that stands for the call with this digest (SHA-256, in hexadecimal)?"""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class TokenBody(RunBody):
    """The access token `seen_version` of a connection was refused or has expired."""

    connection_id: UUID
    seen_version: int = Field(ge=0, lt=2**31)


class DryRunReportBody(_Body):
    """What came of a dry run that was taken with `token`: the report, or `{failure: {code, message}}`."""

    dry_run_id: UUID
    token: str = Field(min_length=1, max_length=100)
    report: DryRunReport


class RefusedMessages(BaseModel):
    """Messages of one kind that the runner could not read: why, in a few words of ours, and how many."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    queue: str = Field(pattern=r"^[a-z0-9.-]{1,60}$")
    reason: str = Field(pattern=r"^[ -~]{1,200}$")
    times: int = Field(ge=1, lt=2**31)


class RefusedMessagesBody(_Body):
    """What the runner has given up of its queues since it told last."""

    refused: Annotated[list[RefusedMessages], Field(max_length=MAX_BATCH)]
