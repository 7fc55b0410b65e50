"""Claiming: many jobs in one call, take-overs through the barrier."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from headrace.errors import HeadraceError, Unavailable
from headrace.gathering import pause_after
from headrace.messages import Job
from headrace.telemetry.context import TraceContext

from headrace_runner.claimed_run import ClaimedRun, read_claimed_run
from headrace_runner.control_plane import ControlPlane
from headrace_runner.lease import HeldRun, Lease
from headrace_runner.run_pass import RunPass
from headrace_runner.versions import KeptVersions, LoadedVersion

_log = structlog.get_logger(__name__)

MAX_BATCH = 200
BARRIER_WAIT_SECONDS = 10.0
# A mark that is not applied by then is published again, and after twice as long once more, up to the last: where it was
# lost with its queue, nobody else would ever end the wait. An alert on the waits looks back five minutes.
MARK_AGAIN_SECONDS, MARK_AGAIN_AT_MOST = 60.0, 240.0
# At most, while jobs come several at once.
GATHER_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Claim:
    """A granted claim, before its checkpoint is known."""

    tenant_id: UUID
    run_id: UUID
    epoch: int
    takeover: bool
    held: HeldRun
    run_pass: RunPass
    given: Mapping[str, Any] | None = field(repr=False, default=None)
    version: LoadedVersion | None = None
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class Suspect:
    """No claim: the control plane suspects the run of ending its runners, and gives it only to a process that
    carries nothing else."""


class Claimer:
    """Claims jobs in batches: what arrives while one call is under way goes with the next.

    One call at a time, numbered, so that the lease can say which are settled. `alone`: this process carries one
    run and no other.
    """

    def __init__(self, control_plane: ControlPlane, lease: Lease, capacity: int, *, alone: bool) -> None:
        self._control_plane, self._lease = control_plane, lease
        self._capacity, self._alone = capacity, alone
        self._waiting: list[tuple[Job, asyncio.Future[Claim | Suspect | None]]] = []
        self._arrived = asyncio.Event()
        self._call = 0
        self._versions = KeptVersions()

    async def claim(self, job: Job) -> Claim | Suspect | None:
        """The claim, or why there is none: None when it is refused. Raises `Unavailable` when no answer came:
        the claim, if it was granted, is not named and lapses."""
        future: asyncio.Future[Claim | Suspect | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        self._arrived.set()
        return await future

    async def run(self) -> None:
        """Send batches until cancelled."""
        while True:
            await self._arrived.wait()
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            if not self._waiting:
                self._arrived.clear()
            await self._send(batch)
            if not self._waiting:
                await asyncio.sleep(pause_after(len(batch), GATHER_SECONDS))

    async def _send(self, batch: list[tuple[Job, asyncio.Future[Claim | Suspect | None]]]) -> None:
        self._call += 1
        jobs = [
            {"tenant_id": job.tenant_id, "run_id": job.run_id, "dispatch_id": job.dispatch_id}
            | ({"traceparent": str(job.traceparent)} if job.traceparent else {})
            for job, _ in batch
        ]
        sent = time.monotonic()
        try:
            answer = await self._control_plane.claims(
                self._call, self._capacity, jobs, self._versions.digests(), self._alone
            )
            versions = self._versions.found(answer["versions"], (c.get("digest") for c in answer["claims"]))
            granted = {c["run_id"]: c for c in answer["claims"] if c["outcome"] in ("GRANTED", "TAKEOVER")}
            suspects = {c["run_id"] for c in answer["claims"] if c["outcome"] == "ALONE"}
        except HeadraceError as error:
            self._lease.calls_settled = self._call
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        # From here to the settling nothing else runs: a heartbeat sees both or neither.
        claims = {run_id: self._claim(given, versions) for run_id, given in granted.items()}
        self._lease.calls_settled = self._call
        self._lease.kept_alive(sent, answer["lease_seconds"], datetime.fromisoformat(answer["now"]))
        for job, future in batch:
            claim = claims.pop(str(job.run_id), None)
            if future.done():  # its consumer was closed meanwhile
                if claim:
                    self._lease.leave(claim.held)
            else:
                future.set_result(Suspect() if str(job.run_id) in suspects else claim)

    def _claim(self, given: Mapping[str, Any], versions: Mapping[str, LoadedVersion | None]) -> Claim:
        run_id = UUID(given["run_id"])
        # One whose version has given way meanwhile asks for it with its checkpoint, as a take-over does.
        takeover = given["outcome"] == "TAKEOVER" or given["digest"] not in versions
        held = self._lease.hold(run_id)
        tenant_id, epoch = UUID(given["tenant_id"]), given["epoch"]
        run_pass = RunPass(run_id, epoch, given["run_token"])
        trace = TraceContext.parse(given.get("traceparent"))
        if takeover:
            return Claim(tenant_id, run_id, epoch, takeover, held, run_pass, trace=trace)
        version = versions[given["digest"]]
        return Claim(tenant_id, run_id, epoch, takeover, held, run_pass, given, version, trace)

    async def checkpoint(self, claim: Claim, mark_again: Callable[[], None]) -> ClaimedRun | None:
        """What the claim entitles to, after the barrier if it is a take-over (rule barrier_on_takeover).

        None: the claim is closed. The caller has published the `claimed` mark and seen it confirmed; `mark_again` has
        the same one published once more.
        """
        if claim.given is not None:
            return read_claimed_run(claim.tenant_id, claim.run_pass, claim.given, claim.version)
        patience, began = MARK_AGAIN_SECONDS, time.monotonic()
        while not claim.held.lost:
            if time.monotonic() - began >= patience:
                _log.warning("barrier waits", reason="its mark is not applied, and published again")
                mark_again()
                patience, began = min(patience * 2, MARK_AGAIN_AT_MOST), time.monotonic()
            try:
                answer = await self._control_plane.checkpoints(
                    [{"run_id": claim.run_id, "epoch": claim.epoch}],
                    self._versions.digests(),
                    BARRIER_WAIT_SECONDS,
                )
            except Unavailable as error:
                _log.warning("barrier waits", reason=error.message)
                await asyncio.sleep(1.0)
                continue
            (given,) = answer["runs"]
            versions = self._versions.found(answer["versions"], [given.get("digest")])
            match given["outcome"]:
                case "PASSED" if given["digest"] in versions:
                    return read_claimed_run(claim.tenant_id, claim.run_pass, given, versions[given["digest"]])
                case "CLOSED":
                    return None
        return None
