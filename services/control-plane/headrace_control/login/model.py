"""What a log-in is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from headrace_control.auth.roles import Role


@dataclass(frozen=True, slots=True)
class OidcClient:
    """What the identity provider knows us as. `client_secret` is "" for a public client; `algorithms` are those that
    may sign an ID token."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: str
    algorithms: Sequence[str]


@dataclass(frozen=True, slots=True)
class LoginWanted:
    """What a client begins a log-in with. `challenge` is its own PKCE challenge (RFC 7636, S256), `state` its own
    state; `invitation` is a code. One of `tenant` and `invitation` is needed."""

    redirect: str
    challenge: str
    state: str
    tenant: str | None = None
    invitation: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LoginBegun:
    """Where the browser goes, and the secret that it brings back."""

    location: str = field(repr=False)
    browser: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """A log-in as it was kept while the browser was at the identity provider."""

    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    tenant: str | None
    invitation_hash: bytes | None = field(repr=False)
    challenge: str
    redirect: str
    client_state: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session at the one moment when its token can be read."""

    token: str = field(repr=False)
    expires_at: datetime
    tenant: str
    email: str
    role: Role
