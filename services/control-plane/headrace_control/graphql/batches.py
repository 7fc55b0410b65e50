"""One look-up for what many items of an answer refer to."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from strawberry.dataloader import DataLoader

from headrace_control.pages import PageOf

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Pages: TypeAlias = DataLoader[tuple[K, int, str | None], PageOf[V] | None]


def batch(read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> DataLoader[K, V | None]:
    """A loader over `read`, which is given all that one level of an answer asks for, each key once; None for what
    is missing. So `read` sees how much is asked for, and may refuse.

    It remembers nothing: a websocket's context lives long, and what it loaded would grow old.
    """

    async def load(keys: list[K]) -> list[V | None]:
        found = await read(list(dict.fromkeys(keys)))
        return [found.get(key) for key in keys]

    return DataLoader(load_fn=load, cache=False)


def batch_pages(
    read: Callable[[int, Sequence[tuple[K, str | None]]], Awaitable[Sequence[PageOf[V]]]],
) -> Pages[K, V]:
    """A loader of pages, keyed by (whose, first, after): one `read(first, [(whose, after)...])` for all of one size."""

    async def load(
        keys: Sequence[tuple[K, int, str | None]],
    ) -> Mapping[tuple[K, int, str | None], PageOf[V]]:
        found: dict[tuple[K, int, str | None], PageOf[V]] = {}
        for first in {key[1] for key in keys}:
            alike = [key for key in keys if key[1] == first]
            answers = await read(first, [(whose, after) for whose, _, after in alike])
            found.update(zip(alike, answers, strict=True))
        return found

    return batch(load)
