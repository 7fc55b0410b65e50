"""Asking a person who sits at a terminal."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from rich.prompt import Confirm

from headrace_cli.output import Output


def agreed(output: Output, question: str) -> bool:
    """Whether they say yes; who closes the input does not. Ctrl-C raises `KeyboardInterrupt`."""
    with _interruptible():
        try:
            return Confirm.ask(question, console=output.errors)
        except EOFError:
            return False


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """asyncio's handler of Ctrl-C cancels the command's task; but that is what waits for the answer, and would go on
    waiting."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
