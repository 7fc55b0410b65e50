"""How many connections a port has open at once, and which of them goes when one comes for which there is no room."""

import asyncio
import resource
import sys

from headrace.errors import Unavailable
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace_control.http_errors import errors_response
from headrace_control.web.addresses import bucket_of
from headrace_control.web.headers import SecurityHeaders

# Of runners: some hundred of them hold dozens each at the worst.
MOST_OF_RUNNERS = 10_000
# For requests, beside as many as there may be websockets; more where there may be more operations.
BESIDE_SOCKETS = 2_000


def most_connections(sockets: int, operations: int) -> int:
    """How many the public face has at most: half of the files that this process may open stay for the runners' port,
    Postgres, the bus and whoever is called."""
    return _within_files(sockets + max(operations, BESIDE_SOCKETS), 2)


def most_of_runners() -> int:
    """How many the runners' port has at most: half of what the public face leaves."""
    return _within_files(MOST_OF_RUNNERS, 4)


def _within_files(most: int, part: int) -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if files == resource.RLIM_INFINITY else min(most, max(files // part, 2))


def sockets_within(most: int, sockets: int) -> int:
    """How many of `most` connections may be websockets: half of them stay for requests, or `BESIDE_SOCKETS`."""
    return min(sockets, most - min(BESIDE_SOCKETS, most // 2))


class OpenConnections:
    """Those of one server, by their transports: `most`, and one that is told so.

    One waits when its client has something to send before anything can be done: a head, the rest of a body, the next
    request, a websocket's key. Whoever comes when there is no room takes the place of the one that has waited the
    longest: of those of its own address, where they are a quarter of all or more; else of all, for behind a proxy all
    come from one address. Nothing under way is broken off: a request goes on when its client has gone, and of requests
    there are `most`, too.
    """

    def __init__(self, most: int = sys.maxsize) -> None:
        self.most = most
        self._open: set[asyncio.Transport] = set()
        self._waiting: dict[asyncio.Transport, str] = {}
        self._of_address: dict[str, dict[asyncio.Transport, None]] = {}

    @property
    def too_many(self) -> bool:
        """Whether all that were there when the newest came had something under way, and still have."""
        return len(self._open) > self.most

    def opened(self, one: asyncio.Transport) -> None:
        if len(self._open) >= self.most and self._waiting:
            own = self._of_address.get(_address(one), {})
            longest = next(iter(own if len(own) >= self.most // 4 else self._waiting))
            self.closed(longest)
            longest.abort()
        self._open.add(one)
        self._wait(one)

    def waits(self, one: asyncio.Transport) -> None:
        if one in self._open and one not in self._waiting:
            self._wait(one)
            if self.too_many:
                one.close()

    def works(self, one: asyncio.Transport) -> None:
        """It waits for nobody."""
        if (address := self._waiting.pop(one, None)) is not None:
            del self._of_address[address][one]
            if not self._of_address[address]:
                del self._of_address[address]

    def closed(self, one: asyncio.Transport) -> None:
        self._open.discard(one)
        self.works(one)

    def _wait(self, one: asyncio.Transport) -> None:
        self._waiting[one] = address = _address(one)
        self._of_address.setdefault(address, {})[one] = None


def _address(one: asyncio.Transport) -> str:
    peer = one.get_extra_info("peername")
    return bucket_of(peer[0]) if peer else ""


class NoRoom:
    """ASGI application: what is answered on a connection too many. The process is alive all the same."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._refusing = SecurityHeaders(_refuse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._app if scope["path"] == "/health" else self._refusing)(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    answer = errors_response(
        503,
        "too many requests at once; try again later",
        {"code": Unavailable.code},
        {"retry-after": "1", "connection": "close"},
    )
    await answer(scope, receive, send)
