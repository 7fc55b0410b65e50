"""Undoes the encodings that a text may stand in, a layer at a time, in linear time.

A pattern that knows every spelling of every character would be shorter, but whoever chooses secret and text can make it
backtrack for minutes. How many layers there are is bounded, and what all of them take together is paid from a budget.
"""

import html
import json
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# Characters that are looked at for one value, those of every layer counted. About 0.2 s; a value of 1 MB in which
# nothing is encoded takes a tenth of it, one of web pages most of it.
MOST_WORK = 16_000_000
# Escapes that stand side by side are undone at once, but for those of HTML.
UNITS_PER_RUN = 40
UNITS_PER_ESCAPE = 60
UNITS_PER_MARK = 4
_JSON_LAYERS = 4
_OTHER_LAYERS = 2

_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HEX, _MORE = "[0-9a-fA-F]", "%[89abAB][0-9a-fA-F]"
_JSON = rf"{_PAIR}|\\u[0-9a-fA-F]{{4}}|\\[\"\\/bfnrt]"
_PERCENT = f"%[0-7]{_HEX}|%[cCdD]{_HEX}{_MORE}|%[eE]{_HEX}(?:{_MORE}){{2}}|%[fF][0-7](?:{_MORE}){{3}}"
_HTML = "&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos);"
# The escapes that are met most.
_PERCENT_SHORT = {
    f"%{high}{low}": chr(int(high + low, 16)) for high in "01234567" for low in "0123456789abcdefABCDEF"
}
_JSON_SHORT = {rf"\{letter}": json.loads(rf'"\{letter}"') for letter in '"\\/bfnrt'}


class TooMuchToSearch(Exception):
    """Going on would take longer than one value may hold up all others."""


class SearchBudget:
    """What may still be looked at for one value, in characters; what takes longer counts as several."""

    __slots__ = ("left",)

    def __init__(self, left: int = MOST_WORK) -> None:
        self.left = left

    def spend(self, units: int) -> None:
        """Raises `TooMuchToSearch` once nothing is left."""
        self.left -= units
        if self.left < 0:
            raise TooMuchToSearch


@dataclass(frozen=True, slots=True)
class _Encoding:
    """`undo` gives what one escape stands for, or a run of them. Never more characters than it is given."""

    mark: str
    escape: re.Pattern[str]
    run: re.Pattern[str]
    undo: Callable[[re.Match[str]], str]
    most_layers: int


def _encoding(
    mark: str, escape: str, run: str, undo: Callable[[re.Match[str]], str], most_layers: int
) -> _Encoding:
    return _Encoding(mark, re.compile(escape), re.compile(run), undo, most_layers)


def _json_characters(match: re.Match[str]) -> str:
    return _JSON_SHORT.get(run := match[0]) or str(json.loads(f'"{run}"'))


def _percent_characters(match: re.Match[str]) -> str:
    return _PERCENT_SHORT.get(run := match[0]) or bytes.fromhex(run.replace("%", "")).decode(
        "utf-8", "replace"
    )


def _html_characters(match: re.Match[str]) -> str:
    return html.unescape(match[0])


# Base64 in lines, of 60, 64 or 76 characters each; no word is that long.
_LINE = "[A-Za-z0-9+/_-]{40}"
_BREAK = rf"(?<={_LINE})\r?\n(?=[A-Za-z0-9+/_-])"
_by_break = _encoding("\n", _BREAK, _BREAK, lambda _: "", 1)
# The same, in a text and in its JSON, beginning by what is rare: looked for in no time where it is not.
_LINES = tuple(
    re.compile(rf"{end}(?:(?<={_LINE}{end})|(?<={_LINE}{back}{end}))".encode())
    for end, back in ((r"\n", r"\r"), (r"\\n", r"\\r"))
)
_ENCODINGS = (
    _encoding("&", _HTML, _HTML, _html_characters, _OTHER_LAYERS),
    _by_percent := _encoding("%", _PERCENT, f"(?:{_PERCENT})++", _percent_characters, _OTHER_LAYERS),
    _encoding("\\", _JSON, f"(?:{_JSON})++", _json_characters, _JSON_LAYERS),
)
# What a text holds of these tells which encodings it may be in; plus is a form's space.
MARKS = (*(encoding.mark for encoding in _ENCODINGS), "+")


class Layer:
    """A text with some layers of encoding undone; `outer` is the one around it."""

    __slots__ = ("_encoding", "_outer", "_places", "text")

    def __init__(self, text: str, outer: "Layer | None" = None, encoding: _Encoding = _by_percent) -> None:
        self.text, self._outer, self._encoding = text, outer, encoding
        self._places: tuple[list[int], list[int]] | None = None

    def origin(self, index: int, budget: SearchBudget) -> int:
        """The place in the outermost text at which what is decoded to `index` begins."""
        layer = self
        while layer._outer is not None:
            if layer._places is None:
                layer._places = layer._found_places(layer._outer.text, budget)
            starts, origins = layer._places
            step = bisect_right(starts, index) - 1
            index = origins[step] + index - starts[step]
            layer = layer._outer
        return index

    def _found_places(self, outer: str, budget: SearchBudget) -> tuple[list[int], list[int]]:
        """From `starts[n]` on, the characters come from `origins[n]` on in the layer outside. Asked for rarely: only
        where something was found."""
        budget.spend(UNITS_PER_ESCAPE * outer.count(self._encoding.mark))
        starts, origins = [0], [0]
        done = size = 0
        for match in self._encoding.escape.finditer(outer):
            start, end = match.span()
            size += start - done
            starts.append(size)
            origins.append(start)
            size += len(self._encoding.undo(match))
            starts.append(size)
            origins.append(end)
            done = end
        return starts, origins


def layers_within(text: str, budget: SearchBudget, *, spaced: bool) -> Iterator[Layer]:
    """What `text` may stand for: each order of decodings that changes it, fewer first; if `spaced`, also with
    spaces for pluses. Raises `TooMuchToSearch`.
    """
    seen = {text}
    pending = deque([(Layer(text), 0)])
    while pending:
        layer, depth = pending.popleft()
        for encoding in _ENCODINGS:
            inner = _undone(layer, encoding, budget) if depth < encoding.most_layers else None
            if inner is not None and inner.text not in seen:
                seen.add(inner.text)
                pending.append((inner, depth + 1))
                yield inner
    if spaced and "+" in text:
        yield (form := Layer(text.replace("+", " ")))
        if (decoded := _undone(form, _by_percent, budget)) is not None:
            yield decoded


def may_hold_lines(data: bytes) -> bool:
    """Whether base64 in lines may stand in a text, or in the JSON of texts, in UTF-8."""
    return any(lines.search(data) for lines in _LINES)


def without_breaks(layer: Layer, budget: SearchBudget) -> Layer | None:
    """`layer` with lines of base64 put together; None where there are none."""
    return _undone(layer, _by_break, budget)


def _undone(layer: Layer, encoding: _Encoding, budget: SearchBudget) -> Layer | None:
    if encoding.mark not in layer.text:
        return None
    budget.spend(len(layer.text) + UNITS_PER_MARK * layer.text.count(encoding.mark))
    most = budget.left // UNITS_PER_RUN + 1
    text, runs = encoding.run.subn(encoding.undo, layer.text, most)
    budget.spend(UNITS_PER_RUN * runs)
    return Layer(text, layer, encoding) if runs else None
