"""What a process carries of operations, and of websockets with those on them: for whom, and how much at most."""

import contextlib
from collections import Counter
from collections.abc import Hashable, Iterator
from uuid import UUID

from headrace.errors import LimitExceeded, RateLimited, Unavailable

from headrace_control.auth.caller import Caller
from headrace_control.web.policy import HttpPolicy

# Websockets whose `connection_init` was not acknowledged yet: in the process, and of one address.
UNKNOWN_SOCKETS = 200
UNKNOWN_OF_ONE_ADDRESS = 20
# Others' operations end in moments, and so may one's own: in seconds.
_RETRY_AFTER = 1


class Carried:
    """Counts against `policy`. One tenant has at most a quarter of the operations by POST, of the sockets and of the
    operations on these, whether there are others or not: what it has is its own whoever comes, and no number of keys
    makes it more."""

    def __init__(self, policy: HttpPolicy) -> None:
        self._policy = policy
        self.posted: Counter[UUID] = Counter()
        self.unknown: Counter[Hashable] = Counter()
        self.sockets: Counter[UUID] = Counter()
        self._of_tenant: Counter[UUID] = Counter()
        self._of_key: Counter[UUID] = Counter()

    @contextlib.contextmanager
    def one_posted(self, tenant_id: UUID) -> Iterator[None]:
        """Around an operation by POST, from when it is known whose it is. Raises `RateLimited` when there is no room
        for one more of the tenant, `Unavailable` when there is none at all."""
        share = _quarter(self._policy.operations)
        if self.posted[tenant_id] >= share:
            raise RateLimited(f"more than {share} operations of this tenant at once", _RETRY_AFTER)
        if self.posted.total() >= self._policy.operations:
            raise Unavailable("too many operations at once; try again later")
        self.posted[tenant_id] += 1
        try:
            yield
        finally:
            _forget_one(self.posted, tenant_id)

    def place(self, address: Hashable) -> "Place | None":
        """For a websocket that comes from `address`; None when there is no room."""
        if (
            self.sockets.total() >= self._policy.sockets
            or self.unknown[address] >= UNKNOWN_OF_ONE_ADDRESS
            or self.unknown.total() >= UNKNOWN_SOCKETS
        ):
            return None
        return Place(self, address)

    def admit(self, tenant_id: UUID) -> None:
        """One more socket of a tenant. Raises `LimitExceeded`."""
        if self.sockets[tenant_id] >= _quarter(self._policy.sockets):
            raise LimitExceeded("too many websockets of this tenant at once")
        if self.sockets.total() >= self._policy.sockets:
            raise LimitExceeded("too many websockets at once")
        self.sockets[tenant_id] += 1

    def check(self, caller: Caller) -> None:
        """Raises `LimitExceeded` unless there is room for one more operation of the caller."""
        policy, share = self._policy, _quarter(self._policy.operations_on_sockets)
        if self._of_key[caller.actor.id] >= policy.operations_per_key:
            raise LimitExceeded(
                f"more than {policy.operations_per_key} operations at once on this key's websockets"
            )
        if self._of_tenant[caller.tenant_id] >= share:
            raise LimitExceeded(f"more than {share} operations at once on this tenant's websockets")
        if self._of_tenant.total() >= policy.operations_on_sockets:
            raise LimitExceeded("too many operations at once on websockets; try again later")

    def begin(self, caller: Caller) -> None:
        """An operation, until `end`."""
        self._of_key[caller.actor.id] += 1
        self._of_tenant[caller.tenant_id] += 1

    def end(self, caller: Caller) -> None:
        _forget_one(self._of_key, caller.actor.id)
        _forget_one(self._of_tenant, caller.tenant_id)


class Place:
    """Where a websocket counts: with the unknown ones of its address, then with its tenant's."""

    def __init__(self, carried: Carried, address: Hashable) -> None:
        self._carried, self._address = carried, address
        self._tenant: UUID | None = None
        carried.unknown[address] += 1

    def admit(self, tenant_id: UUID) -> None:
        """The socket is known to be the tenant's. Raises `LimitExceeded`; it is unknown still then."""
        self._carried.admit(tenant_id)
        self._tenant = tenant_id
        _forget_one(self._carried.unknown, self._address)

    def leave(self) -> None:
        if self._tenant is None:
            _forget_one(self._carried.unknown, self._address)
        else:
            _forget_one(self._carried.sockets, self._tenant)


def _quarter(most: int) -> int:
    """Rounded up: a tenant has one at least."""
    return -(-most // 4)


def _forget_one(counted: Counter, key: Hashable) -> None:  # type: ignore[type-arg]
    counted[key] -= 1
    if not counted[key]:
        del counted[key]
