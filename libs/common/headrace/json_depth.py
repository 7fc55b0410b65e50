"""How deep a JSON value is nested."""

from typing import Any


def is_deeper(value: Any, levels: int) -> bool:
    """Whether objects and lists of `value` lie in one another more than `levels` deep; a scalar has no level.

    Level by level and without recursion, so that no depth is too much for it.
    """
    level = [value]
    for _ in range(levels):
        inner: list[Any] = []
        for one in level:
            if type(one) is dict:
                inner += one.values()
            elif type(one) is list:
                inner += one
        level = [part for part in inner if type(part) is dict or type(part) is list]
        if not level:
            return False
    return True
