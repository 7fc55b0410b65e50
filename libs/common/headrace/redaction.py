"""Keeps secret values out of what is written down: finds them in the encodings in which they are sent.

Known values are searched for, shapes ("looks like a token") are not guessed. Values shorter than
`MIN_LENGTH` characters are not searched for, since they would be found everywhere by chance; they are kept
out by where they may be placed.
"""

import json
from collections.abc import Iterable
from typing import Any

import orjson

from headrace.json_types import Json
from headrace.secret_search import Needle, Span, find, needles_of, suspects_in

MIN_LENGTH = 8
MARKER = "[***]"  # shorter than any secret searched for, so that redacting twice changes nothing
_ROUNDS = 10


class Redactor:
    """Replaces secrets by `MARKER` in text and in JSON values, keys included. Immutable and idempotent.

    Found are: the value itself; percent-encoded (also partly, also twice); escaped for JSON (to four levels)
    or HTML; base64 and base64url at any alignment, as in Basic's `user:password`; hexadecimal. Takes linear
    time: a substring search for each encoding when there is nothing to find. Text that still holds a secret
    after being redacted ten times over is replaced as a whole.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = frozenset(secret for secret in secrets if len(secret) >= MIN_LENGTH)
        self._needles = tuple(needle for secret in sorted(self._secrets) for needle in needles_of(secret))

    def with_more(self, secrets: Iterable[str]) -> "Redactor":
        """A redactor that knows these too (a token refreshed while a run goes on)."""
        more = self._secrets.union(secret for secret in secrets if len(secret) >= MIN_LENGTH)
        return self if more == self._secrets else Redactor(more)

    def text(self, text: str) -> str:
        """`text` without the secrets."""
        return self._text(text, self._needles)

    def value(self, value: Json) -> Json:
        """`value` without the secrets; the same object if it has none. A number that is one becomes text."""
        for _ in range(_ROUNDS):
            suspects = self._suspects(value)
            if not suspects:
                return value
            redacted: Json = self._walk(value, suspects)
            if redacted == value:
                return value
            value = redacted
        return MARKER

    def anything(self, value: object) -> Any:
        """Like `value` for what a log line may hold: what is not JSON is judged by its `str`."""
        return self._walk(value, self._needles) if self._needles else value

    def _suspects(self, value: Json) -> tuple[Needle, ...]:
        """What may be in `value`; asked of its JSON text, which leaves every core and every escape as it is."""
        if not self._needles:
            return ()
        try:
            data = orjson.dumps(value)
        except TypeError:  # whole numbers above 64 bits, lone surrogates
            return self._needles
        return suspects_in(data, self._needles)

    def _text(self, text: str, needles: tuple[Needle, ...]) -> str:
        data = text.encode("utf-8", "surrogatepass")
        suspects = suspects_in(data, needles)
        for _ in range(_ROUNDS if suspects else 0):
            spans = find(text, suspects)
            if not spans:
                return text
            # What a replacement leaves may form another secret with its neighbours: look again.
            suspects = needles
            text = _without(text, spans)
        return MARKER if suspects else text

    def _walk(self, value: Any, needles: tuple[Needle, ...]) -> Any:
        match value:
            case str():
                return self._text(value, needles)
            case None | bool():
                return value
            case dict():
                result: dict[Any, Any] = {}
                for key, item in value.items():
                    name = self._text(key, needles) if isinstance(key, str) else key
                    while name in result:
                        name = f"{name}{len(result)}"
                    result[name] = self._walk(item, needles)
                return result
            case list():
                return [self._walk(item, needles) for item in value]
            case tuple():
                return tuple(self._walk(item, needles) for item in value)
            case _:
                shown = str(value)
                redacted = self._text(shown, needles)
                return value if redacted == shown else redacted


def _without(text: str, spans: list[Span]) -> str:
    parts: list[str] = []
    done = 0
    for start, end in spans:
        parts += (text[done:start], MARKER)
        done = end
    parts.append(text[done:])
    return "".join(parts)


# A whole number of as many bits is shorter as text than any limit, and most of what is logged beside a text is one.
_SHORT_BITS = 32


def truncate(value: Json, limit: int) -> Json:
    """`value` if its text (of JSON, for what is not text) has at most `limit` characters; else its beginning.

    The true length is noted behind it. Redact before truncating: half a secret is not found.
    """
    if value is None or (isinstance(value, int) and value.bit_length() <= _SHORT_BITS):
        return value
    text = value if isinstance(value, str) else _json_text(value)
    return value if len(text) <= limit else f"{text[:limit]}… [{len(text)} characters]"


def _json_text(value: Json) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # whole numbers above 64 bits, lone surrogates
        return json.dumps(value, default=str, separators=(",", ":"))
