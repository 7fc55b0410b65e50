"""JSON of tenants on its way from Postgres into an answer: as text. Read, it may take twenty times as much."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import orjson
from headrace.json_types import Json
from headrace.redaction import MARKER
from headrace.sealed_outputs import SEALED, mask
from headrace.workflow.sensitive import Marks

from headrace_control.answer_room import ANSWER

T = TypeVar("T")

_SEALED = b'"%s"' % SEALED.encode()
# Reading so little holds nobody up.
_SMALL = 4096


def passed_on(text: bytes | str | None) -> orjson.Fragment | None:
    """A value that an answer holds as it is in the database."""
    return None if text is None else orjson.Fragment(text)


async def made_of(text: bytes, make: Callable[[Any], T]) -> T:
    """`make` of the value that `text` says. What is large is read one after the other, beside the loop."""
    if len(text) <= _SMALL:
        return make(orjson.loads(text))
    return await read_beside(lambda: make(orjson.loads(text)))


async def read_beside(make: Callable[[], T]) -> T:
    """What `make` makes of texts that it reads, in a thread; one at a time, for what it reads is large."""
    answer = ANSWER.get()
    async with answer.room.reading if answer else nullcontext():
        return await asyncio.to_thread(make)


def as_text(value: Json) -> orjson.Fragment | None:
    """A part of what was read, as text again: so it takes no more than its size."""
    return None if value is None else orjson.Fragment(orjson.dumps(value))


async def masked(text: bytes | None) -> bytes | None:
    """`text` as people see it: what is sealed in it is hidden."""
    if text is None or _SEALED not in text:
        return text
    return await made_of(text, lambda value: orjson.dumps(mask(value)))


async def hidden(text: bytes, marks: Marks) -> bytes:
    """As `masked`; what `marks` mark is hidden, too."""
    return await made_of(text, lambda value: orjson.dumps(marks.hidden(mask(value), MARKER)))
