"""A bus of each kind, behind a proxy that a test can cut."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace.bus.names import Names
from headrace.bus.open import open_bus
from headrace.bus.port import Bus
from proxy import Proxy, dialler, proxied, through
from rabbitmq_queues import PARTITIONS, delete_queues

# Long enough that a busy machine does not seem dead, short enough to wait for.
LEASE = 2.0


@dataclass(slots=True)
class Place:
    """Where buses of one test meet: the address, past the proxy and through it."""

    kind: str
    url: str
    proxied_url: str
    proxy: Proxy
    namespace: str
    opened: list[Bus] = field(default_factory=list)

    async def open(self, *, through_proxy: bool = False, **options: Any) -> Bus:
        """A bus with short pauses, closed when the test ends."""
        settings = {
            "partitions": PARTITIONS,
            "namespace": self.namespace,
            "retry_pause": 0.01,
            "lease": LEASE,
            **options,
        }
        bus = await open_bus(self.proxied_url if through_proxy else self.url, **settings)
        self.opened.append(bus)
        return bus


@pytest.fixture(params=[pytest.param("rabbitmq", marks=pytest.mark.rabbitmq), "postgres"])
def bus_address(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The kind of bus and its address."""
    fixture = {"rabbitmq": "rabbitmq_url", "postgres": "database"}[request.param]
    return request.param, request.getfixturevalue(fixture)


@pytest.fixture
async def place(bus_address: tuple[str, str]) -> AsyncIterator[Place]:
    kind, url = bus_address
    namespace = f"test-{uuid.uuid4().hex[:12]}."
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxied(dialler(url)))
        place = Place(kind, url, through(url, proxy.port), proxy, namespace)
        try:
            yield place
        finally:
            proxy.flow()
            await asyncio.gather(*(bus.close() for bus in place.opened))
    if kind == "rabbitmq":
        await delete_queues(url, Names(PARTITIONS, namespace, ("eu",)))


@pytest.fixture
async def bus(place: Place) -> Bus:
    return await place.open()
