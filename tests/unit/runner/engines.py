"""A real engine on one run, with a bus that keeps what it is given; nothing leaves the process."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from headrace.bus.port import Outgoing
from headrace.ids import new_id
from headrace.json_types import Json
from headrace.messages import EventBatch
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy
from headrace.outbound.pools import OutboundPools
from headrace.outbound.transport import trusted_transport
from headrace.workflow.decide import initial
from headrace.workflow.definition import Version
from headrace.workflow.document import Document
from headrace.workflow.expressions.render import Templates
from headrace.workflow.graph import Graph
from headrace.workflow.schemas import Schemas
from headrace.workflow.state import Message, RunState
from headrace.workflow.uses import actions_used
from headrace_runner.claimed_run import ClaimedRun, RunQuotas
from headrace_runner.clock import Clock
from headrace_runner.control_plane import ControlPlane
from headrace_runner.credentials import RunCredentials
from headrace_runner.engine import Engine
from headrace_runner.gate import Gate
from headrace_runner.lease import HeldRun, Lease
from headrace_runner.parts import EngineParts
from headrace_runner.policy import Held
from headrace_runner.reporting import Reporting
from headrace_runner.run_log import RunLog
from headrace_runner.run_pass import RunPass
from headrace_runner.run_secrets import RunSecrets
from headrace_runner.steps.protocol import StepHandler, StepServices

Told: TypeAlias = "tuple[str, str | None, Json]"
"""An event as (kind, step, data)."""


class Collected:
    """The one side of a bus that a runner reports to: keeps what it confirmed."""

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []

    async def publish(self, messages: Sequence[Outgoing], timeout: float = 10.0) -> None:
        self.messages += messages


@asynccontextmanager
async def step_services() -> AsyncIterator[StepServices]:
    pools = OutboundPools(EgressPolicy())
    yield StepServices(OutboundClient(pools), Templates(), Schemas())
    await pools.aclose()


@dataclass(frozen=True)
class Advanced:
    """One claimed run and its engine."""

    engine: Engine
    held: HeldRun
    bus: Collected
    reporting: Reporting

    async def to_its_end(self) -> list[Told]:
        """Advance as far as it goes; every event, in order."""
        async with asyncio.timeout(20):
            await self.engine.advance()
        batches = [EventBatch.decode(m.body) for m in self.bus.messages if m.queue == "events.0"]
        return [(e.kind.value, e.step, e.data) for batch in batches for e in batch.events]

    def drain(self) -> None:
        self.engine.parts.draining.set()
        self.engine.wake()


@asynccontextmanager
async def advanced(
    services: StepServices,
    handlers: Mapping[str, StepHandler],
    document: Document,
    given: Json,
    state: RunState | None = None,
    told: Sequence[Message] = (),
    undoes: UUID | None = None,
    quotas: RunQuotas | None = None,
) -> AsyncIterator[Advanced]:
    """A run of `document`, claimed, and not begun unless it has a `state`. `told` are messages that a renewal brought
    before its checkpoint was there."""
    clock, runner_id = Clock(), new_id()
    control_plane = ControlPlane("http://127.0.0.1:9", "a-runners-token", runner_id, trusted_transport())
    bus = Collected()
    reporting = Reporting(bus, runner_id, partitions=1)
    parts = EngineParts(
        handlers=handlers,
        templates=services.templates,
        lease=Lease(control_plane, clock, 1),
        clock=clock,
        time_slice=timedelta(minutes=1),
        park_retries_after=5,
        draining=asyncio.Event(),
        gate=Gate(control_plane),
    )
    version, graph = Version("v", "d", document, {}, {}), Graph.of(document)
    tenant_id, run_id, now = new_id(), new_id(), datetime.now(UTC)
    run = ClaimedRun(
        tenant_id=tenant_id,
        run_id=run_id,
        epoch=1,
        version=version,
        graph=graph,
        input=given,
        state=state or initial(),
        started_at=now,
        begun={},
        run_pass=RunPass(run_id, 1, "a-token-of-this-claim"),
        connections={},
        secrets={},
    )
    held_as = {ref: Held("A") for ref in actions_used(document)}
    run = replace(run, undoes=undoes, policy=held_as, quotas=quotas or RunQuotas())
    held, secrets = HeldRun(run.run_id), RunSecrets.of(run)
    held.tell_messages(told)
    engine = Engine(
        parts,
        run,
        held,
        reporting.open(run.tenant_id, run.run_id, 1),
        RunLog(reporting, clock, run.tenant_id, run.run_id, secrets.words, run.quotas.log_records),
        RunCredentials(control_plane, run.run_pass, {}, lambda _: None),
        secrets,
    )
    flushing = asyncio.create_task(reporting.run())
    try:
        yield Advanced(engine, held, bus, reporting)
    finally:
        flushing.cancel()
        await control_plane.close()
