"""Where a call goes: URLs read by one strict rule, so that every spelling of a host takes the same path.

aiohttp, httpx, yarl and the C library each read hosts in their own way; a guard and a connector that
disagree are a hole. Hosts are therefore made canonical here, before any of them sees the URL, while path
and query stay exactly as they were written.
"""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, unquote, unquote_plus, urljoin

import idna

from headrace.records import record

MAX_URL = 16_384
_MAX_NAME = 253  # RFC 1035, 2.3.4, as text
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)(?:#.*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_VISIBLE = re.compile(r"[^\x21-\x7e]+")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class InvalidTarget(ValueError):
    """Not a URL that calls may go to. The message names the rule and never quotes the URL."""


@record
class Target:
    """A canonical destination. `host` is lower-case ASCII, IPv6 without brackets; `path` has the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What stands in the Host header: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_target(url: str) -> Target:
    """Reads an absolute http or https URL. Raises `InvalidTarget`.

    User information is refused. IPv4 hosts may be written in any way that browsers and the C library
    accept (octal, hexadecimal, fewer parts, full-width digits, a final dot) and come out in dotted decimals.
    """
    if len(url) > MAX_URL:
        raise InvalidTarget(f"the URL is longer than {MAX_URL} characters")
    if _CONTROL.search(url):
        raise InvalidTarget("the URL holds a control character")
    if url != url.strip():
        raise InvalidTarget("the URL begins or ends with a space")
    match = _URL.fullmatch(url)
    if match is None:
        raise InvalidTarget("the URL is not absolute")
    scheme, authority, path = match[1].lower(), match[2], match[3]
    if scheme not in _DEFAULT_PORTS:
        raise InvalidTarget("the URL's scheme is neither http nor https")
    if "@" in authority:
        raise InvalidTarget("the URL holds user information")
    host, port = _split_port(authority)
    return Target(scheme, canonical_host(host), port or _DEFAULT_PORTS[scheme], _visible(path))


def join_target(base: Target, location: str) -> Target:
    """The target of a redirect to `location`, absolute or not (RFC 3986, 5.2). Raises `InvalidTarget`."""
    if _CONTROL.search(location):
        raise InvalidTarget("the redirect's location holds a control character")
    try:
        return parse_target(urljoin(base.url, location.strip(" ")))
    except InvalidTarget:
        raise
    except ValueError:
        raise InvalidTarget("the redirect's location is not a URL") from None


def with_query(path: str, name: str, value: str) -> str:
    """`path`, or a URL without fragment, with one parameter `name`. Raises `UnicodeEncodeError` for lone surrogates."""
    kept = without_query(path, name)
    added = f"{quote(name, safe='')}={quote(value, safe='')}"
    return f"{kept}{'&' if '?' in kept else '?'}{added}"


def without_query(path: str, name: str) -> str:
    """`path`, or a URL without fragment, without the parameter `name`."""
    before, _, query = path.partition("?")
    kept = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) != name]
    return f"{before}?{'&'.join(kept)}" if kept else before


@lru_cache(1024)  # at most a few hundred characters each: longer ones are refused
def canonical_host(host: str) -> str:
    """A host name or literal address in its one canonical spelling. Raises `InvalidTarget`."""
    if host.startswith("["):
        if not host.endswith("]") or "%" in host:
            raise InvalidTarget("the host is not an IPv6 address")
        try:
            return _spelled(IPv6Address(host[1:-1]))
        except AddressValueError:
            raise InvalidTarget("the host is not an IPv6 address") from None
    try:
        name = unquote(host, errors="strict")
        if (
            len(name) > _MAX_NAME + 1
        ):  # a final dot; and reading names that are not ASCII takes quadratic time
            raise InvalidTarget("the host is not a valid name")
        if not name.isascii():
            name = idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise InvalidTarget("the host is not a valid name") from None
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return str(_ipv4(labels))
    if len(name) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidTarget("the host is not a valid name")
    return name


def _spelled(address: IPv6Address) -> str:
    """In hexadecimal throughout: from Python 3.13 on, `str` writes an IPv4-mapped address with dots."""
    mapped = address.ipv4_mapped
    return str(address) if mapped is None else f"::ffff:{int(mapped) >> 16:x}:{int(mapped) & 0xFFFF:x}"


def _ipv4(parts: list[str]) -> IPv4Address:
    """inet_aton's reading (and WHATWG's): up to four numbers, the last of which fills what is left."""
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise InvalidTarget("the host is not an IPv4 address")
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        raise InvalidTarget("the host is not an IPv4 address") from None
    *head, tail = numbers
    if any(number > 255 for number in head) or tail >= 256 ** (5 - len(parts)):
        raise InvalidTarget("the host is not an IPv4 address")
    return IPv4Address(sum(number << (8 * (3 - i)) for i, number in enumerate(head)) + tail)


def _number(part: str) -> int:
    if len(part) > 40:
        raise ValueError("too long for a part of an address")
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if len(part) > 1 and part.startswith("0") else 10)


def _split_port(authority: str) -> tuple[str, int | None]:
    host, colon, port = authority.rpartition(":")
    if not colon or "]" in port:
        host, port = authority, ""
    if not host:
        raise InvalidTarget("the URL has no host")
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        raise InvalidTarget("the URL's port is not a number from 1 to 65535")
    return host, int(port)


def _visible(path: str) -> str:
    """`path` as it may stand on a request line; what is already visible ASCII is left as it is."""
    path = path if path.startswith("/") else f"/{path}"
    try:
        return _NOT_VISIBLE.sub(lambda m: quote(m[0], safe=""), path)
    except UnicodeEncodeError:
        raise InvalidTarget("the URL holds a lone surrogate") from None
