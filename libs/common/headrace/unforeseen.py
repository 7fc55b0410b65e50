"""What nobody foresaw, as our own logs tell it: by its type and its place, never by its words, since exceptions of
libraries quote data."""

import traceback

from headrace.errors import HeadraceError

_MOST_FRAMES = 12


def frames(error: BaseException) -> list[str]:
    """Where it was raised: file, line and function of the innermost frames, the innermost last."""
    stack = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in stack]


def described(error: BaseException) -> dict[str, str | list[str]]:
    """Fields of a log line: `error`, its type; of what is no error of our own also `at`, its `frames`."""
    if isinstance(error, HeadraceError):
        return {"error": type(error).__name__}
    return {"error": type(error).__name__, "at": frames(error)}
