"""What a control plane does without being asked, beside its servers."""

from collections.abc import Coroutine
from typing import Any

from headrace.outbound.client import OutboundClient

from headrace_control.audit.pruning import Pruning
from headrace_control.audit.sealer import Sealer
from headrace_control.compose import Composed
from headrace_control.dead_letters.gauges import WaitingForPeople
from headrace_control.dispatch.pool_relay import PoolRelay
from headrace_control.dispatch.relay import Relay
from headrace_control.dispatch.sweeper import Sweeper
from headrace_control.hooks.sending import HookSending
from headrace_control.quotas.counting import count_stored
from headrace_control.replays.loop import ReplayLoop
from headrace_control.resources import Resources
from headrace_control.scaling.gauges import ScalingGauges
from headrace_control.scaling.signals import Signals
from headrace_control.schedules.loop import ScheduleLoop
from headrace_control.settings import ControlPlaneSettings
from headrace_control.tenant_deletion.ending import Endings
from headrace_control.throttle.service import OpenBreakers
from headrace_control.upkeep import keep_up
from headrace_control.vault.vault import Vault

Work = Coroutine[Any, Any, None]


def background(
    settings: ControlPlaneSettings, held: Resources, composed: Composed, signals: Signals, sweeper: Sweeper
) -> list[Work]:
    """Each works until it is cancelled. To be called before the listener starts: some subscribe to channels."""
    api, worker, audit, listener = held.api_pool, held.worker_pool, held.audit_pool, held.listener
    relay = Relay(worker, held.bus, listener, settings.relay_window, held.traces)
    vault, outbound = Vault(composed.keys.provider), OutboundClient(composed.outbound)
    hooks = HookSending(worker, api, vault, outbound, listener)
    work = [
        relay.run(),
        PoolRelay(worker, held.bus, listener, settings.relay_window, relay).run(),
        sweeper.run(),
        ScheduleLoop(worker, api, composed.output_keys, listener).run(),
        hooks.run(),
        hooks.look(),
        ReplayLoop(worker, composed.services.replays).run(),
        Endings(worker, api, held.store).run(),
        OpenBreakers(worker, held.registry).run(),
        Sealer(audit, held.registry).run(),
        keep_up(worker, held.store, settings.kept),
        count_stored(worker),
        *(tally.run() for tally in composed.tallies),
    ]
    if settings.audit_retention:
        work.append(Pruning(audit, settings.audit_retention).run())
    if settings.operator_port is not None:
        work.append(ScalingGauges(signals, held.registry).run())
        work.append(WaitingForPeople(worker, held.registry).run())
    return work
