"""From the tree of errors to HTTP: the one mapping, for every HTTP face of the control plane."""

from collections.abc import Mapping
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
    HeadraceError,
    InvalidInput,
    LimitExceeded,
    LogStoreUnavailable,
    MalformedMessage,
    MessageTooLarge,
    NotFound,
    Problem,
    Unauthenticated,
    Unavailable,
)
from starlette.responses import Response

HTTP_STATUS: Mapping[type[HeadraceError], int] = MappingProxyType(
    {
        HeadraceError: 500,
        InvalidInput: 422,
        NotFound: 404,
        Conflict: 409,
        ConcurrencyLimit: 409,
        Unauthenticated: 401,
        Expired: 410,
        Forbidden: 403,
        LimitExceeded: 413,
        MessageTooLarge: 413,
        Unavailable: 503,
        BusUnavailable: 503,
        DatabaseUnavailable: 503,
        LogStoreUnavailable: 503,
        MalformedMessage: 400,
    }
)


def status_of(error: HeadraceError) -> int:
    """The status by the error's own class, else by the nearest one above it."""
    return next(HTTP_STATUS[kind] for kind in type(error).__mro__ if kind in HTTP_STATUS)


def error_response(error: HeadraceError) -> Response:
    """`{"errors": [{"message", "extensions": {"code"}}]}`, the shape that GraphQL's errors have, too."""
    extensions: dict[str, object] = {"code": error.code}
    if isinstance(error, InvalidInput):
        extensions["problems"] = [
            {"path": p.path, "message": p.message, "mend": p.mend, "code": p.code} for p in error.problems
        ]
    headers = {"www-authenticate": "Bearer"} if isinstance(error, Unauthenticated) else None
    return errors_response(status_of(error), error.message, extensions, headers)


def errors_response(
    status: int, message: str, extensions: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> Response:
    """One error in the shape that GraphQL's errors have."""
    return Response(
        orjson.dumps({"errors": [{"message": message, "extensions": extensions}]}),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )


def install_error_handlers(app: FastAPI) -> None:
    """Answer the tree's errors by the mapping. Every other exception is `unexpected.AnswerUnexpected`'s."""

    async def known(_: Request, error: Exception) -> Response:
        assert isinstance(error, HeadraceError)  # noqa: S101 - how Starlette calls it
        return error_response(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - how Starlette calls it
        # Pydantic's `input` and `msg` may quote what was sent; its location and kind do not.
        places = [(".".join(str(part) for part in e["loc"]), str(e["type"])) for e in error.errors()]
        return error_response(
            InvalidInput(
                [Problem(path, f"wrong value ({kind})", "see the API's contract") for path, kind in places]
            )
        )

    app.add_exception_handler(HeadraceError, known)
    app.add_exception_handler(RequestValidationError, invalid)
