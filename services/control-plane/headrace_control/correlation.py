"""The id that a request's answer, our logs and the audit share."""

import uuid
from contextvars import ContextVar

_CURRENT: ContextVar[str] = ContextVar("headrace_correlation_id")


def begin_correlation() -> None:
    """A new request: whatever this task, and those that it starts, tell of from now on has the same new id."""
    _CURRENT.set(uuid.uuid4().hex)


def correlation_id() -> str:
    """Of the request that is being answered; a new one where there is none."""
    return _CURRENT.get("") or uuid.uuid4().hex
