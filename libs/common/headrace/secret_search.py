"""Finds secrets in a text whatever encoding they stand in there, in linear time.

The text is decoded, a layer at a time, and plain substrings are looked for in each layer; a pattern that
knows every spelling of every character would be shorter, but whoever chooses secret and text can make it
backtrack for minutes. What base64 and hexadecimal make of a secret is looked for as it is.
"""

import base64
import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

_RUN = re.compile("[A-Za-z0-9]+")
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_JSON_LAYERS = 4
_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_JSON = re.compile(rf"{_PAIR}|\\u[0-9a-fA-F]{{4}}|\\[\"\\/bfnrt]")
_JSON_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX, _MORE = "[0-9a-fA-F]", "%[89abAB][0-9a-fA-F]"
_PERCENT = re.compile(
    f"%[0-7]{_HEX}|%[cCdD]{_HEX}{_MORE}|%[eE]{_HEX}(?:{_MORE}){{2}}|%[fF][0-7](?:{_MORE}){{3}}"
)
# What may stand for a letter, a digit, or the sign that begins another escape: `c`, 0x63, is `%63` or `%2563`.
_ESCAPE = re.compile(rb"%[2-7]|\\u00[2-7]|&#|&amp;")
_HTML = re.compile("&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos);")

Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Needle:
    """One secret in one encoding. A text without `core` and without an escape does not hold it: see `suspects_in`.

    `loose`: base64 cut out of its surroundings; the character at each end, to which both contribute, and the
    padding belong to it.
    """

    text: str
    core: bytes
    loose: bool = False


def needles_of(secret: str) -> Iterator[Needle]:
    """The value, base64 and base64url at each alignment, hexadecimal."""
    yield _needle(secret)
    data = secret.encode("utf-8", "surrogatepass")
    for shift in range(3):
        # Only the characters that the secret alone decides.
        first, last = (0, 2, 3)[shift], (shift + len(data)) * 8 // 6
        inner = base64.b64encode(bytes(shift) + data).decode()[first:last]
        yield _needle(inner, loose=True)
        if (safe := inner.replace("+", "-").replace("/", "_")) != inner:
            yield _needle(safe, loose=True)
    yield _needle(data.hex())
    if data.hex() != data.hex().upper():
        yield _needle(data.hex().upper())


def suspects_in(data: bytes, needles: tuple[Needle, ...]) -> tuple[Needle, ...]:
    """Those that a text may hold, in UTF-8. Escapes can hide every character, also those that need none."""
    found = tuple([needle for needle in needles if needle.core in data])
    return needles if len(found) < len(needles) and _ESCAPE.search(data) else found


def find(text: str, needles: tuple[Needle, ...]) -> list[Span]:
    """Where the needles stand in `text`: spans in order, none touching another."""
    spans: list[Span] = []
    for layer in _layers(text):
        for needle in needles:
            at = layer.text.find(needle.text)
            while at >= 0:
                start, end = at, at + len(needle.text)
                if needle.loose:
                    start, end = _widen(layer.text, start, end)
                spans.append((layer.origin(start), layer.origin(end)))
                at = layer.text.find(needle.text, end)
    return _merged(spans)


@dataclass(frozen=True, slots=True)
class _Layer:
    """A text with some layers of encoding undone.

    From `starts[n]` on, its characters come from `origins[n]` on in the layer outside it.
    """

    text: str
    starts: list[int]
    origins: list[int]
    outer: "_Layer | None" = None

    def origin(self, index: int) -> int:
        """The place in the outermost text at which what is decoded to `index` begins."""
        layer: _Layer | None = self
        while layer is not None:
            step = bisect_right(layer.starts, index) - 1
            index = layer.origins[step] + index - layer.starts[step]
            layer = layer.outer
        return index


def _layers(text: str) -> Iterator[_Layer]:
    first = _Layer(text, [0], [0])
    seen = {text}
    pending = [(first, 0)]
    while pending:
        layer, depth = pending.pop()
        yield layer
        decoders: list[_Decoder] = [_undo_json] if depth < _JSON_LAYERS else []
        if depth < 2:
            decoders += [_undo_percent, _undo_html]
        for decoder in decoders:
            inner = decoder(layer)
            if inner is not None and inner.text not in seen:
                seen.add(inner.text)
                pending.append((inner, depth + 1))
    if "+" in text:  # a form's spaces
        spaced = _Layer(text.replace("+", " "), [0], [0])
        yield spaced
        if (decoded := _undo_percent(spaced)) is not None:
            yield decoded


_Decoder: TypeAlias = Callable[[_Layer], _Layer | None]


def _undo_json(layer: _Layer) -> _Layer | None:
    return _undo(layer, _JSON, _json_character) if "\\" in layer.text else None


def _undo_percent(layer: _Layer) -> _Layer | None:
    return _undo(layer, _PERCENT, _percent_character) if "%" in layer.text else None


def _undo_html(layer: _Layer) -> _Layer | None:
    return _undo(layer, _HTML, html.unescape) if "&" in layer.text else None


def _json_character(token: str) -> str:
    if token[1] == "u":
        return bytes.fromhex(token.replace("\\u", "")).decode("utf-16-be", "surrogatepass")
    return _JSON_SHORT.get(token[1], token[1])


def _percent_character(token: str) -> str:
    return bytes.fromhex(token.replace("%", "")).decode("utf-8", "replace")


def _undo(layer: _Layer, pattern: re.Pattern[str], character: Callable[[str], str]) -> _Layer | None:
    parts: list[str] = []
    starts, origins = [0], [0]
    done = size = 0
    for match in pattern.finditer(layer.text):
        start, end = match.span()
        decoded = character(match[0])
        parts += (layer.text[done:start], decoded)
        size += start - done
        starts.append(size)
        origins.append(start)
        size += len(decoded)
        starts.append(size)
        origins.append(end)
        done = end
    if not done:
        return None
    parts.append(layer.text[done:])
    return _Layer("".join(parts), starts, origins, layer)


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


def _needle(text: str, *, loose: bool = False) -> Needle:
    core = max(_RUN.findall(text), key=len, default="")
    return Needle(text, core.encode("ascii"), loose)
