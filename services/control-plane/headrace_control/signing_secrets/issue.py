"""A hook or a webhook is given a secret, the first one or a newer one."""

from datetime import timedelta
from uuid import UUID

from headrace.errors import InvalidInput, Problem
from headrace.ids import new_id
from headrace.postgres.pool import Db
from headrace.signed_messages import new_secret

from headrace_control.signing_secrets import repository
from headrace_control.signing_secrets.repository import Owners
from headrace_control.vault.vault import Vault

# For how many seconds the secret before the newest one counts, too.
DEFAULT_OVERLAP = 24 * 60 * 60
MAX_OVERLAP = 7 * 24 * 60 * 60


def read_overlap(seconds: int) -> timedelta:
    """Raises `InvalidInput`."""
    if not 0 <= seconds <= MAX_OVERLAP:
        mend = f"Write a number from 0 to {MAX_OVERLAP}."
        raise InvalidInput([Problem("overlapSeconds", "out of range", mend)])
    return timedelta(seconds=seconds)


async def issue_secret(
    db: Db,
    vault: Vault,
    tenant_id: UUID,
    owners: Owners,
    owner_id: UUID,
    overlap: timedelta = timedelta(0),
) -> str:
    """A new secret, kept in the caller's transaction; the one before, if any, counts for `overlap` more. Raises
    `KeysShredded`."""
    secret, place = new_secret(), repository.place_of(tenant_id, new_id())
    (sealed,) = await vault.seal(db, tenant_id, {place: secret})
    await repository.replace_secret(db, tenant_id, owners, owner_id, sealed, overlap)
    return secret
