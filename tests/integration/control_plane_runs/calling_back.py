"""Runs that wait for signals, and their callback addresses."""

from urllib.parse import urlsplit
from uuid import UUID

from headrace_control.callbacks.service import CallbackService
from headrace_control.internal_api.callbacks import CallbackRun
from headrace_control.waits.model import SignalStep

from tests.integration.control_plane_runs.acting import Client, Fleet, publish, started
from tests.integration.control_plane_runs.signaling import DOCUMENT, PAID

DAY = 24 * 60 * 60


class Waiting:
    """A run with two signal steps, and their addresses."""

    def __init__(self, run: str, tenant: UUID, urls: dict[str, str]) -> None:
        self.run, self.tenant, self.urls = run, tenant, urls

    def path(self, step: str = "paid") -> str:
        return urlsplit(self.urls[step]).path


async def waiting(client: Client, fleet: Fleet, callbacks: CallbackService) -> Waiting:
    await publish(client, DOCUMENT)
    run = await started(client, input={})
    row = await fleet.admin.fetchrow("SELECT tenant_id, created_at FROM runs WHERE id = $1", UUID(run))
    steps = [
        SignalStep("paid", "paid", PAID, None),
        SignalStep("wait_for_delivery", "delivered", None, 5 * DAY * 1000),
    ]
    wanted = [CallbackRun(UUID(run), row["created_at"], steps)]
    urls = await callbacks.urls(row["tenant_id"], wanted)
    assert urls == await callbacks.urls(row["tenant_id"], wanted)  # the same at every claim
    await fleet.claim(run)
    await fleet.park(run, "SIGNAL")
    return Waiting(run, row["tenant_id"], dict(urls[UUID(run)]))
