"""Signals for an application whose tests scale nothing: its bus is away."""

from typing import Any

from headrace.bus.port import Depth
from headrace.errors import BusUnavailable
from headrace_control.scaling.signals import Signals


class _AwayBus:
    async def depth(self, queue: str) -> Depth:
        raise BusUnavailable("there is no bus here")


def no_signals() -> Signals:
    bus: Any = _AwayBus()
    pool: Any = None
    return Signals(pool, bus, 1, clock=lambda: 0.0)
