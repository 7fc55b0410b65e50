"""The one tree of errors that Headrace raises on purpose; each has a stable `code`.

Foreign exceptions are translated into these where they enter. GraphQL, HTTP and the bus each own one
mapping from this tree to their own words. A failing *step* is a value (`headrace.workflow.state.Failure`),
never one of these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input.

    `path` names the place (`steps[1].input.amount`; "" is the whole), `message` says what is wrong and
    `mend` how to put it right. None of them quotes the caller's data beyond names.
    """

    path: str
    message: str
    mend: str
    code: str = "INVALID"


class HeadraceError(Exception):
    """Root of the tree. `message` may be shown to the caller; it never holds a secret or a stack."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(HeadraceError):
    """The caller's input is wrong; every problem found is listed, not only the first."""

    code = "INVALID_INPUT"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in problems))
        self.problems = tuple(problems)


class NotFound(HeadraceError):
    """No such thing for this caller. The same words whether it is missing or another tenant's."""

    code = "NOT_FOUND"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} not found")
        self.what = what


class Conflict(HeadraceError):
    """The thing is not in a state that allows this (a name taken, a version already published)."""

    code = "CONFLICT"


class ConcurrencyLimit(Conflict):
    """As many runs of a workflow as it allows are unfinished; `runs` are the ids of the oldest of them."""

    code = "CONCURRENCY_LIMIT"

    def __init__(self, message: str, runs: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.runs = tuple(str(run) for run in runs)


class TenantEnding(Conflict):
    """The tenant is to be deleted at `due_at`; nothing new starts in it."""

    code = "TENANT_ENDING"

    def __init__(self, due_at: datetime) -> None:
        super().__init__(f"the tenant is to be deleted at {due_at.isoformat()}: nothing new starts")
        self.due_at = due_at


class Expired(HeadraceError):
    """What was given out for a time is shown after it."""

    code = "EXPIRED"


class Unauthenticated(HeadraceError):
    """No valid credentials came with the call."""

    code = "UNAUTHENTICATED"


class Forbidden(HeadraceError):
    """The caller is known and its role does not allow this."""

    code = "FORBIDDEN"


class ProviderRefused(HeadraceError):
    """Somebody else's server refuses what was asked of it on the caller's behalf. `reason` is its code, one of those
    that the protocol's standard defines, or ours for what came instead of one."""

    code = "PROVIDER_REFUSED"

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class LimitExceeded(HeadraceError):
    """A declared limit (size, depth, quota) was passed."""

    code = "LIMIT_EXCEEDED"


class QuotaExceeded(LimitExceeded):
    """A quota of the tenant is used up. `quota` is its name in GraphQL, `most` what it allows."""

    code = "QUOTA_EXCEEDED"

    def __init__(self, quota: str, most: int, what: str) -> None:
        super().__init__(f"the quota {quota} is used up: {most} {what}; ask the platform's operator for more")
        self.quota, self.most = quota, most


class RateLimited(HeadraceError):
    """Asked too often. `retry_after` is in seconds: when the same call may succeed."""

    code = "RATE_LIMITED"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = max(1, math.ceil(retry_after))


class Unavailable(HeadraceError):
    """A dependency can not be reached now; the same call may succeed later."""

    code = "UNAVAILABLE"


class TimedOut(Unavailable):
    """The time that an operation is given was over. It may have been done."""

    code = "TIMED_OUT"


class BusUnavailable(Unavailable):
    """The bus did not confirm in time. What was published may or may not have arrived: publish it again."""

    code = "BUS_UNAVAILABLE"


class ForeignQueues(BusUnavailable):
    """The queues of this namespace are another deployment's: nothing is taken from them, nor put into them."""

    code = "FOREIGN_QUEUES"


class MessageTooLarge(LimitExceeded):
    """A message is above the bus's size limit (`headrace.bus.port.MAX_MESSAGE_BYTES`)."""

    code = "MESSAGE_TOO_LARGE"


class DatabaseUnavailable(Unavailable):
    """Postgres can not be reached, or refuses to work now, as with a full disk."""

    code = "DATABASE_UNAVAILABLE"


class LogStoreUnavailable(Unavailable):
    """The log store can not be reached."""

    code = "LOG_STORE_UNAVAILABLE"


class MalformedMessage(HeadraceError):
    """Bytes from the bus are not a message of ours; they go to the dead letters."""

    code = "MALFORMED_MESSAGE"
