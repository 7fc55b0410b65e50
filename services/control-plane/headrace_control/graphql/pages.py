"""Pages in GraphQL: `items` and `pageInfo`, asked for by `first` and `after`."""

from collections.abc import Callable
from typing import Generic, TypeVar

import strawberry

from headrace_control.pages import PageOf

T = TypeVar("T")
M = TypeVar("M")


@strawberry.type(description="Where a page ends, and whether more follow.")
class PageInfo:
    has_next_page: bool
    end_cursor: str | None = strawberry.field(description="Give it as `after` to get the next page.")


@strawberry.type(description="A bounded part of a list.")
class Page(Generic[T]):
    items: list[T]
    page_info: PageInfo


def page(found: PageOf[M], shown: Callable[[M], T]) -> Page[T]:
    """A service's page as GraphQL shows it."""
    return Page(
        items=[shown(item) for item in found.items],
        page_info=PageInfo(has_next_page=found.has_next_page, end_cursor=found.end_cursor),
    )
