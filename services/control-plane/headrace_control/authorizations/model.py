"""An authorization on its way."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from headrace_control.auth.caller import Actor


@dataclass(frozen=True, slots=True)
class AuthorizationWanted:
    """What a client begins with. `redirect` is where the browser ends up, with the client's own `state`."""

    connection: str
    redirect: str
    state: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthorizationBegun:
    """Where the browser goes. `callback` is ours, as the provider has to know it."""

    url: str = field(repr=False)
    callback: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Pending:
    """As it is kept. `provider` is the digest of whom it was begun with."""

    id: UUID
    connection_id: UUID
    actor_kind: str
    actor_id: UUID
    redirect: str
    client_state: str = field(repr=False)
    provider: bytes

    def began_by(self, actor: Actor) -> bool:
        return (self.actor_kind, self.actor_id) == (actor.kind.value, actor.id)
