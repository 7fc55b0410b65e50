"""What a request for a token that brought none means for the next one: how long to wait, and when to stop.

A refresh token that rotates may be spent by a request whose answer was lost. Asking once more with it does no harm
that is not done: either it was not spent, or no token that came of it is known here. The endpoint's next answer
says which it is. One that never answers is asked `MOST_DOUBTS` times, and then the connection says that a person has
to look.
"""

from typing import assert_never
from uuid import UUID

from headrace.json_types import JsonObject
from headrace.outbound.oauth2 import TokenFailure, TokenFailureKind, is_rejection
from headrace.postgres.pool import Db

from headrace_control.apps.auth_scheme import GrantKind
from headrace_control.audit.record import CONTROL_PLANE, Act, AuditOutcome, Part, record
from headrace_control.connections import repository
from headrace_control.connections.model import TokenAway, TokenRefused
from headrace_control.connections.repository import SealedCredential

ANSWER_LOST = "answer_lost"
NOT_AUTHORIZED = "not_authorized"
MOST_DOUBTS = 6

# Seconds. Over in a moment where a server hiccups; where it is down, it meets one request a minute of the whole fleet.
_FIRST_WAIT, _MOST_WAIT = 0.5, 60.0
# A server that is that slow has six times over nine minutes to come back.
_FIRST_DOUBT, _MOST_DOUBT_WAIT = 2.0, 300.0
_MOST_RETRY_AFTER = 300.0


async def failed(
    db: Db, tenant_id: UUID, sealed: SealedCredential, failure: TokenFailure
) -> TokenRefused | TokenAway:
    """Store what came of a request, under the connection's lock."""
    connection_id = sealed.connection_id
    match failure.kind:
        case TokenFailureKind.INVALID_GRANT:
            return await _end(db, tenant_id, sealed, failure.code)
        case TokenFailureKind.REJECTED:
            wait = _wait(sealed, failure) if failure.sent else 0.0
            await repository.token_failed(db, tenant_id, connection_id, failure.code, wait, doubt=False)
            return TokenRefused(connection_id, failure.code, failure.message)
        case TokenFailureKind.UNAVAILABLE:
            doubt = failure.answer_lost and sealed.auth.grant is not GrantKind.CLIENT_CREDENTIALS
            if doubt and sealed.token_doubts + 1 >= MOST_DOUBTS:
                return await _end(db, tenant_id, sealed, ANSWER_LOST)
            wait = _doubtful_wait(sealed) if doubt else _wait(sealed, failure)
            await repository.token_failed(db, tenant_id, connection_id, failure.code, wait, doubt=doubt)
            return TokenAway(connection_id, failure.message)
        case never:
            assert_never(never)


def known(sealed: SealedCredential) -> TokenRefused | TokenAway | None:
    """What is answered without asking the endpoint; None: it is to be asked."""
    if sealed.token_error is not None:
        return refused(sealed, sealed.token_error)
    if sealed.auth.grant is GrantKind.AUTHORIZATION_CODE and not sealed.has_refresh_token:
        return refused(sealed, NOT_AUTHORIZED)
    if not sealed.token_held_back or sealed.token_trouble is None:
        return None
    if is_rejection(sealed.token_trouble):
        words = f"the token endpoint answered {sealed.token_trouble}"
        return TokenRefused(sealed.connection_id, sealed.token_trouble, words)
    return TokenAway(
        sealed.connection_id,
        f"the token endpoint gave no token a moment ago ({sealed.token_trouble}), and is left alone for a while",
    )


def refused(sealed: SealedCredential, code: str) -> TokenRefused:
    """There will be no more tokens."""
    if code == ANSWER_LOST:
        words = "the token endpoint's answers were lost, and the refresh token may be spent"
    elif code == NOT_AUTHORIZED:
        words = "nobody has authorized the connection, or what was granted has ended"
    else:
        words = "the token endpoint says that the grant is spent, expired or revoked"
    by_person = sealed.auth.grant is GrantKind.AUTHORIZATION_CODE
    mend = "authorize the connection" if by_person else "rotate the connection's secret"
    return TokenRefused(sealed.connection_id, code, f"{words}; {mend}")


async def _end(db: Db, tenant_id: UUID, sealed: SealedCredential, code: str) -> TokenRefused:
    await repository.token_refused(db, tenant_id, sealed.connection_id, code)
    # After doubts, a refusal most likely tells of an answer that was lost and not of a thief.
    detail: JsonObject = {"code": code, "doubts": sealed.token_doubts}
    act = Act(
        "token.refresh", f"connection/{sealed.connection_id}", outcome=AuditOutcome.REFUSED, detail=detail
    )
    await record(db, Part(tenant_id, CONTROL_PLANE), act)
    return refused(sealed, code)


def _wait(sealed: SealedCredential, failure: TokenFailure) -> float:
    asked_for = min(failure.retry_after or 0.0, _MOST_RETRY_AFTER)
    return max(min(_FIRST_WAIT * 2.0 ** min(sealed.token_failures, 10), _MOST_WAIT), asked_for)


def _doubtful_wait(sealed: SealedCredential) -> float:
    return min(_FIRST_DOUBT * 4.0**sealed.token_doubts, _MOST_DOUBT_WAIT)
