"""Elements of lists that are named in text."""

from headrace.json_types import Json


def index_in(elements: list[Json], name: str) -> int | None:
    """Which element `name` means, such as "0"; None when it means none. However long it is: Python reads no number of
    thousands of digits, and raises."""
    if not (name.isascii() and name.isdigit() and len(name) < 10):
        return None
    index = int(name)
    return index if index < len(elements) else None
