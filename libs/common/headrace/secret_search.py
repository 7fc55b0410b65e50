"""Finds secrets in texts whatever encoding they stand in there, however many secrets there are.

The texts are searched as one, and so is each layer of what they decode to: plain substrings are looked for. What base64
and hexadecimal make of a secret, or of its escapes, is looked for as it is.
"""

import base64
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias
from urllib.parse import quote_plus

from headrace.secret_layers import (
    MARKS,
    Layer,
    SearchBudget,
    layers_within,
    may_hold_lines,
    without_breaks,
)

# What a secret has at least, in characters: what is decoded from a shorter text is no longer.
SHORTEST = 8
_RUN = re.compile("[A-Za-z0-9]+")
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
# What may stand for a letter, a digit, or the sign that begins another escape: `c`, 0x63, is `%63` or `%2563`.
_ESCAPE = re.compile(rb"%[2-7]|\\u00[2-7]|&#|&amp;")
# Of up to so many needles the cores are looked for first, one after the other, by so many characters of each.
_FEW = 40
_CORE = 32
# All at once: a needle has at least eight bytes, so wherever it stands, four of its first seven begin at a multiple of
# four of the text. Those are looked up as one number, and then the first eight.
_HEAD = 8
_BLOCK = 4
# In characters, as a `SearchBudget` counts.
_UNITS_PER_HEAD = 30
_UNITS_PER_TRY = 10
_UNITS_PER_PLACE = 300
_UNITS_PER_TEXT = 30

Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Needle:
    """One secret in one encoding. A text without `core` and without an escape does not hold it.

    `loose`: base64 cut out of its surroundings; the character at each end, to which both contribute, and the
    padding belong to it. `apart`: where it ends is known without looking at what stands around it, and it is not looked
    for within itself.
    """

    text: str
    data: bytes
    core: bytes
    loose: bool
    apart: bool


class Needles:
    """What is looked for: secrets of at least `SHORTEST` characters, each in its encodings. Immutable."""

    def __init__(self, needles: Iterable[Needle] = ()) -> None:
        self._all = tuple(needles)
        self._cores = [needle.core for needle in self._all] if len(self._all) <= _FEW else None
        # A form's plus stands for a space, and matters to no other needle.
        self._spaced = any(" " in needle.text for needle in self._all)
        self._heads: dict[bytes, list[Needle]] = {}
        for needle in self._all:
            self._heads.setdefault(needle.data[:_HEAD], []).append(needle)
        # By four bytes: how far behind the beginning of a needle they may stand.
        self._blocks: dict[int, list[int]] = {}

    def with_more(self, secrets: Iterable[str]) -> "Needles":
        """These, and those of further secrets; nothing is worked out again for these."""
        return Needles((*self._all, *(needle for secret in secrets for needle in needles_of(secret))))

    def may_be_in(self, data: bytes) -> bool:
        """Whether a text, in UTF-8, has to be searched. Escapes can hide every character, also those that need none."""
        if self._cores is None:
            return True
        # A list and not a generator, which would take twice as long.
        if True in [core in data for core in self._cores]:
            return True
        if (b"%" in data or b"&" in data or b"\\" in data) and _ESCAPE.search(data) is not None:
            return True
        return may_hold_lines(data)

    def find(self, texts: Sequence[str], budget: SearchBudget) -> dict[int, list[Span]]:
        """Where they stand, by the index of a text: spans in order, none touching another.

        Raises `TooMuchToSearch`.
        """
        numbers = [number for number, text in enumerate(texts) if len(text) >= SHORTEST]
        spans: dict[int, list[Span]] = {}
        whole = _Joined(texts, numbers)
        if not numbers:
            return spans
        budget.spend(_UNITS_PER_TEXT * len(numbers))
        self._search(whole, Layer(whole.text), spans, budget)
        for joined in whole.by_marks(MARKS if self._spaced else MARKS[:-1]):
            for layer in layers_within(joined.text, budget, spaced=self._spaced):
                self._search(joined, layer, spans, budget)
        return {number: _merged(found) for number, found in spans.items()}

    def _search(
        self, joined: "_Joined", layer: Layer, spans: dict[int, list[Span]], budget: SearchBudget
    ) -> None:
        text = layer.text
        data = text.encode("utf-8", "surrogatepass")
        budget.spend(len(data))
        if may_hold_lines(data) and (unbroken := without_breaks(layer, budget)) is not None:
            self._search(joined, unbroken, spans, budget)
        # A needle is not looked for within itself: up to where each was found last.
        done: dict[Needle, int] = {}
        for start, needle in _in_characters(text, data, self._starts(data, budget)):
            if start < done.get(needle, 0):
                continue
            budget.spend(_UNITS_PER_PLACE)
            end = start + len(needle.text)
            if needle.loose:
                start, end = _widen(text, start, end)
            if (place := joined.place(layer.origin(start, budget), layer.origin(end, budget))) is not None:
                done[needle] = end
                number, span = place
                spans.setdefault(number, []).append(span)

    def _starts(self, data: bytes, budget: SearchBudget) -> list[tuple[int, Needle]]:
        """Where in `data` needles begin, in bytes, from the first on."""
        found: list[tuple[int, Needle]] = []
        done: dict[Needle, int] = {}
        for start, needles in self._heads_in(data, budget):
            budget.spend(sum([_UNITS_PER_TRY + len(needle.data) // 64 for needle in needles]))
            for needle in needles:
                if start >= done.get(needle, 0) and data.startswith(needle.data, start):
                    found.append((start, needle))
                    if needle.apart:
                        done[needle] = start + len(needle.data)
        return found

    def _heads_in(self, data: bytes, budget: SearchBudget) -> Iterator[tuple[int, list[Needle]]]:
        known = self._known_blocks()
        blocks = memoryview(data)[: len(data) // _BLOCK * _BLOCK].cast("I")
        if known.keys().isdisjoint(blocks):
            return
        for number in [number for number, block in enumerate(blocks) if block in known]:
            for offset in known[blocks[number]]:  # the largest first, so that places come in order
                budget.spend(_UNITS_PER_HEAD)
                start = number * _BLOCK - offset
                if start >= 0 and (needles := self._heads.get(data[start : start + _HEAD])):
                    yield start, needles

    def _known_blocks(self) -> dict[int, list[int]]:
        if not self._blocks:
            for head in self._heads:
                for offset in range(_BLOCK):
                    block = memoryview(head[offset : offset + _BLOCK]).cast("I")[0]
                    offsets = self._blocks.setdefault(block, [])
                    if offset not in offsets:
                        offsets.append(offset)
            for offsets in self._blocks.values():
                offsets.sort(reverse=True)
        return self._blocks


class _Joined:
    """Several texts as one; `numbers` are those of the texts that are in it."""

    __slots__ = ("_numbers", "_starts", "_texts", "text")

    def __init__(self, texts: Sequence[str], numbers: Sequence[int]) -> None:
        self._texts, self._numbers = texts, numbers
        # NUL is in no escape and no base64: decoding and widening end at it.
        self.text = "\0".join([texts[number] for number in numbers])
        self._starts = list(accumulate([len(texts[number]) + 1 for number in numbers], initial=0))

    def place(self, start: int, end: int) -> tuple[int, Span] | None:
        """In which text, and where in it; None for what two texts make up only together."""
        at = bisect_right(self._starts, start) - 1
        if end >= self._starts[at + 1]:
            return None
        return self._numbers[at], (start - self._starts[at], end - self._starts[at])

    def by_marks(self, known: Sequence[str]) -> "Iterable[_Joined]":
        """The texts that something may be decoded from, those with the same marks together: what one is encoded in
        costs the others nothing."""
        if not any(mark in self.text for mark in known):
            return ()
        groups: dict[tuple[bool, ...], list[int]] = {}
        for number in self._numbers:
            text = self._texts[number]
            groups.setdefault(tuple([mark in text for mark in known]), []).append(number)
        return [_Joined(self._texts, group) for marks, group in groups.items() if any(marks)]


def needles_of(secret: str) -> Iterator[Needle]:
    """The value, base64 and base64url at each alignment, hexadecimal. Within base64 it may stand as a form or JSON
    writes it, which can not be undone there."""
    yield _needle(secret)
    data = secret.encode("utf-8", "surrogatepass")
    written = (quote_plus(data), json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    for each in dict.fromkeys((data, *(one.encode("utf-8", "surrogatepass") for one in written))):
        yield from _base64_of(each)
    yield _needle(data.hex())
    if data.hex() != data.hex().upper():
        yield _needle(data.hex().upper())


def _base64_of(data: bytes) -> Iterator[Needle]:
    for shift in range(3):
        # Only the characters that the secret alone decides.
        first, last = (0, 2, 3)[shift], (shift + len(data)) * 8 // 6
        inner = base64.b64encode(bytes(shift) + data).decode()[first:last]
        yield _needle(inner, loose=True)
        if (safe := inner.replace("+", "-").replace("/", "_")) != inner:
            yield _needle(safe, loose=True)


def _needle(text: str, *, loose: bool = False) -> Needle:
    core = max(_RUN.findall(text), key=len, default="")[:_CORE]
    data = text.encode("utf-8", "surrogatepass")
    # One with a NUL may reach into the next text, and is none there.
    return Needle(text, data, core.encode("ascii"), loose, apart=not loose and "\0" not in text)


def _in_characters(text: str, data: bytes, found: list[tuple[int, Needle]]) -> Iterator[tuple[int, Needle]]:
    """What is found at a byte, by the character that begins there."""
    if len(text) == len(data):
        yield from found
        return
    done = at = 0
    for start, needle in found:
        at += len(data[done:start].decode("utf-8", "surrogatepass"))
        done = start
        yield at, needle


def _widen(text: str, start: int, end: int) -> Span:
    if start > 0 and text[start - 1] in _BASE64:
        start -= 1
    if end < len(text) and text[end] in _BASE64:
        end += 1
    for _ in range(2):
        if text.startswith("=", end):
            end += 1
    return start, end


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
