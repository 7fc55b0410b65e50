"""Where calls may go: a table of what is denied, and what an operator opens.

`ipaddress.is_global` passes NAT64, 6to4, IPv4-compatible, multicast and some metadata addresses, so the
table here is explicit. Sources: IANA's special-purpose registries for IPv4 and IPv6, RFC 6890 and the
clouds' own documentation of their metadata services.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeAlias

from headrace.outbound.target import InvalidTarget, canonical_host

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# Reached from inside a cloud only, and handing out its credentials; some lie in public or shared ranges.
_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, OpenStack, DigitalOcean, Hetzner, Oracle
        "169.254.170.2",  # AWS ECS task credentials
        "169.254.170.23",  # AWS EKS pod identity
        "169.254.0.23",  # Tencent
        "169.254.42.42",  # Scaleway
        "168.63.129.16",  # Azure WireServer
        "100.100.100.200",  # Alibaba
        "100.96.0.96",  # Volcengine
        "192.0.0.192",  # Oracle, older
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS EKS pod identity
        "fd00:42::42",  # Scaleway
        "fd20:ce::254",  # Google
        "fd00:c1::a9fe:a9fe",  # Oracle
        "fd00:a9fe:a9fe::1",  # Akamai
        "fd00:100::100:200",  # Alibaba
        "fe80::a9fe:a9fe",  # OpenStack
    )
)

_DENIED: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "UNSPECIFIED"),
    ("10.0.0.0/8", "PRIVATE"),
    ("100.64.0.0/10", "SHARED"),
    ("127.0.0.0/8", "LOOPBACK"),
    ("169.254.0.0/16", "LINK_LOCAL"),
    ("172.16.0.0/12", "PRIVATE"),
    ("192.0.0.0/24", "RESERVED"),
    ("192.0.2.0/24", "DOCUMENTATION"),
    ("192.88.99.0/24", "TRANSLATED"),
    ("192.168.0.0/16", "PRIVATE"),
    ("198.18.0.0/15", "BENCHMARKING"),
    ("198.51.100.0/24", "DOCUMENTATION"),
    ("203.0.113.0/24", "DOCUMENTATION"),
    ("224.0.0.0/4", "MULTICAST"),
    ("240.0.0.0/4", "RESERVED"),
    ("::/128", "UNSPECIFIED"),
    ("::1/128", "LOOPBACK"),
    ("::/96", "TRANSLATED"),  # IPv4-compatible
    ("::ffff:0:0/96", "TRANSLATED"),  # IPv4-mapped
    ("::ffff:0:0:0/96", "TRANSLATED"),  # IPv4-translated (SIIT)
    ("64:ff9b::/96", "TRANSLATED"),  # NAT64
    ("64:ff9b:1::/48", "TRANSLATED"),  # NAT64, local use
    ("2001::/32", "TRANSLATED"),  # Teredo
    ("2001:2::/48", "BENCHMARKING"),
    ("2001::/23", "RESERVED"),
    ("2001:db8::/32", "DOCUMENTATION"),
    ("2002::/16", "TRANSLATED"),  # 6to4
    ("3fff::/20", "DOCUMENTATION"),
    ("fc00::/7", "PRIVATE"),  # unique local
    ("fe80::/10", "LINK_LOCAL"),
    ("fec0::/10", "PRIVATE"),  # site local
    ("ff00::/8", "MULTICAST"),
)
_DENIED_BY_VERSION: Mapping[int, tuple[tuple[Network, str], ...]] = {
    version: tuple((ip_network(n), kind) for n, kind in _DENIED if ip_network(n).version == version)
    for version in (4, 6)
}
_GLOBAL_UNICAST = IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class EgressDenied:
    """An address that calls may not go to; `kind` is the class of addresses that it belongs to."""

    kind: str


@dataclass(frozen=True, slots=True)
class Opening:
    """What an operator opens: a network or a host name, on one port or (None) on all."""

    network: Network | None
    host: str | None = None
    port: int | None = None

    @staticmethod
    def parse(text: str) -> "Opening":
        """Reads `network`, `address` or `host`, each with `:port` or without. Raises ValueError.

        An IPv6 address or network with a port stands in brackets: `[fd00::/8]:443`.
        """
        rest, port = _split_port(text.strip())
        try:
            return Opening(ip_network(rest), None, port)
        except ValueError:
            if "/" in rest or ":" in rest:
                raise ValueError("not a network, an address or a host name") from None
        try:
            host = canonical_host(rest)
        except InvalidTarget:
            raise ValueError("not a network, an address or a host name") from None
        return Opening(None, host, port)

    def fits(self, address: Address, port: int, host: str, *, exact: bool) -> bool:
        """`exact` asks for an opening that names this one address and nothing else."""
        if self.port is not None and self.port != port:
            return False
        if self.network is None:
            return not exact and self.host == host
        if exact and self.network.num_addresses != 1:
            return False
        return address.version == self.network.version and address in self.network


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Which addresses calls may be made to. The empty policy opens nothing that the table denies.

    A metadata address is opened only by an entry that names exactly it. A translated address (NAT64, 6to4,
    IPv4-compatible) needs both itself and the IPv4 address inside it to be permitted. An opened host name
    opens whatever it resolves to, metadata excepted: it means trust in who answers for that name.
    """

    allow: tuple[Opening, ...] = ()
    tenants: Mapping[str, tuple[Opening, ...]] = field(default_factory=dict)

    def for_tenant(self, tenant_id: object) -> "EgressPolicy":
        """What holds for one tenant: the deployment's openings and its own. The id is read as text."""
        own = self.tenants.get(str(tenant_id).lower(), ())
        return replace(self, allow=(*self.allow, *own), tenants={})

    def check(self, address: str | Address, port: int, host: str) -> EgressDenied | None:
        """May a socket be opened to `address`, found under the canonical name `host`? None means yes."""
        parsed = ip_address(address.partition("%")[0]) if isinstance(address, str) else address
        return self._check(parsed, port, host)

    def _check(self, address: Address, port: int, host: str) -> EgressDenied | None:
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            # The kernel dials the IPv4 address, so that is the one to judge.
            return self._check(address.ipv4_mapped, port, host)
        kind = kind_of(address)
        if kind is not None and not any(
            opening.fits(address, port, host, exact=kind == "METADATA") for opening in self.allow
        ):
            return EgressDenied(kind)
        inner = embedded_ipv4(address)
        return None if inner is None else self._check(inner, port, host)


def kind_of(address: Address) -> str | None:
    """The denied class that an address belongs to, or None for one that the whole Internet can reach."""
    if address in _METADATA:
        return "METADATA"
    for network, kind in _DENIED_BY_VERSION[address.version]:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "RESERVED"
    return None


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """The IPv4 address that a translated IPv6 address leads to, if it is one.

    RFC 4291 (compatible), 6145 (translated), 6052 and 8215 (NAT64), 3056 (6to4), 4380 (Teredo, whose
    client address is inverted), 5214 (ISATAP).
    """
    if isinstance(address, IPv4Address):
        return None
    value, low = int(address), int(address) & 0xFFFFFFFF
    high = value >> 32
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    in_low_bits = (
        high in (0, 0xFFFF_0000)
        or high == 0x0064_FF9B << 64
        or value >> 80 == 0x0064_FF9B_0001
        or high & 0xFDFF_FFFF == 0x0000_5EFE
    )
    return IPv4Address(low) if in_low_bits and value > 1 else None


def _split_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        inner, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError("brackets do not close")
        rest, port = inner, port[1:]
    elif text.count(":") == 1:
        rest, _, port = text.partition(":")
    else:
        rest, port = text, ""
    if not port:
        return rest, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        raise ValueError("the port is not a number from 1 to 65535")
    return rest, int(port)
