"""Pages of lists, as services answer them: bounded, and continued by an opaque cursor."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

import orjson
from headrace.errors import InvalidInput, Problem

T = TypeVar("T")

DEFAULT_PAGE = 50
MAX_PAGE = 200


@dataclass(frozen=True, slots=True)
class PageOf(Generic[T]):
    """Some items, the cursor of the last one (None when there are none), and whether more follow."""

    items: Sequence[T]
    end_cursor: str | None
    has_next_page: bool


def page_size(first: int) -> int:
    """`first` when it is 1 to `MAX_PAGE`; raises `InvalidInput` otherwise."""
    if not 1 <= first <= MAX_PAGE:
        raise InvalidInput([Problem("first", "out of range", f"ask for 1 to {MAX_PAGE}")])
    return first


def page_of(found: Sequence[T], first: int, cursor_of: Callable[[T], str]) -> PageOf[T]:
    """The page when `found` was asked for with a limit of `first` + 1: one too many says that more follow."""
    items = found[:first]
    return PageOf(items, cursor_of(items[-1]) if items else None, len(found) > first)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Makes and reads the cursors of one kind of list; a cursor of another list is refused.

    A cursor holds the sort key of a page's last item. It is opaque to clients, and not secret.
    """

    kind: str

    def write(self, *key: str | int | UUID) -> str:
        packed = orjson.dumps([self.kind, *(str(part) for part in key)])
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    def read(self, cursor: str | None, parts: int = 1) -> tuple[str, ...] | None:
        """The sort key of `parts` to go on after; None for None. Raises `InvalidInput`."""
        if cursor is None:
            return None
        try:
            packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            kind, *key = orjson.loads(packed)
        except (binascii.Error, ValueError, TypeError):
            raise self._refusal() from None
        if kind != self.kind or len(key) != parts or not all(_is_plain(part) for part in key):
            raise self._refusal()
        return tuple(key)

    def read_text(self, cursor: str | None) -> str | None:
        """As `read`, for lists in the order of one text."""
        key = self.read(cursor)
        return key[0] if key else None

    def read_id(self, cursor: str | None) -> UUID | None:
        """As `read`, for lists in the order of ids."""
        key = self.read(cursor)
        try:
            return UUID(key[0]) if key else None
        except ValueError:
            raise self._refusal() from None

    def read_number(self, cursor: str | None) -> int | None:
        """As `read`, for lists in the order of a number of 32 bits."""
        key = self.read(cursor)
        if key is None:
            return None
        if not (key[0].isascii() and key[0].isdigit() and int(key[0][:11]) < 2**31):
            raise self._refusal()
        return int(key[0])

    def _refusal(self) -> InvalidInput:
        return InvalidInput([Problem("after", "not a cursor of this list", "use a page's endCursor")])


def _is_plain(part: object) -> bool:
    return isinstance(part, str) and "\0" not in part
