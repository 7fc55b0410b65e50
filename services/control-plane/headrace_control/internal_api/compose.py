"""Composes what the runners ask; `main` calls it once."""

from collections.abc import Callable
from datetime import timedelta

from fastapi import FastAPI

from headrace_control.compose import Composed
from headrace_control.dry_runs.taking import DryRunHandover
from headrace_control.internal_api.app import create_internal_app
from headrace_control.internal_api.barrier import Barrier
from headrace_control.internal_api.calls import Calls
from headrace_control.internal_api.checkpoints import Checkpoints
from headrace_control.internal_api.claims import Claims
from headrace_control.internal_api.handover import Handover
from headrace_control.internal_api.leases import Leases
from headrace_control.internal_api.metrics import ClaimMetrics
from headrace_control.internal_api.results import CachedResults
from headrace_control.internal_api.sessions import RunnerSessions
from headrace_control.resources import Resources
from headrace_control.settings import ControlPlaneSettings
from headrace_control.throttle.service import Throttles


def compose_internal(
    settings: ControlPlaneSettings, held: Resources, composed: Composed, hurry: Callable[[], None]
) -> FastAPI:
    """The internal API. `hurry` is called when runs are left by a runner that goes, so that they are not waited for."""
    pool = held.worker_pool
    note, keys = composed.refusals.note, composed.output_keys
    handover = Handover(pool, composed.credentials, composed.services.callbacks)
    claims = Claims(pool, handover, settings.lease, note, held.traces, ClaimMetrics(held.registry))
    sessions = RunnerSessions(
        pool,
        settings.runner_token.get_secret_value(),
        timedelta(seconds=settings.runner_session_seconds),
        note,
        {name: token.get_secret_value() for name, token in (settings.pool_tokens or {}).items()},
    )
    return create_internal_app(
        claims,
        Checkpoints(pool, handover, Barrier(held.listener)),
        Leases(pool, composed.credentials, settings.lease, hurry),
        Throttles(pool),
        sessions,
        Calls(pool, composed.approvals),
        composed.refusals,
        DryRunHandover(pool, held.api_pool, keys),
        CachedResults(pool, held.api_pool, keys),
        held.deployment,
    )
