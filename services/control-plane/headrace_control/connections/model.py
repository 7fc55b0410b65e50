"""Connections and credentials, as services answer them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from headrace.json_types import Json, JsonObject
from headrace.outbound.auth import Credential

from headrace_control.apps.limits import Limits
from headrace_control.apps.model import Keep


class BreakerState(StrEnum):
    """CLOSED: calls are made. OPEN: none is. HALF_OPEN: one at a time, to see whether it is well again."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class ConnectionStatus(StrEnum):
    """READY: nothing is known against it. EXPIRING: what was granted ends within seven days. FAILING: the last request
    for an access token brought none, and asking again may help. NEEDS_AUTHORIZATION: there will be no access token
    until its secret is rotated, or a person authorizes it."""

    READY = "READY"
    EXPIRING = "EXPIRING"
    FAILING = "FAILING"
    NEEDS_AUTHORIZATION = "NEEDS_AUTHORIZATION"


@dataclass(frozen=True, slots=True)
class Connection:
    """What may be seen of a connection: everything but its secrets. `secret_fields` names those it has.

    `base_url` and `limits` stand instead of the app's. `token_error` is why OAuth2 tokens have ended, until a secret is
    rotated; `token_trouble`, why the last request brought none, and the next is made from `token_retry_at` on.
    `authorization_ends_at` is when the grant of an authorization ends, as far as it is known. `open_until` is for a
    `breaker` that is not closed.
    """

    id: UUID
    app_id: UUID
    name: str
    base_url: str | None
    config: JsonObject
    secret_fields: tuple[str, ...]
    token_version: int
    token_expires_at: datetime | None
    token_error: str | None
    token_trouble: str | None
    token_retry_at: datetime | None
    authorized_at: datetime | None
    authorized_by: str | None
    authorization_ends_at: datetime | None
    status: ConnectionStatus
    created_at: datetime
    updated_at: datetime
    limits: Limits | None
    breaker: BreakerState
    open_until: datetime | None


@dataclass(frozen=True, slots=True)
class NewConnection:
    """What comes in for a new connection. `secrets` maps fields to values, and is shown by no repr."""

    app: str
    name: str
    base_url: str | None
    config: Json
    secrets: Json = field(repr=False)
    limits: Json = None


@dataclass(frozen=True, slots=True)
class ConnectionChanges:
    """What to change. `base_url` and `limits` None go back to the app's; `config` None leaves it."""

    base_url: str | Keep | None = Keep.KEEP
    config: Json = None
    limits: "Json | Keep" = Keep.KEEP


@dataclass(frozen=True, slots=True)
class RunCredential:
    """A credential opened for one run; in memory only. `base_url` is the connection's own, if it has one.

    OAuth2: `credential.fields` holds an `access_token` when there is one that lasts; without, ask for a
    refresh, with `credential.version` as the version seen. `limited`: permits have to be asked for.
    """

    credential: Credential
    base_url: str | None
    limited: bool = False
    changed_at: datetime | None = None

    @property
    def version(self) -> int:
        return self.credential.version

    def as_json(self) -> Mapping[str, Any]:
        """As the internal API hands it to runners."""
        expires_at = self.credential.expires_at
        return {
            "connection_id": self.credential.connection_id,
            "kind": self.credential.kind.value,
            "fields": dict(self.credential.fields),
            "hosts": sorted(self.credential.hosts),
            "version": self.credential.version,
            "expires_at": expires_at.isoformat() if expires_at else None,
            "base_url": self.base_url,
            "limited": self.limited,
            "changed_at": self.changed_at.isoformat() if self.changed_at else None,
        }


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The token endpoint gives no token, and asking again the same way is no use."""

    connection_id: UUID
    code: str
    message: str

    def as_json(self) -> Mapping[str, Any]:
        """As the internal API hands it to runners."""
        return {"connection_id": str(self.connection_id), "error": self.message}


@dataclass(frozen=True, slots=True)
class TokenAway:
    """The token endpoint gave no usable answer; asking later may help."""

    connection_id: UUID
    message: str


@dataclass(frozen=True, slots=True)
class CredentialUnreadable:
    """The connection is there, and its secrets do not open: the key that sealed them is not at hand.

    Nothing of the tenant's is wrong with it; once the operator has put the key back, it opens.
    """

    CODE: ClassVar[str] = "CREDENTIAL_UNREADABLE"
    MESSAGE: ClassVar[str] = (
        "the connection's secrets do not open with the master key that the control plane has; "
        "put the key back that sealed them, or rotate the connection's secrets"
    )

    connection_id: UUID
    base_url: str | None

    def as_json(self) -> Mapping[str, Any]:
        """As the internal API hands it to runners."""
        return {
            "connection_id": str(self.connection_id),
            "code": self.CODE,
            "error": self.MESSAGE,
            "base_url": self.base_url,
        }


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a connection test saw; nothing of the answer's content.

    `error_code` is a call's code (`EGRESS_DENIED`, `HTTP_401`, ...), TOKEN_REFUSED,
    TOKEN_UNAVAILABLE or CREDENTIAL_UNREADABLE.
    `address` is the one that was dialled. `duration` is seconds.
    """

    ok: bool
    status: int | None
    error_code: str | None
    message: str
    address: str | None
    duration: float
