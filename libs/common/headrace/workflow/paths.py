"""How problems name places: `steps[1].input.amount`, with `['...']` around what is no plain name."""

import re

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")


def at_name(path: str, name: str) -> str:
    """The place of `name` inside the object at `path`."""
    if _PLAIN.fullmatch(name):
        return f"{path}.{name}" if path else name
    shown = name if len(name) <= 63 else name[:60] + "..."
    return f"{path}[{shown!r}]"


def at_index(path: str, index: int) -> str:
    """The place of element `index` inside the list at `path`."""
    return f"{path}[{index}]"
