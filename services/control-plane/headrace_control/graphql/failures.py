"""Expected failures as members of a mutation's payload, and the one mapping from errors to them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import strawberry
from headrace.errors import (
    BusUnavailable,
    ConcurrencyLimit,
    Conflict,
    DatabaseUnavailable,
    Expired,
    Forbidden,
    ForeignQueues,
    HeadraceError,
    InvalidInput,
    LimitExceeded,
    LogStoreUnavailable,
    MalformedMessage,
    MessageTooLarge,
    NotFound,
    ProviderRefused,
    QuotaExceeded,
    RateLimited,
    TenantEnding,
    TimedOut,
    Unauthenticated,
    Unavailable,
)


@strawberry.interface(name="Failure", description="Why a mutation did not do its work.")
class FailureType:
    code: str = strawberry.field(description="Stable; programs decide by it.")
    message: str = strawberry.field(description="For people.")


@strawberry.type(name="Problem", description="One thing wrong with an input.")
class ProblemType:
    path: str = strawberry.field(description="The place in the input, as `steps[1].input.amount`.")
    message: str
    mend: str = strawberry.field(description="How to put it right.")
    code: str


@strawberry.type(name="InvalidInput", description="The input is wrong; every problem found is listed.")
class InvalidInputType(FailureType):
    problems: list[ProblemType]


@strawberry.type(name="NotFound", description="No such thing for this caller.")
class NotFoundType(FailureType):
    pass


@strawberry.type(name="Conflict", description="The thing is not in a state that allows this.")
class ConflictType(FailureType):
    pass


@strawberry.type(
    name="ConcurrencyLimit",
    description="As many runs as the workflow allows at once are unfinished, and it says to skip a start then.",
)
class ConcurrencyLimitType(FailureType):
    runs: list[strawberry.ID] = strawberry.field(description="The oldest of the unfinished runs; at most 10.")


@strawberry.type(name="TenantEnding", description="The tenant is to be deleted; nothing new starts in it.")
class TenantEndingType(FailureType):
    due_at: datetime = strawberry.field(description="When.")


@strawberry.type(name="Forbidden", description="The caller's role does not allow this.")
class ForbiddenType(FailureType):
    pass


@strawberry.type(name="LimitExceeded", description="A declared limit was passed.")
class LimitExceededType(FailureType):
    pass


@strawberry.type(name="QuotaExceeded", description="A quota of the tenant is used up.")
class QuotaExceededType(FailureType):
    quota: str = strawberry.field(description="Its name, as in `Quotas`.")
    most: int = strawberry.field(description="What it allows.")


@strawberry.type(name="ProviderRefused", description="Somebody else's server refuses what was asked of it.")
class ProviderRefusedType(FailureType):
    reason: str = strawberry.field(description="Its code, as the protocol's standard has it.")


@strawberry.type(name="Unavailable", description="Something needed can not be reached now; try again later.")
class UnavailableType(FailureType):
    pass


# What a mutation's payload may be beside its result, and of one that starts a run.
Failed = InvalidInputType | NotFoundType | ConflictType | ForbiddenType | LimitExceededType | UnavailableType
NotStarted = ConcurrencyLimitType | QuotaExceededType | TenantEndingType | Failed


def _plain(shape: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda error: shape(code=error.code, message=error.message)


def _invalid(error: InvalidInput) -> InvalidInputType:
    problems = [ProblemType(path=p.path, message=p.message, mend=p.mend, code=p.code) for p in error.problems]
    return InvalidInputType(code=error.code, message=error.message, problems=problems)


def _limit_reached(error: ConcurrencyLimit) -> ConcurrencyLimitType:
    runs = [strawberry.ID(run) for run in error.runs]
    return ConcurrencyLimitType(code=error.code, message=error.message, runs=runs)


def _quota(error: QuotaExceeded) -> QuotaExceededType:
    return QuotaExceededType(code=error.code, message=error.message, quota=error.quota, most=error.most)


def _refused(error: ProviderRefused) -> ProviderRefusedType:
    return ProviderRefusedType(code=error.code, message=error.message, reason=error.reason)


def _ending(error: TenantEnding) -> TenantEndingType:
    return TenantEndingType(code=error.code, message=error.message, due_at=error.due_at)


# None: not a payload but an entry in `errors`, with the error's own code and message.
FAILURE_OF: Mapping[type[HeadraceError], Callable[[Any], Any] | None] = MappingProxyType(
    {
        HeadraceError: None,
        InvalidInput: _invalid,
        NotFound: _plain(NotFoundType),
        Conflict: _plain(ConflictType),
        ConcurrencyLimit: _limit_reached,
        TenantEnding: _ending,
        Expired: None,
        Unauthenticated: None,
        Forbidden: _plain(ForbiddenType),
        ProviderRefused: _refused,
        LimitExceeded: _plain(LimitExceededType),
        QuotaExceeded: _quota,
        MessageTooLarge: _plain(LimitExceededType),
        RateLimited: None,
        Unavailable: _plain(UnavailableType),
        TimedOut: _plain(UnavailableType),
        BusUnavailable: _plain(UnavailableType),
        ForeignQueues: _plain(UnavailableType),
        DatabaseUnavailable: _plain(UnavailableType),
        LogStoreUnavailable: _plain(UnavailableType),
        MalformedMessage: None,
    }
)


def failure_of(error: HeadraceError) -> Any | None:
    """The payload member that stands for `error`, by its own class or the nearest above; None: it is none."""
    shape = next(FAILURE_OF[kind] for kind in type(error).__mro__ if kind in FAILURE_OF)
    return shape(error) if shape else None
