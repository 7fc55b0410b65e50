"""How a credential is put into a request, and where it may go.

Fields by kind (secret ones marked *):
API_KEY: `key`*, `name` (default X-Api-Key), `in` (`header` or `query`), `prefix` (optional, before the key).
BASIC: `username`, `password`*.
OAUTH2: `access_token`*, `token_type` (default Bearer).
CUSTOM_HEADER: each field is a header's name, each value* its value.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from headrace.outbound.failures import CallCode, CallRefused
from headrace.outbound.fields import is_field_value, is_token
from headrace.outbound.target import Target, parse_target, with_query
from headrace.workflow.actions import OWN_HEADERS
from headrace.workflow.definition import AuthKind

DEFAULT_KEY_NAME = "X-Api-Key"
_PAIR_VALUE = re.compile(r"""[\w.~-]=["']?([^\s"',;]+)""")


@dataclass(frozen=True, slots=True)
class Credential:
    """What authenticates calls of one connection, in memory only. `repr` shows no field.

    `hosts` are the places it may be sent to, as `host` (any port) or `host:port`; see `bound_host`.
    `version` changes with every refresh; `expires_at` is known for OAuth2 only.
    """

    kind: AuthKind
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    hosts: frozenset[str] = frozenset()
    connection_id: str = ""
    version: int = 0
    expires_at: datetime | None = None

    @property
    def own_parameter(self) -> str | None:
        """The query parameter that an API key is written into, if it is."""
        if self.kind is not AuthKind.API_KEY or self.fields.get("in") != "query":
            return None
        return self.fields.get("name") or DEFAULT_KEY_NAME

    def secrets(self) -> tuple[str, ...]:
        """Every value to keep out of what is written down."""
        match self.kind:
            case AuthKind.NONE:
                return ()
            case AuthKind.API_KEY:
                return tuple(_secrets_in(self.fields.get("key", "")))
            case AuthKind.BASIC:
                password = self.fields.get("password", "")
                return (password, f"{self.fields.get('username', '')}:{password}")
            case AuthKind.OAUTH2:
                return (self.fields.get("access_token", ""),)
            case AuthKind.CUSTOM_HEADER:
                return tuple(secret for value in self.fields.values() for secret in _secrets_in(value))
            case _:
                assert_never(self.kind)

    def may_go_to(self, target: Target) -> bool:
        return target.host in self.hosts or f"{target.host}:{target.port}" in self.hosts


@dataclass(frozen=True, slots=True)
class Signed:
    """The parts of a request that a credential touches, with it in place."""

    path: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)


def bound_host(base_url: str) -> str:
    """The `host:port` that an app's credentials are bound to. Raises `InvalidTarget`."""
    target = parse_target(base_url)
    return f"{target.host}:{target.port}"


def sign(credential: Credential, target: Target, headers: tuple[tuple[str, str], ...]) -> Signed:
    """Puts the credential into a request to `target`; headers of the same name are replaced.

    Raises `CallRefused`: the target is not one of its hosts, or a field is missing or does not fit
    into a header.
    """
    if credential.kind is AuthKind.NONE:
        return Signed(target.path, headers)
    if not credential.may_go_to(target):
        raise _unusable("the credential is not bound to the target's host")
    match credential.kind:
        case AuthKind.API_KEY:
            name = credential.fields.get("name") or DEFAULT_KEY_NAME
            value = credential.fields.get("prefix", "") + _required(credential, "key")
            match credential.fields.get("in") or "header":
                case "header":
                    added = [(name, value)]
                case "query":
                    try:
                        return Signed(with_query(target.path, name, value), headers)
                    except UnicodeEncodeError:
                        raise _unusable("the credential is not valid Unicode") from None
                case _:
                    raise _unusable("an API key goes into `header` or `query`")
        case AuthKind.BASIC:
            pair = f"{_required(credential, 'username')}:{credential.fields.get('password', '')}"
            try:
                token = base64.b64encode(pair.encode("utf-8")).decode("ascii")
            except UnicodeEncodeError:
                raise _unusable("the credential is not valid Unicode") from None
            added = [("Authorization", f"Basic {token}")]
        case AuthKind.OAUTH2:
            scheme = credential.fields.get("token_type") or "Bearer"
            # RFC 6750 servers differ in what they accept; the registered spelling always works.
            scheme = "Bearer" if scheme.lower() == "bearer" else scheme
            added = [("Authorization", f"{scheme} {_required(credential, 'access_token')}")]
        case AuthKind.CUSTOM_HEADER:
            added = list(credential.fields.items())
        case _:
            assert_never(credential.kind)
    for name, value in added:
        if not is_token(name) or not is_field_value(value) or name.lower() in OWN_HEADERS:
            raise _unusable("the credential does not fit into a header")
    names = {name.lower() for name, _ in added}
    kept = tuple(header for header in headers if header[0].lower() not in names)
    return Signed(target.path, (*kept, *added))


def secrets_of_text(text: str) -> Iterator[str]:
    """A secret of whatever use; where it is made for a header, a scheme and one word, what targets read out of it, too.

    No more is guessed: a text that describes something has words that are no secrets.
    """
    yield text
    if len(text.split()) == 2:
        yield from _behind_scheme(text)


def _secrets_in(header: str) -> Iterator[str]:
    """A header's value, and what targets read out of it: they may give back the token without its scheme.

    That is the credentials behind a scheme, and the values of parameters and cookies (RFC 6265, 4.2.1).
    """
    yield header
    yield from _PAIR_VALUE.findall(header)
    yield from _behind_scheme(header)


def _behind_scheme(header: str) -> Iterator[str]:
    """The credentials behind a scheme (RFC 9110, 11.4); those of Basic decoded, too (RFC 7617)."""
    scheme, _, rest = header.strip().partition(" ")
    if not rest:
        return
    yield rest.strip()
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(rest.strip(), validate=True).decode()
        except ValueError:
            return
        yield pair
        yield pair.partition(":")[2]


def _unusable(message: str) -> CallRefused:
    return CallRefused(CallCode.CREDENTIAL_UNUSABLE, message)


def _required(credential: Credential, name: str) -> str:
    value = credential.fields.get(name)
    if not value:
        raise _unusable(f"the credential has no `{name}`")
    return value
