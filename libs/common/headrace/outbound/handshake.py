"""TLS as targets are met with it: the system's authorities, a bound on what a handshake may take, and an end that is
known for one."""

import ssl
from collections.abc import Callable
from functools import cache, partial
from typing import Any

MAX_TURNS = 64  # reads of one handshake; common ones take three or four
MAX_BYTES = 262_144  # of the target's side of one; common ones take 3 to 10 KB


class TargetTls(ssl.SSLObject):
    """A handshake that ends, for OpenSSL passes over some messages for as long as they come; and whether the target has
    closed the session, by `close_notify`: anybody on the way can end a connection without it (RFC 9112, 9.8)."""

    incoming: ssl.MemoryBIO
    closed = False
    _turns = 0
    _bytes = 0

    def do_handshake(self) -> None:
        self._turns += 1
        self._bytes += self.incoming.pending
        if self._turns > MAX_TURNS or self._bytes > MAX_BYTES:
            raise ssl.SSLError("the handshake takes too much")
        super().do_handshake()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - how it is called
        got = super().read(len, buffer)
        self.closed |= not got
        return got


def bounded(context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """`context`, or one for HTTP/1.1 that trusts the system's authorities, with bounded handshakes from now on."""
    context = context or trusting_the_system()
    if context.sslobject_class is not TargetTls:
        context.sslobject_class = TargetTls
        setattr(context, "wrap_bio", partial(_wrap, context.wrap_bio))  # noqa: B010 - a method is replaced
    return context


def _wrap(wrap_bio: Callable[..., Any], incoming: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> TargetTls:
    tls: TargetTls = wrap_bio(incoming, *args, **kwargs)
    tls.incoming = incoming
    return tls


def verifying(authorities: str | None = None) -> ssl.SSLContext:
    """Verifies as Python 3.11 does, whatever Python this is: 3.13 also refuses chains that lack a key usage or a key's
    identifier, as those of private authorities do, and trusts an intermediate certificate for itself. Which targets
    can be called is not to hang on the Python that a runner has. Raises `OSError` for a file that can not be read."""
    context = ssl.create_default_context(cafile=authorities)
    context.verify_flags &= ~(ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN)
    return context


@cache  # reading all authorities takes tens of milliseconds
def trusting_the_system() -> ssl.SSLContext:
    context = verifying()
    context.set_alpn_protocols(["http/1.1"])
    return context
