"""Sockets of this machine: one for a server within a test, and whether a server listens."""

import asyncio
import socket


def loopback() -> socket.socket:
    """Listens on a free port of 127.0.0.1. Made for TCP by name: of such alone asyncio sends at once what is small, and
    an answer's body does not wait 40 ms for its head to be acknowledged."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(100)
    return listener


async def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
