"""One look-up for what many items of an answer refer to."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from strawberry.dataloader import DataLoader

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def batch(read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> DataLoader[K, V | None]:
    """A loader over `read`, which is given all that one level of an answer asks for, each key once; None for what
    is missing. So `read` sees how much is asked for, and may refuse.

    It remembers nothing: a websocket's context lives long, and what it loaded would grow old.
    """

    async def load(keys: list[K]) -> list[V | None]:
        found = await read(list(dict.fromkeys(keys)))
        return [found.get(key) for key in keys]

    return DataLoader(load_fn=load, cache=False)
