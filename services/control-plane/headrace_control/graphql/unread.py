"""Answers that are on their way to clients who take their time to read them."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from headrace.errors import Unavailable
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

# Bytes in the process, half of them one tenant's. On its way a byte is there twice.
MOST = 48 * 1024 * 1024


class Unread:
    """Room for `most` bytes of them; a tenant's only answer has room whatever its size."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._of: Counter[UUID] = Counter()

    @contextlib.contextmanager
    def one(self, tenant_id: UUID, size: int) -> Iterator[None]:
        """Around its sending. Raises `Unavailable`: what was asked for is done by then."""
        held = self._of[tenant_id]
        if held and (held + size > self._most // 2 or self._of.total() + size > self._most):
            raise Unavailable("too many answers wait to be read; it may have been done")
        self._of[tenant_id] += size
        try:
            yield
        finally:
            self._of[tenant_id] -= size
            if not self._of[tenant_id]:
                del self._of[tenant_id]


class TakenResponse(Response):
    """Sent when its client has taken all but the last of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        # uvicorn waits here until what was written before has gone out, or the connection has.
        await send({"type": "http.response.body", "body": b""})
