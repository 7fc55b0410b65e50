"""What stands in an answer's `errors`: a message that quotes no data, a stable `code`, a correlation id."""

import re
from collections.abc import Mapping

from graphql import GraphQLError
from headrace.errors import HeadraceError, InvalidInput, LimitExceeded, RateLimited
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from headrace_control.correlation import correlation_id
from headrace_control.unexpected import report_unexpected

BAD_QUERY = "BAD_QUERY"

# What is asked for is no operation to run; Strawberry's own words quote what was sent.
NO_OPERATION: Mapping[type[Exception], str] = {
    MissingQueryError: "no query was sent",
    CannotGetOperationTypeError: "the query holds no operation of this name",
    InvalidOperationTypeError: "subscriptions come by a websocket",
}

# Names in a query are quoted, and may be as long as the query.
MOST_CHARACTERS = 500

# graphql-core quotes values after these words (`cannot represent non-integer value: "..."`, `, found: "..."`).
_QUOTED = re.compile(r"(cannot represent [^:]*):.*|[,;.]? [fF]ound\b.*", re.DOTALL)
_ENUM = re.compile(r"Value '.*' does not exist", re.DOTALL)


def stable_error(error: GraphQLError) -> GraphQLError:
    """The final shape of an error of an answer; one that has it stays as it is."""
    if "correlationId" in (error.extensions or {}):
        return error
    cause = error.original_error
    match cause:
        case None | GraphQLError():
            aborted = LimitExceeded.code if "Parsing aborted" in error.message else BAD_QUERY
            code = str((error.extensions or {}).get("code", aborted))
            message = _ENUM.sub("The value does not exist", _QUOTED.sub(r"\1", error.message))
            message = message if len(message) <= MOST_CHARACTERS else message[:MOST_CHARACTERS] + "..."
            return _shaped(error, message, code, correlation_id())
        case HeadraceError():
            return shaped_error(cause, error)
        case RecursionError():
            words = "the query is nested too deeply"
            return _shaped(error, words, LimitExceeded.code, correlation_id())
        case MissingQueryError() | CannotGetOperationTypeError() | InvalidOperationTypeError():
            return _shaped(error, NO_OPERATION[type(cause)], BAD_QUERY, correlation_id())
        case _:
            words = "something went wrong on our side"
            return _shaped(error, words, HeadraceError.code, report_unexpected(cause))


def shaped_error(cause: HeadraceError, error: GraphQLError | None = None) -> GraphQLError:
    """An error of the tree as GraphQL's answers show it; `error` says where in the query it was raised."""
    where = error or GraphQLError(cause.message)
    shaped = _shaped(where, cause.message, cause.code, correlation_id())
    extensions = shaped.extensions or {}
    if isinstance(cause, InvalidInput):
        extensions["problems"] = [
            {"path": p.path, "message": p.message, "mend": p.mend, "code": p.code} for p in cause.problems
        ]
    if isinstance(cause, RateLimited):
        extensions["retryAfterSeconds"] = cause.retry_after
    return shaped


def _shaped(error: GraphQLError, message: str, code: str, correlation_id: str) -> GraphQLError:
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={"code": code, "correlationId": correlation_id},
    )
