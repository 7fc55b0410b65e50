"""Where a request comes from."""

import uuid

from starlette.requests import HTTPConnection

from headrace_control.auth.caller import Origin

_SEEN = "headrace.origin"


def origin_of(connection: HTTPConnection) -> Origin:
    """The origin of a request or a websocket; the same one each time it is asked."""
    known = connection.scope.get(_SEEN)
    if isinstance(known, Origin):
        return known
    made = Origin(connection.client.host if connection.client else None, uuid.uuid4().hex)
    connection.scope[_SEEN] = made
    return made
