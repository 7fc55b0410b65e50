"""Claiming: many jobs in one call, take-overs through the barrier."""

import asyncio
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from headrace.errors import HeadraceError, NotFound, Unavailable
from headrace.gathering import pause_after
from headrace.json_types import Json
from headrace.messages import Job
from headrace.records import record
from headrace.sealed_outputs import INPUT_ROW, OutputUnreadable
from headrace.telemetry.context import TraceContext
from headrace.workflow.definition import Version
from headrace.workflow.graph import Graph
from headrace.workflow.sensitive import Leaf
from headrace.workflow.state import Failure, RunState, RunStatus, StepState, StepStatus, Undoing
from rpds import HashTrieMap

from headrace_runner.control_plane import ControlPlane
from headrace_runner.inbox import read_messages
from headrace_runner.lease import HeldRun, Lease
from headrace_runner.policy import Held, read_policy
from headrace_runner.run_pass import RunPass
from headrace_runner.sensitive import opened
from headrace_runner.versions import KeptVersions, LoadedVersion

_log = structlog.get_logger(__name__)

MAX_BATCH = 200
BARRIER_WAIT_SECONDS = 10.0
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


@dataclass(frozen=True, slots=True)
class RunQuotas:
    """What the run's tenant lets a run use; None: as much as any run may."""

    loop_items: int | None = None
    log_records: int | None = None


@record
class ClaimedRun:
    """All that a runner needs to advance a run. Credentials live here, in memory, and nowhere else."""

    tenant_id: UUID
    run_id: UUID
    epoch: int
    version: Version
    graph: Graph
    input: Any
    state: RunState
    started_at: datetime
    # When steps that had begun before this claim first did.
    begun: Mapping[str, datetime]
    run_pass: RunPass
    connections: Mapping[str, Mapping[str, Any]] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    callbacks: Mapping[str, str] = field(repr=False, default_factory=dict)
    depth: int = 0
    quotas: RunQuotas = RunQuotas()
    # The ended run whose steps this one undoes.
    undoes: UUID | None = None
    # Rows of a re-run that are sent under the idempotency keys of another run, by their row keys.
    kept_keys: Mapping[str, str] = field(default_factory=dict)
    # How each action is held; one that is not named asks for approval.
    policy: Mapping[str, Held] = field(default_factory=dict)
    # Why none of its steps can be done.
    failure: Failure | None = None
    # By run, this one's first: what its sensitive outputs are sealed with, and those of the run that it undoes.
    output_keys: Mapping[UUID, bytes] = field(repr=False, default_factory=dict)
    # What was found sealed in the checkpoint.
    revealed: tuple[Leaf, ...] = field(repr=False, default=())


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

    async def checkpoint(self, claim: Claim) -> ClaimedRun | None:
        """What the claim entitles to, after the barrier if it is a take-over (rule barrier_on_takeover).

        None: the claim is closed. The caller has published the `claimed` mark and seen it confirmed.
        """
        if claim.given is not None:
            return _run(claim, claim.given, claim.version)
        while not claim.held.lost:
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
                    return _run(claim, given, versions[given["digest"]])
                case "CLOSED":
                    return None
        return None


def _run(claim: Claim, given: Mapping[str, Any], loaded: LoadedVersion | None) -> ClaimedRun:
    if loaded is None:
        raise NotFound("workflow version")
    undoing = Undoing.from_json(given["compensating"])
    if given["undoes"] is not None:
        undoing = Undoing(RunStatus.SUCCESS)
    inbox = read_messages(given["inbox"])
    keys = {UUID(run_id): b64decode(key) for run_id, key in (given.get("output_keys") or {}).items()}
    run_input, steps, revealed, unreadable = _opened(claim.tenant_id, keys, given)
    state = RunState(
        RunStatus.COMPENSATING if given["compensating"] else RunStatus.RUNNING,
        HashTrieMap({row["key"]: _step(row) for row in steps}),
        cancel=given["cancel"],
        pause=given["pause"],
        undoing=undoing,
        inbox=inbox,
        # Rows may be newer than the count that was read before them: they are not news any more.
        inbox_seen=max([given["inbox_seq"], *(message.seq for message in inbox)]),
    )
    return ClaimedRun(
        claim.tenant_id,
        claim.run_id,
        claim.epoch,
        loaded.version,
        loaded.graph,
        run_input,
        state,
        datetime.fromisoformat(given["started_at"]),
        {
            step["key"]: datetime.fromisoformat(step["started_at"])
            for step in given["steps"]
            if step["started_at"]
        },
        claim.run_pass,
        given["connections"],
        given["secrets"],
        given.get("callbacks") or {},
        given["depth"],
        RunQuotas(**given["quotas"]),
        UUID(given["undoes"]) if given["undoes"] else None,
        {row: run_id for run_id, kept in (given.get("kept_keys") or {}).items() for row in kept},
        read_policy(given["policy"]),
        Failure.from_json(given.get("failure")) or unreadable,
        keys,
        tuple(revealed),
    )


def _opened(
    tenant_id: UUID, keys: Mapping[UUID, bytes], given: Mapping[str, Any]
) -> tuple[Json, list[Mapping[str, Any]], list[Leaf], Failure | None]:
    """The input and the rows with their outputs as they were, what was sealed in them, and why they can not be read, if
    so."""
    rows: Sequence[Mapping[str, Any]] = given["steps"]
    steps: list[Mapping[str, Any]] = []
    try:
        run_input, revealed = opened(tenant_id, keys, INPUT_ROW, given["input"])
        for row in rows:
            output, found = opened(tenant_id, keys, row["key"], row["output"])
            steps.append({**row, "output": output})
            revealed += found
    except OutputUnreadable:
        words = "a sensitive output of the run, or its input, can not be read"
        return given["input"], [*rows], [], Failure("OUTPUT_UNREADABLE", words)
    return run_input, steps, revealed, None


def _step(row: Mapping[str, Any]) -> StepState:
    retry_at = row["retry_at"]
    done = row["done_epoch"] is not None
    return StepState(
        StepStatus(row["status"]),
        row["attempts"],
        row["output"],
        Failure.from_json(row["error"]),
        datetime.fromisoformat(retry_at) if retry_at else None,
        row["in_flight"],
        row["wait"],
        row["round"],
        row["round_from"],
        row["items"],
        (row["done_epoch"], row["done_seq"]) if done else None,
    )
