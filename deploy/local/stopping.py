"""SIGINT and SIGTERM end this command in order, so that nothing that it started stays behind."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_holds = 0
_came: int | None = None


class Stopped(Exception):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def listen() -> None:
    """From here on, the first of these signals raises `Stopped`, and any further one does nothing."""
    for number in _SIGNALS:
        signal.signal(number, _stop)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """A signal that comes meanwhile raises `Stopped` at the end.

    A process that is being started has nobody yet who would end it, and one that is being ended must be reaped.
    """
    global _holds
    _holds += 1
    try:
        yield
    finally:
        _holds -= 1
    if _came is not None and _holds == 0:
        _raise(_came)


def _stop(number: int, _frame: FrameType | None) -> None:
    global _came
    # One is enough: a second signal must not break off the ending of the children.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    _came = number
    if _holds == 0:
        _raise(number)


def _raise(number: int) -> None:
    # Once: the ending that follows holds signals, too, and must go on to its end.
    global _came
    _came = None
    raise Stopped(number)
