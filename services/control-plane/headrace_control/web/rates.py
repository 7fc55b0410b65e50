"""How often somebody may ask: token buckets in this process's memory.

Each process counts for itself, so behind N control planes the limit is N times what is set.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from headrace.errors import RateLimited
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace_control.http_errors import error_response
from headrace_control.web.addresses import bucket_of

# Full buckets hold this many seconds' worth.
BURST_SECONDS = 5.0
MOST_BUCKETS = 50_000


class Buckets:
    """One bucket for each key, at most `MOST_BUCKETS`: the one that was not asked for the longest goes first, and is
    as good as full by then unless more keys than that ask at once. `per_second` of 0 lets everything pass."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._interval = 1 / per_second if per_second else 0.0
        # Generic cell rate algorithm (ITU-T I.371): a bucket is the moment at which it will be full again.
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, key: Hashable) -> None:
        """Raises `RateLimited` when the key's bucket is empty."""
        if not self._interval:
            return
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at + self._interval - now - max(BURST_SECONDS, self._interval)
        if wait > 1e-9:
            raise RateLimited("too many requests; slow down", wait)
        self._full_at[key] = full_at + self._interval
        self._full_at.move_to_end(key)
        if len(self._full_at) > MOST_BUCKETS:
            self._full_at.popitem(last=False)


class AddressRate:
    """ASGI middleware: requests and handshakes of one address, before anything is read or looked up for them."""

    def __init__(self, app: ASGIApp, buckets: Buckets) -> None:
        self._app, self._buckets = app, buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope.get("client"):
            try:
                self._buckets.take(bucket_of(scope["client"][0]))
            except RateLimited as error:
                if scope["type"] == "http":
                    await error_response(error)(scope, receive, send)
                else:
                    await send({"type": "websocket.close", "code": 1013, "reason": ""})
                return
        await self._app(scope, receive, send)
