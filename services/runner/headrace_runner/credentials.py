"""The credentials of one run, in memory, for as long as its claim lives."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from headrace.errors import HeadraceError
from headrace.outbound.auth import Credential
from headrace.workflow.definition import AuthKind
from headrace.workflow.state import Failure

from headrace_runner.run_pass import RunPass

# A token that ends this soon is not started with.
MARGIN = timedelta(seconds=15)
CONNECTION_MISSING = Failure(
    "CONNECTION_MISSING",
    "the connection was deleted; one that has its name now is for versions published with that",
)


class TokenSource(Protocol):
    """Who has newer access tokens."""

    async def token(self, run: RunPass, connection_id: str, seen_version: int) -> dict[str, Any]:
        """Raises `NotFound` when the claim is closed or the connection gone."""


class RunCredentials:
    """Gives credentials by connection id; asks the control plane for newer access tokens.

    The control plane refreshes in one place, so a rotating refresh token survives a whole fleet; here too one
    request per connection is under way at a time. `learnt` is told every new secret, for redaction.
    """

    def __init__(
        self,
        control_plane: TokenSource,
        run_pass: RunPass,
        given: Mapping[str, Mapping[str, Any]],
        learnt: Callable[[Credential], None],
    ) -> None:
        self._control_plane, self._run_pass = control_plane, run_pass
        self._base_urls: dict[str, str | None] = {i: c.get("base_url") for i, c in given.items()}
        self._credentials = {i: load_credential(c) for i, c in given.items() if not c.get("error")}
        self._changed_at: dict[str, str | None] = {i: c.get("changed_at") for i, c in given.items()}
        self._limited = frozenset(i for i, c in given.items() if c.get("limited"))
        self._learnt = learnt
        self._locks: dict[str, asyncio.Lock] = {}

    def all(self) -> list[Credential]:
        return list(self._credentials.values())

    def limited(self, connection_id: str) -> bool:
        """Whether calls through the connection need permits."""
        return connection_id in self._limited

    def changed_at(self, connection_id: str) -> str | None:
        """When the connection, whose credential is at hand, was changed last: another time may be another account."""
        return self._changed_at.get(connection_id)

    def base_url(self, connection_id: str) -> str | None:
        """The connection's own base URL, where it has one."""
        return self._base_urls.get(connection_id)

    async def current(self, connection_id: str, now: datetime) -> Credential | Failure:
        """The credential to start a call with, refreshed first when it has no token that lasts."""
        if connection_id not in self._base_urls:
            return CONNECTION_MISSING
        credential = self._credentials.get(connection_id)
        if credential is None:  # it did not open when the run was claimed, and may by now
            return await self.refresh(connection_id, 0)
        if credential.kind is AuthKind.OAUTH2 and not _lasts(credential, now):
            return await self.refresh(connection_id, credential.version)
        return credential

    async def refresh(self, connection_id: str, seen_version: int) -> Credential | Failure:
        """A credential newer than `seen_version`, or why there is none."""
        async with self._locks.setdefault(connection_id, asyncio.Lock()):
            credential = self._credentials.get(connection_id)
            if credential is not None and credential.version > seen_version:
                return credential
            try:
                given = await self._control_plane.token(self._run_pass, connection_id, seen_version)
            except HeadraceError as error:
                return Failure("TOKEN_UNAVAILABLE", f"no access token: {error.message}")
            if given.get("error"):
                return Failure(str(given.get("code", "TOKEN_REFUSED")), str(given["error"]))
            fresh = load_credential(given)
            self._credentials[connection_id] = fresh
            self._changed_at[connection_id] = given.get("changed_at")
            self._learnt(fresh)
            return fresh


def load_credential(given: Mapping[str, Any]) -> Credential:
    """A credential as the internal API hands it out."""
    expires_at = given.get("expires_at")
    return Credential(
        AuthKind(given["kind"]),
        dict(given["fields"]),
        frozenset(given["hosts"]),
        str(given["connection_id"]),
        int(given.get("version", 0)),
        datetime.fromisoformat(expires_at) if expires_at else None,
    )


def _lasts(credential: Credential, now: datetime) -> bool:
    if not credential.fields.get("access_token"):
        return False
    return credential.expires_at is None or credential.expires_at > now + MARGIN
