"""Names looked up by the system's resolver, which can only be waited for: a thread to each lookup.

A lookup whose name server is dead lasts for many seconds and can not be ended; a call that is given up leaves its
thread behind. So a turn is given back when the thread ends, not when the call does: a tenant has no more than its
few, whatever it gives up, and the threads of all together are enough for many such tenants.
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias

# Name and port to literal addresses; raises OSError when there are none.
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
_Found: TypeAlias = Sequence[str] | BaseException

LOOKUPS = 256  # under way in a process
LOOKUPS_OF_ONE = 4  # of one tenant: dead name servers of sixty tenants leave the others theirs


def thread_resolver(lookups: asyncio.Semaphore, at_once: int = LOOKUPS_OF_ONE) -> Resolve:
    """The resolver of one tenant, `at_once` lookups at a time; `lookups` are those of the process."""
    own = asyncio.Semaphore(at_once)

    async def resolve(host: str, port: int) -> Sequence[str]:
        await own.acquire()
        try:
            await lookups.acquire()
        except BaseException:
            own.release()
            raise

        def ended() -> None:
            lookups.release()
            own.release()

        return await _in_a_thread(partial(_look_up, host, port), ended)

    return resolve


def _look_up(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def _in_a_thread(look_up: Callable[[], Sequence[str]], ended: Callable[[], None]) -> Sequence[str]:
    """What `look_up` gives or raises. `ended` is called on the loop when it has, waited for or not."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[Sequence[str]] = loop.create_future()

    def take(found: _Found) -> None:
        ended()
        if waiting.done():
            return
        if isinstance(found, BaseException):
            waiting.set_exception(found)
        else:
            waiting.set_result(found)

    def run() -> None:
        found: _Found
        try:
            found = look_up()
        except Exception as error:
            found = error
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(take, found)

    try:
        # A daemon: nobody who stops waits for a name server.
        threading.Thread(target=run, name="outbound-dns", daemon=True).start()
    except RuntimeError:
        ended()
        raise OSError("no thread is left for a lookup") from None
    return await waiting
