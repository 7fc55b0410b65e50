"""The signals, for the platform's operators."""

from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.scaling.model import Scaling
from headrace_control.scaling.signals import Signals


class ScalingService:
    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    async def current(self, caller: Caller) -> Scaling:
        """Over all tenants. Raises `Unavailable` while Postgres or the bus is away."""
        caller.require(Permission.READ_FLEET)
        return await self._signals.current()
