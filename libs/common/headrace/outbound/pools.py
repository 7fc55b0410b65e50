"""One pool of connections per tenant, so that no tenant's calls wait behind another's."""

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from headrace.outbound.failures import CallCode, TransportFailure
from headrace.outbound.handshake import bounded
from headrace.outbound.lookups import LOOKUPS, Resolve
from headrace.outbound.policy import EgressPolicy
from headrace.outbound.transport import AiohttpTransport


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`connections` open at once per tenant; `keepalive` and `idle` in seconds; pools kept for `tenants`; `lookups`
    of names under way, for all tenants together.

    A pool that nobody used for `idle` seconds is closed when a call of anyone begins, a sixtieth later at most. More
    pools than `tenants` exist only while more tenants than that have calls in flight.
    """

    connections: int = 512
    keepalive: float = 4.0
    idle: float = 60.0
    tenants: int = 1024
    lookups: int = LOOKUPS


@dataclass(slots=True)
class _Pool:
    transport: AiohttpTransport
    in_flight: int = 0
    used_at: float = 0.0


class OutboundPools:
    """Transports by tenant, each guarded by the tenant's own egress policy. Close it with `aclose`.

    `resolve` stands in for the system's resolver; what it answers is checked like any answer.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        limits: PoolLimits | None = None,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._limits = limits or PoolLimits()
        self._resolve = resolve
        self._tls = bounded(tls)
        self._lookups = asyncio.Semaphore(self._limits.lookups)
        self._pools: OrderedDict[str, _Pool] = OrderedDict()
        self._look_again = 0.0
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._pools)

    @contextmanager
    def use(self, tenant_id: object) -> Iterator[AiohttpTransport]:
        """The tenant's transport, kept open at least until the block ends. Raises `TransportFailure` once closed."""
        if self._closed:
            raise TransportFailure(CallCode.CONNECT_FAILED, "the pools are closed", sent=False)
        key = str(tenant_id).lower()
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = _Pool(self._open(key))
        self._pools.move_to_end(key)
        pool.in_flight += 1
        try:
            self._close_idle()
            yield pool.transport
        finally:
            pool.in_flight -= 1
            pool.used_at = time.monotonic()

    async def aclose(self) -> None:
        """Closes every connection, calls in flight included; later ones fail."""
        self._closed = True
        pools = list(self._pools.values())
        self._pools.clear()
        await _close(pools)
        await asyncio.gather(*self._closing)

    def _open(self, tenant: str) -> AiohttpTransport:
        return AiohttpTransport(
            self._policy.for_tenant(tenant),
            resolve=self._resolve,
            lookups=self._lookups,
            tls=self._tls,
            connections=self._limits.connections,
            keepalive=self._limits.keepalive,
        )

    def _close_idle(self) -> None:
        now = time.monotonic()
        excess = len(self._pools) - self._limits.tenants
        if excess <= 0 and now < self._look_again:
            return
        self._look_again = now + self._limits.idle / 60
        oldest = next(iter(self._pools.values()))
        if excess <= 0 and not self._is_idle(oldest, now):
            return
        closing: list[_Pool] = []
        for key, pool in list(self._pools.items()):
            if pool.in_flight == 0 and (len(closing) < excess or self._is_idle(pool, now)):
                closing.append(self._pools.pop(key))
        if not closing:
            return
        # No call waits for it.
        task = asyncio.create_task(_close(closing))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _is_idle(self, pool: _Pool, now: float) -> bool:
        return pool.in_flight == 0 and now - pool.used_at >= self._limits.idle


async def _close(pools: Iterable[_Pool]) -> None:
    await asyncio.gather(*(pool.transport.aclose() for pool in pools))
