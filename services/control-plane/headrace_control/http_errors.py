"""From the tree of errors to HTTP: the one mapping, for every HTTP face of the control plane."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
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
    Problem,
    ProviderRefused,
    QuotaExceeded,
    RateLimited,
    TenantEnding,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from starlette.exceptions import HTTPException
from starlette.responses import Response

from headrace_control.correlation import correlation_id

HTTP_STATUS: Mapping[type[HeadraceError], int] = MappingProxyType(
    {
        HeadraceError: 500,
        InvalidInput: 422,
        NotFound: 404,
        Conflict: 409,
        ConcurrencyLimit: 409,
        TenantEnding: 409,
        Unauthenticated: 401,
        Expired: 410,
        Forbidden: 403,
        ProviderRefused: 502,
        LimitExceeded: 413,
        QuotaExceeded: 429,
        MessageTooLarge: 413,
        RateLimited: 429,
        Unavailable: 503,
        TimedOut: 503,
        BusUnavailable: 503,
        ForeignQueues: 503,
        DatabaseUnavailable: 503,
        LogStoreUnavailable: 503,
        MalformedMessage: 400,
    }
)


# Refusals that come from below the services: a status, its code, and words that quote nothing of the request.
REFUSALS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        400: ("BAD_REQUEST", "the request can not be read"),
        403: (Forbidden.code, "no websocket is opened here"),
        404: (NotFound.code, "address not found"),
        405: ("METHOD_NOT_ALLOWED", "the method is not allowed here"),
        408: ("REQUEST_TIMEOUT", "the request did not arrive in time"),
        415: ("UNSUPPORTED_MEDIA_TYPE", "the body's type or encoding is not taken"),
    }
)


def refusal(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for one of `REFUSALS`; another status is answered as the nearest of them, 400."""
    code, message = REFUSALS.get(status, REFUSALS[400])
    return errors_response(status if status in REFUSALS else 400, message, {"code": code}, headers)


def bare_refusal(status: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of a refusal that comes from below every application; the connection ends with it."""
    code, message = REFUSALS.get(status, REFUSALS[400])
    extensions = {"correlationId": uuid.uuid4().hex, "code": code}
    body = orjson.dumps({"errors": [{"message": message, "extensions": extensions}]})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    return headers, body


def status_of(error: HeadraceError) -> int:
    """The status by the error's own class, else by the nearest one above it."""
    return next(HTTP_STATUS[kind] for kind in type(error).__mro__ if kind in HTTP_STATUS)


def error_response(error: HeadraceError) -> Response:
    """`{"errors": [{"message", "extensions": {"code", "correlationId"}}]}`, the shape of GraphQL's errors, too."""
    extensions: dict[str, object] = {"code": error.code}
    if isinstance(error, InvalidInput):
        extensions["problems"] = [
            {"path": p.path, "message": p.message, "mend": p.mend, "code": p.code} for p in error.problems
        ]
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, RateLimited):
        headers["retry-after"] = str(error.retry_after)
    return errors_response(status_of(error), error.message, extensions, headers)


def errors_response(
    status: int, message: str, extensions: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> Response:
    """One error in the shape that GraphQL's errors have, with the request's correlation id."""
    extensions = {"correlationId": correlation_id(), **extensions}
    return Response(
        orjson.dumps({"errors": [{"message": message, "extensions": extensions}]}),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )


def problems_of(found: Iterable[tuple[Sequence[int | str], str]]) -> list[Problem]:
    """From locations and kinds of what Pydantic found; its `input` and `msg` may quote what was sent."""
    return [
        Problem(".".join(map(str, where)), f"wrong value ({kind})", "see the API's contract")
        for where, kind in found
    ]


def install_error_handlers(app: FastAPI) -> None:
    """Answer the tree's errors by the mapping, and addresses and methods that are not there. Every other exception is
    `unexpected.AnswerUnexpected`'s."""

    async def known(_: Request, error: Exception) -> Response:
        assert isinstance(error, HeadraceError)  # noqa: S101 - how Starlette calls it
        return error_response(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - how Starlette calls it
        return error_response(InvalidInput(problems_of((e["loc"], e["type"]) for e in error.errors())))

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - how Starlette calls it
        allow = (error.headers or {}).get("Allow")
        return refusal(error.status_code, {"allow": allow} if allow else None)

    app.add_exception_handler(HeadraceError, known)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)
