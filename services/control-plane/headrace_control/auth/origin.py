"""Where a request comes from."""

from starlette.requests import HTTPConnection

from headrace_control.auth.caller import Origin
from headrace_control.correlation import correlation_id

_SEEN = "headrace.origin"


def origin_of(connection: HTTPConnection) -> Origin:
    """The origin of a request or a websocket; the same one each time it is asked."""
    known = connection.scope.get(_SEEN)
    if isinstance(known, Origin):
        return known
    made = Origin(connection.client.host if connection.client else None, correlation_id())
    connection.scope[_SEEN] = made
    return made
