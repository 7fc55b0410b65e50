"""SIGINT and SIGTERM end this command in order, so that nothing that it started stays behind."""

import signal
from types import FrameType

_came: int | None = None


class Stopped(Exception):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def listen() -> None:
    """From here on a signal is noted, and acted upon where `check` is called: one that raised wherever it came would
    leave a process behind that is just being started, or ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _note)


def interrupt() -> None:
    """From here on either signal raises `KeyboardInterrupt`, which ends what `subprocess.run` waits for."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def check() -> None:
    """Raises `Stopped`, once, when a signal has come. Whatever waits for long asks again and again."""
    global _came
    if _came is not None:
        number, _came = _came, None
        raise Stopped(number)


def _note(number: int, _frame: FrameType | None) -> None:
    # The first one counts. Not by ignoring the second: who is ignored by us is ignored by what we start.
    global _came
    if _came is None:
        _came = number
