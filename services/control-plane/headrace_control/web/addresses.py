"""Whose request it is when proxies stand in between."""

import functools
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace_control.web.policy import Network

Address: TypeAlias = IPv4Address | IPv6Address


class ClientAddress:
    """ASGI middleware: makes the scope's `client` who is behind the trusted proxies.

    X-Forwarded-For is read from the right, where the nearest proxy wrote, and only as far as addresses are trusted
    ones: the first that is not is the client. What stands left of it anybody can have written.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app, self._trusted = app, trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._trusted and scope["type"] in ("http", "websocket") and scope.get("client"):
            host, port = scope["client"]
            scope = {**scope, "client": (self._behind(host, Headers(scope=scope)), port)}
        await self._app(scope, receive, send)

    def _behind(self, host: str, headers: Headers) -> str:
        found = parse_address(host)
        if found is None or not self._is_trusted(found):
            return host
        for text in _from_the_right(headers):
            address = parse_address(text)
            if address is None:
                break  # a proxy of ours wrote it so, or passed it on: what we know ends here
            found = address
            if not self._is_trusted(found):
                break
        return str(found)

    def _is_trusted(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._trusted)


def _from_the_right(headers: Headers) -> Iterator[str]:
    for line in reversed(headers.getlist("x-forwarded-for")):
        yield from reversed(line.split(","))


def parse_address(text: str) -> Address | None:
    """An address as proxies write it: bare, or with a port, an IPv6 one then in brackets. Mapped IPv4 is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@functools.lru_cache(maxsize=1024)
def bucket_of(host: str) -> str:
    """What shares one rate: an IPv4 address, or the /64 of an IPv6 one, for that is what one subscriber is given."""
    address = parse_address(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address or host)
