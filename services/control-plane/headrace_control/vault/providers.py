"""Several key providers as one, and a memory before one that is far away."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from uuid import UUID
from weakref import WeakValueDictionary

from headrace_control.vault.envelope import SecretUnreadable
from headrace_control.vault.keys import KeyProvider, WrappedKey

# Seconds, and keys: what an unwrapped data key may stay in memory for, and how many may.
REMEMBERED_SECONDS = 60.0
REMEMBERED_KEYS = 1_000


class KeyRing:
    """The first provider wraps; each unwraps what it has wrapped. So the data keys move from one to another online."""

    def __init__(self, providers: Sequence[KeyProvider]) -> None:
        self._active = providers[0]
        self._providers = {provider.wraps_with[0]: provider for provider in providers}

    @property
    def wraps_with(self) -> tuple[str, str]:
        return self._active.wraps_with

    async def wrap(self, tenant_id: UUID, data_key: bytes) -> WrappedKey:
        return await self._active.wrap(tenant_id, data_key)

    async def unwrap(self, tenant_id: UUID, key: WrappedKey) -> bytes:
        provider = self._providers.get(key.provider)
        if provider is None:
            raise SecretUnreadable
        return await provider.unwrap(tenant_id, key)

    def forget(self, tenant_id: UUID) -> None:
        for provider in self._providers.values():
            provider.forget(tenant_id)


class RememberedKeys:
    """Keeps what `provider` has unwrapped for a short time, so that a claim does not wait for the network each time.

    The memory is asked by the wrapped bytes, which are read from the database each time: a data key that was wrapped
    anew, replaced or deleted is not found by anyone from then on, in whichever process. Those who ask for the same key
    at once share one question. Failures are not kept.
    """

    def __init__(
        self,
        provider: KeyProvider,
        seconds: float = REMEMBERED_SECONDS,
        most: int = REMEMBERED_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider, self._seconds, self._most, self._clock = provider, seconds, most, clock
        self._kept: OrderedDict[tuple[UUID, WrappedKey], tuple[float, bytes]] = OrderedDict()
        self._asking: WeakValueDictionary[tuple[UUID, WrappedKey], asyncio.Lock] = WeakValueDictionary()

    @property
    def wraps_with(self) -> tuple[str, str]:
        return self._provider.wraps_with

    async def wrap(self, tenant_id: UUID, data_key: bytes) -> WrappedKey:
        return await self._provider.wrap(tenant_id, data_key)

    async def unwrap(self, tenant_id: UUID, key: WrappedKey) -> bytes:
        asked = (tenant_id, key)
        async with self._asking.setdefault(asked, asyncio.Lock()):
            self._drop_old()
            if asked in self._kept:
                return self._kept[asked][1]
            data_key = await self._provider.unwrap(tenant_id, key)
            self._kept[asked] = (self._clock() + self._seconds, data_key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return data_key

    def forget(self, tenant_id: UUID) -> None:
        for asked in [asked for asked in self._kept if asked[0] == tenant_id]:
            del self._kept[asked]
        self._provider.forget(tenant_id)

    def _drop_old(self) -> None:
        now = self._clock()
        while self._kept and next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)
