"""A token that was granted, as it is kept."""

from dataclasses import replace
from urllib.parse import urlsplit
from uuid import UUID

from headrace.json_types import JsonObject
from headrace.outbound.oauth2 import TokenGrant
from headrace.postgres.pool import Db

from headrace_control.connections import repository
from headrace_control.connections.assembly import ACCESS_TOKEN, TOKEN_TYPE, run_credential
from headrace_control.connections.model import RunCredential
from headrace_control.connections.repository import SealedCredential
from headrace_control.vault.vault import Vault

MAX_TOKEN_SECONDS = 10 * 365 * 86_400.0


async def keep_grant(
    db: Db, vault: Vault, tenant_id: UUID, sealed: SealedCredential, values: dict[str, str], grant: TokenGrant
) -> tuple[RunCredential, JsonObject]:
    """Seal and store it, under the connection's lock. The new credential, and what the audit is told."""
    fresh = {ACCESS_TOKEN: grant.access_token, TOKEN_TYPE: grant.token_type}
    if grant.refresh_token is not None:
        fresh[repository.REFRESH_TOKEN] = grant.refresh_token
    connection_id = sealed.connection_id
    places = {repository.place_of(tenant_id, connection_id, name): value for name, value in fresh.items()}
    await repository.put_secrets(db, tenant_id, await vault.seal(db, tenant_id, places))
    seconds = bounded(grant.expires_in)
    version, expires_at = await repository.token_granted(db, tenant_id, connection_id, seconds)
    if grant.refresh_token is not None:
        ends = bounded(grant.refresh_expires_in)
        await repository.authorization_ends(db, tenant_id, connection_id, ends)
    detail: JsonObject = {
        "version": version,
        "host": urlsplit(sealed.auth.token_url or "").hostname,
        "rotated": grant.refresh_token is not None,
    }
    renewed = replace(sealed, token_version=version, token_expires_at=expires_at, token_lasts=True)
    return run_credential(renewed, {**values, **fresh}), detail


def bounded(seconds: float | None) -> float | None:
    return None if seconds is None else min(seconds, MAX_TOKEN_SECONDS)
