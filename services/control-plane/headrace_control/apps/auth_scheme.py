"""How an app's connections authenticate: the scheme as designers write it, and what it asks of connections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from headrace.json_types import Json, JsonObject
from headrace.outbound.target import InvalidTarget, parse_target
from headrace.workflow.actions import header_problem
from headrace.workflow.definition import AuthKind
from headrace.workflow.reading import Fields, Reading

E = TypeVar("E", bound=StrEnum)

MAX_URL = 2_048
MAX_HEADERS = 10
MAX_SCOPES = 50
MAX_EXTRA = 20

_KEYS: Mapping[AuthKind, tuple[str, ...]] = {
    AuthKind.NONE: (),
    AuthKind.API_KEY: ("in", "name", "prefix"),
    AuthKind.BASIC: (),
    AuthKind.OAUTH2: ("tokenUrl", "grant", "scopes", "clientAuth", "extra", "authorizationUrl", "issuer"),
    AuthKind.CUSTOM_HEADER: ("headers",),
}


# What we say to the authorization endpoint ourselves: a second one in the URL might be the one that is read.
_OURS = frozenset(
    {
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
    }
)


class GrantKind(StrEnum):
    """RFC 6749, sections 4.4, 6 and 4.1."""

    CLIENT_CREDENTIALS = "CLIENT_CREDENTIALS"
    REFRESH_TOKEN = "REFRESH_TOKEN"  # noqa: S105 - the grant's name
    AUTHORIZATION_CODE = "AUTHORIZATION_CODE"


class ClientProof(StrEnum):
    """How a client proves itself at the token endpoint (RFC 6749, section 2.3.1): in the header, in the body,
    or not at all (a public client)."""

    BASIC = "BASIC"
    POST = "POST"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class AuthScheme:
    """One scheme. Only the fields of its kind mean anything.

    API_KEY: `location` (header or query), `name`, `prefix`. OAUTH2: `token_url`, `grant`, `scopes`,
    `client_auth`, `extra` parameters of the token request; with AUTHORIZATION_CODE the `authorization_url` where a
    person agrees, and the `issuer` as which the provider names itself in its answers, "" where it does not (RFC 9207).
    CUSTOM_HEADER: `headers`.
    """

    kind: AuthKind
    location: str = "header"
    name: str = "X-Api-Key"
    prefix: str = ""
    token_url: str = ""
    grant: GrantKind = GrantKind.CLIENT_CREDENTIALS
    scopes: tuple[str, ...] = ()
    client_auth: ClientProof = ClientProof.BASIC
    extra: Mapping[str, str] = field(default_factory=dict)
    authorization_url: str = ""
    issuer: str = ""
    headers: tuple[str, ...] = ()

    @property
    def config_keys(self) -> tuple[str, ...]:
        """What a connection's config must hold."""
        match self.kind:
            case AuthKind.BASIC:
                return ("username",)
            case AuthKind.OAUTH2:
                return ("clientId",)
            case _:
                return ()

    @property
    def secret_fields(self) -> tuple[str, ...]:
        """What a connection's secrets must hold, and nothing else."""
        match self.kind:
            case AuthKind.NONE:
                return ()
            case AuthKind.API_KEY:
                return ("apiKey",)
            case AuthKind.BASIC:
                return ("password",)
            case AuthKind.CUSTOM_HEADER:
                return self.headers
            case AuthKind.OAUTH2:
                client = () if self.client_auth is ClientProof.NONE else ("clientSecret",)
                refresh = ("refreshToken",) if self.grant is GrantKind.REFRESH_TOKEN else ()
                return (*client, *refresh)


def read_scheme(reading: Reading, value: Json, path: str) -> AuthScheme | None:
    """The scheme that `value` holds; None, with problems, when it holds none."""
    every = ("kind", *dict.fromkeys(key for keys in _KEYS.values() for key in keys))
    anything = reading.fields(value, path, every)
    if anything is None or not anything.required("kind", f"Write one of {', '.join(AuthKind)}."):
        return None
    kind = anything.choice("kind", AuthKind)
    if kind is None:
        return None
    for name in anything.data:
        if name in every and name not in ("kind", *_KEYS[kind]):
            anything.wrong(name, f"{kind} has no such key", "Leave it out.", "UNKNOWN_KEY")
    return _scheme(kind, anything)


def dump_scheme(scheme: AuthScheme) -> JsonObject:
    """The scheme as JSON, every key of its kind written."""
    values: dict[str, Json] = {
        "in": scheme.location,
        "name": scheme.name,
        "prefix": scheme.prefix,
        "tokenUrl": scheme.token_url,
        "grant": scheme.grant.value,
        "scopes": list(scheme.scopes),
        "clientAuth": scheme.client_auth.value,
        "extra": dict(scheme.extra),
        "authorizationUrl": scheme.authorization_url,
        "issuer": scheme.issuer,
        "headers": list(scheme.headers),
    }
    named = (key for key in _KEYS[scheme.kind] if values[key] or key not in ("authorizationUrl", "issuer"))
    return {"kind": scheme.kind.value, **{key: values[key] for key in named}}


def load_scheme(stored: Json) -> AuthScheme:
    """The scheme that `dump_scheme` wrote."""
    reading = Reading()
    scheme = read_scheme(reading, stored, "auth")
    reading.finish()
    assert scheme is not None  # noqa: S101 - a reading without problems made one
    return scheme


def read_url(fields: Fields, name: str, *, query: bool) -> str:
    """An http or https URL without user information or fragment; a query only where `query` allows it."""
    url = fields.text(name, MAX_URL)
    if url is None:
        return ""
    mend = "Write a URL such as https://api.example.com/v1."
    try:
        parse_target(url)
    except InvalidTarget as error:
        fields.wrong(name, str(error), mend, "BAD_URL")
        return url
    if "#" in url or ("?" in url and not query):
        fields.wrong(name, "the URL holds a query or a fragment", mend, "BAD_URL")
    return url


def _scheme(kind: AuthKind, fields: Fields) -> AuthScheme:
    plain = AuthScheme(kind)
    match kind:
        case AuthKind.NONE | AuthKind.BASIC:
            return plain
        case AuthKind.API_KEY:
            location = fields.word("in", ("header", "query")) or plain.location
            name = fields.text("name", 128) or plain.name
            prefix = fields.any("prefix") or ""
            if not isinstance(prefix, str) or len(prefix) > 64 or header_problem("X", prefix):
                fields.wrong("prefix", "this can not stand before a key", "Write a text such as `Bearer `.")
                prefix = ""
            if location == "header" and (problem := header_problem(name, "")):
                fields.wrong("name", problem, "Write a header's name, such as X-Api-Key.", "BAD_HEADER")
            return AuthScheme(kind, location=location, name=name, prefix=prefix)
        case AuthKind.OAUTH2:
            fields.required("tokenUrl", "Write the URL of the token endpoint.")
            grant = _choice(fields, "grant", GrantKind) or plain.grant
            return AuthScheme(
                kind,
                token_url=read_url(fields, "tokenUrl", query=True),
                grant=grant,
                scopes=_texts(fields, "scopes", MAX_SCOPES),
                client_auth=_choice(fields, "clientAuth", ClientProof) or plain.client_auth,
                extra=_extra(fields),
                authorization_url=_authorization_url(fields, grant),
                issuer=read_url(fields, "issuer", query=False) if fields.has("issuer") else "",
            )
        case AuthKind.CUSTOM_HEADER:
            fields.required("headers", "Name the headers, such as [X-Token].")
            return AuthScheme(kind, headers=_header_names(fields))


def _authorization_url(fields: Fields, grant: GrantKind) -> str:
    if grant is not GrantKind.AUTHORIZATION_CODE:
        for name in ("authorizationUrl", "issuer"):
            if fields.has(name):
                fields.wrong(name, f"{grant} has no such key", "Leave it out.", "UNKNOWN_KEY")
        return ""
    if not fields.required("authorizationUrl", "Write the URL where a person agrees."):
        return ""
    url = read_url(fields, "authorizationUrl", query=True)
    if not url.isascii() or not url.isprintable() or set(url) & set(" \\"):
        # It goes to browsers, which read such a thing in ways of their own.
        fields.wrong(
            "authorizationUrl", "the URL holds a character that URLs have not", "Encode it.", "BAD_URL"
        )
        return url
    if twice := sorted(_OURS & {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}):
        mend = f"Leave {', '.join(twice)} out of the query; Headrace adds it."
        fields.wrong("authorizationUrl", "the query says what Headrace says itself", mend, "BAD_URL")
    return url


def _choice(fields: Fields, name: str, kind: type[E]) -> E | None:
    """As `Fields.choice`, in either case: the protocol's own texts write these words in small letters."""
    value = fields.any(name)
    if isinstance(value, str) and value.upper() in kind.__members__:
        return kind(value.upper())
    return fields.choice(name, kind)


def _texts(fields: Fields, name: str, most: int) -> tuple[str, ...]:
    found = []
    for path, value in fields.elements(name, most):
        if isinstance(value, str) and 0 < len(value) <= 200:
            found.append(value)
        else:
            fields.reading.add(path, "a text of 1 to 200 characters is needed", "Put it in quotes.")
    return tuple(found)


def _extra(fields: Fields) -> Mapping[str, str]:
    extra = fields.object("extra") or {}
    if len(extra) > MAX_EXTRA or not all(isinstance(value, str) for value in extra.values()):
        fields.wrong(
            "extra", f"at most {MAX_EXTRA} texts are needed", "Write names with texts, such as audience."
        )
        return {}
    return {name: value for name, value in extra.items() if isinstance(value, str)}


def _header_names(fields: Fields) -> tuple[str, ...]:
    names: Sequence[str] = _texts(fields, "headers", MAX_HEADERS)
    for name in names:
        if problem := header_problem(name, ""):
            fields.wrong("headers", problem, "Write header names, such as X-Token.", "BAD_HEADER")
    if len({name.lower() for name in names}) < len(names) or ("headers" in fields.data and not names):
        fields.wrong("headers", "each header is needed once, and at least one", "Name the headers once.")
    return tuple(names)
