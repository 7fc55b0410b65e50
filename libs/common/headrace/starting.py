"""How a process of ours begins: its code is loaded."""

import contextlib
import gc
import importlib
from collections.abc import Callable, Iterator
from typing import cast


def load_main(module: str) -> Callable[[], None]:
    """The `main` of a service's module."""
    with collector_at_rest():
        return cast(Callable[[], None], importlib.import_module(module).main)


@contextlib.contextmanager
def collector_at_rest() -> Iterator[None]:
    """For loading code: of the hundred thousand objects that this makes, next to none is garbage, and to look through
    them time and again takes a sixth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
