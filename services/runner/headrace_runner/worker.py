"""The worker: takes a job, claims its run, advances it, and returns, which acknowledges the job.

This is the life of a run on a runner, in the order of the design: consume, claim, barrier, engine, report,
ack.
"""

import asyncio
import time
from collections.abc import Callable

import structlog
from headrace.bus.port import Delivery, Reject
from headrace.errors import HeadraceError, MalformedMessage, Unavailable
from headrace.messages import Job
from headrace.outage import Outage
from headrace.outbound.auth import Credential, secrets_of_text
from headrace.telemetry.context import within_trace
from headrace.workflow.state import EventKind

from headrace_runner.claimed_run import ClaimedRun
from headrace_runner.claims import Claim, Claimer, Suspect
from headrace_runner.control_plane import ControlPlane
from headrace_runner.credentials import RunCredentials
from headrace_runner.engine import Engine
from headrace_runner.isolation import Isolation
from headrace_runner.lease import Lease
from headrace_runner.parts import EngineParts
from headrace_runner.reporting import Reporting, RunReport
from headrace_runner.run_log import RunLog
from headrace_runner.run_secrets import RunSecrets

_log = structlog.get_logger(__name__)


class Worker:
    def __init__(
        self,
        control_plane: ControlPlane,
        claimer: Claimer,
        lease: Lease,
        reporting: Reporting,
        parts: EngineParts,
        isolation: Isolation,
        refused: Callable[[str], None],
    ) -> None:
        """`refused` is told why a job could not be read."""
        self._control_plane, self._claimer, self._lease = control_plane, claimer, lease
        self._reporting, self._parts, self._isolation = reporting, parts, isolation
        self._refused = refused
        self._claims = Outage("claim waits", "claims go on")
        self._engines: set[Engine] = set()

    async def handle(self, delivery: Delivery) -> None:
        """One job. Returning acknowledges it: the run ended, parked, was refused, or is another's by now."""
        try:
            job = Job.decode(delivery.body)
        except MalformedMessage as error:
            self._refused(error.message)
            raise Reject(error.message) from None
        claim = await self._claim(job)
        if claim is None:
            return
        if isinstance(claim, Suspect):
            await self._isolation.advance(job)
            return
        try:
            with within_trace(claim.trace), self._reporting.traced(claim.run_id, claim.trace):
                await self._advance(claim)
        finally:
            self._lease.leave(claim.held)

    def drain(self) -> None:
        """Hand back at the next step boundary what is in hand."""
        self._parts.draining.set()
        for engine in self._engines:
            engine.wake()

    async def _claim(self, job: Job) -> Claim | Suspect | None:
        """An outage of the control plane is waited out with the job in hand: it is not the job's fault.

        Raises `Unavailable` when the runner leaves meanwhile; the bus hands the job to another.
        """
        pause = 0.2
        while not self._parts.draining.is_set():
            try:
                claim = await self._claimer.claim(job)
            except Unavailable as error:
                self._claims.tried(reason=error.message)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                self._claims.over()
                return claim
        raise Unavailable("the runner is leaving")

    async def _advance(self, claim: Claim) -> None:
        report = self._reporting.open(claim.tenant_id, claim.run_id, claim.epoch)
        marked_at = self._parts.clock.now()
        if claim.takeover:
            # rule barrier_on_takeover: our mark goes through the partition behind everything that the last
            # holder got into it; once it is applied, the checkpoint is whole.
            report.emit(EventKind.CLAIMED, marked_at)
            await report.confirmed()

        asked = time.monotonic()

        def mark_again() -> None:
            # Told while it waits: of a wait without an end nobody would hear.
            self._parts.metrics.barrier.observe(time.monotonic() - asked)
            # rule republish_the_same: another report of this claim counts from 1, too
            again = self._reporting.open(claim.tenant_id, claim.run_id, claim.epoch)
            again.emit(EventKind.CLAIMED, marked_at)

        try:
            run = await self._claimer.checkpoint(claim, mark_again)
        except HeadraceError as error:
            _log.error("run can not be loaded", run_id=str(claim.run_id), code=error.code)
            return
        if claim.takeover:
            self._parts.metrics.barrier.observe(time.monotonic() - asked)
        if run is not None:
            await self._run(claim, run, report)

    async def _run(self, claim: Claim, run: ClaimedRun, report: RunReport) -> None:
        secrets: RunSecrets

        def learnt(credential: Credential) -> None:
            secrets.learn(credential.secrets())

        credentials = RunCredentials(self._control_plane, run.run_pass, run.connections, learnt)
        # Who has a callback's address may use it: its last part is the permission.
        given_out = {
            *run.callbacks.values(),
            *(a for d in run.doers.values() if d for a in d.callbacks.values()),
        }
        tokens = [address.rsplit("/", 1)[-1] for address in given_out]
        values = [part for value in run.secrets.values() for part in secrets_of_text(value)]
        secrets = RunSecrets.of(run, [*values, *_secrets(credentials), *tokens])
        log = RunLog(
            self._reporting,
            self._parts.clock,
            run.tenant_id,
            run.run_id,
            secrets.words,
            run.quotas.log_records,
        )
        engine = Engine(self._parts, run, claim.held, report, log, credentials, secrets)
        self._engines.add(engine)
        try:
            await engine.advance()
        finally:
            self._engines.discard(engine)


def _secrets(credentials: RunCredentials) -> list[str]:
    return [secret for credential in credentials.all() for secret in credential.secrets()]
