"""TLS as targets are met with it: the system's authorities, and a bound on what a handshake may take."""

import ssl
from functools import cache

MAX_TURNS = 64  # reads of one handshake; common ones take three or four


class BoundedHandshake(ssl.SSLObject):
    """A handshake that ends. OpenSSL passes over some messages for as long as they come."""

    _turns = 0

    def do_handshake(self) -> None:
        self._turns += 1
        if self._turns > MAX_TURNS:
            raise ssl.SSLError("the handshake takes too many turns")
        super().do_handshake()


def bounded(context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """`context`, or one for HTTP/1.1 that trusts the system's authorities, with bounded handshakes from now on."""
    context = context or _trusting_the_system()
    context.sslobject_class = BoundedHandshake
    return context


@cache  # reading all authorities takes tens of milliseconds
def _trusting_the_system() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
