"""Taking dry runs: one at a time in each runner, beside its runs, when a heartbeat says that one waits."""

import asyncio
from typing import Any, Protocol
from uuid import UUID

import orjson
import structlog
from headrace.errors import HeadraceError, InvalidInput
from headrace.json_types import JsonObject
from headrace.outbound.normalise import normalise
from headrace.sealed_outputs import OutputUnreadable

from headrace_runner.dry.job import DryJob, Planned, read_job
from headrace_runner.dry.report import report
from headrace_runner.dry.walk import Walker, WalkServices, opened_input
from headrace_runner.dry.walked import Walk

_log = structlog.get_logger(__name__)

# What a dry run takes at most, in seconds; both walks together.
WALK_SECONDS = 30.0
# What the control plane takes, with some room.
MAX_REPORT_BYTES = 3_500_000


class DryRunsAsked(Protocol):
    async def take_dry_run(self) -> dict[str, Any] | None:
        """The next dry run, for this runner alone for a while."""

    async def report_dry_run(self, dry_run_id: UUID, token: str, report: JsonObject) -> None:
        """Raises `NotFound` when it is another runner's by now, or over."""


class DryRuns:
    """`wake` says that one may wait; `run` works until cancelled."""

    def __init__(self, control_plane: DryRunsAsked, services: WalkServices) -> None:
        self._control_plane, self._services = control_plane, services
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                while (given := await self._control_plane.take_dry_run()) is not None:
                    told = await walked(given, self._services)
                    await self._control_plane.report_dry_run(UUID(given["id"]), given["token"], told)
            except HeadraceError as error:
                # It lapses, and the next heartbeat tells of it again.
                _log.warning("dry run waits", reason=error.message)


async def walked(given: dict[str, Any], services: WalkServices) -> JsonObject:
    """The report on a dry run that was taken; of one that can not be walked, why."""
    try:
        # In a thread of its own what takes long keeps nobody waiting.
        job = await asyncio.to_thread(read_job, given)
        async with asyncio.timeout(WALK_SECONDS):
            base = await _walk(job, job.base, services) if job.base else None
            candidate = await _walk(job, job.candidate, services, declared=True, before=base)
        return await asyncio.to_thread(_told, job, candidate, base)
    except InvalidInput as error:
        return _failed("BAD_VERSION", error.message)
    except OutputUnreadable:
        return _failed("OUTPUT_UNREADABLE", "what was recorded can not be read")
    except TimeoutError:
        return _failed("TOO_LONG", f"the walk took longer than {WALK_SECONDS:.0f} s")
    except Exception as error:  # of our own making: it ends this walk, and no runner
        _log.error("dry run broke", dry_run_id=str(given["id"]), error=type(error).__name__)
        return _failed("WALK_FAILED", f"the walk raised {type(error).__name__}")


def _told(job: DryJob, candidate: Walk, base: Walk | None) -> JsonObject:
    told = normalise(report(job.tenant_id, candidate, base))
    if len(orjson.dumps(told)) > MAX_REPORT_BYTES:
        return _failed("TOO_LONG", "the report is too large: try a smaller input")
    return told if isinstance(told, dict) else {}


async def _walk(
    job: DryJob,
    planned: Planned,
    services: WalkServices,
    *,
    declared: bool = False,
    before: Walk | None = None,
) -> Walk:
    given, leaves = opened_input(job, planned.input)
    walker = Walker(job, services, declared=declared, before=before)
    walker.walk.leaves += leaves
    return await walker.top(planned.version_id, given)


def _failed(code: str, message: str) -> JsonObject:
    return {"status": "FAILED", "failure": {"code": code, "message": message}}
