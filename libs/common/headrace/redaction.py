"""Keeps secret values out of what is written down: finds them in the encodings in which they are sent.

Known values are searched for, shapes ("looks like a token") are not guessed. Values shorter than
`MIN_LENGTH` characters are not searched for, since they would be found everywhere by chance; they are kept
out by where they may be placed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from headrace.json_types import Json
from headrace.secret_layers import SearchBudget, TooMuchToSearch
from headrace.secret_search import SHORTEST, Needles, Span

MIN_LENGTH = SHORTEST
MARKER = "[***]"  # shorter than any secret searched for, so that redacting twice changes nothing
_ROUNDS = 10


class Redactor:
    """Replaces secrets by `MARKER` in text and in JSON values, keys included. Immutable and idempotent.

    Found are: the value itself; percent-encoded (also partly, also twice); escaped for JSON (to four levels)
    or HTML; hexadecimal; base64 and base64url at any alignment, as in Basic's `user:password`, in lines, and of what
    forms and JSON write; all this without the white space around it, too. Takes time by the length of what is searched,
    however many secrets and parts there are. What still holds a secret after being redacted ten times over, and what
    takes more than a `SearchBudget` to search, is replaced as a whole.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = frozenset(_sought(secrets))
        self._needles = Needles().with_more(sorted(self._secrets))

    def with_more(self, secrets: Iterable[str]) -> "Redactor":
        """A redactor that knows these too (a token refreshed while a run goes on)."""
        more = frozenset(_sought(secrets)) - self._secrets
        if not more:
            return self
        both = Redactor()
        both._secrets, both._needles = self._secrets | more, self._needles.with_more(sorted(more))
        return both

    def text(self, text: str) -> str:
        """`text` without the secrets."""
        if not self._secrets or len(text) < MIN_LENGTH:
            return text
        if not self._needles.may_be_in(text.encode("utf-8", "surrogatepass")):
            return text
        try:
            return self._replacements([text], SearchBudget()).get(text, text)
        except TooMuchToSearch:
            return MARKER

    def value(self, value: Json) -> Json:
        """`value` without the secrets; the same object if it has none. A number that is one becomes text."""
        if not self._secrets:
            return value
        budget = SearchBudget()
        try:
            for _ in range(_ROUNDS):
                if not self._may_hold(value):
                    return value
                replaced = self.replacements(texts_of(value), budget)
                if not replaced:
                    return value
                # Names that became alike are told apart by a number, which may make up a secret with them: look again.
                value = _walk(value, replaced)
        except TooMuchToSearch:
            pass
        return MARKER

    def anything(self, value: object) -> Any:
        """Like `value` for what a log line may hold: what is not JSON is judged by its `str`."""
        if not self._secrets:
            return value
        if isinstance(value, str):
            return self.text(value)
        try:
            replaced = self.replacements(texts_of(value))
        except TooMuchToSearch:
            return MARKER
        return _walk(value, replaced) if replaced else value

    def replacements(self, texts: Iterable[str], budget: SearchBudget | None = None) -> dict[str, str]:
        """What is to stand in the place of each of these texts that holds a secret. Raises `TooMuchToSearch`."""
        some = [text for text in dict.fromkeys(texts) if len(text) >= MIN_LENGTH]
        return self._replacements(some, budget or SearchBudget()) if self._may_be_in(some) else {}

    def _replacements(self, texts: list[str], budget: SearchBudget) -> dict[str, str]:
        replaced: dict[str, str] = {}
        originals = now = texts
        for _ in range(_ROUNDS):
            spans = self._needles.find(now, budget)
            if not spans:
                return replaced
            # What a replacement leaves may form another secret with its neighbours: look again.
            originals = [originals[number] for number in spans]
            now = [_without(now[number], found) for number, found in spans.items()]
            replaced.update(zip(originals, now, strict=True))
            if not self._may_be_in(now):
                return replaced
        replaced.update(dict.fromkeys(originals, MARKER))
        return replaced

    def _may_be_in(self, texts: list[str]) -> bool:
        if not texts or not self._secrets:
            return False
        return self._needles.may_be_in("\0".join(texts).encode("utf-8", "surrogatepass"))

    def _may_hold(self, value: Json) -> bool:
        """Whether a secret may be in `value`; asked of its JSON text, which leaves every core and every escape as it
        is."""
        try:
            return self._needles.may_be_in(orjson.dumps(value))
        except TypeError:  # whole numbers above 64 bits, lone surrogates
            return True


def _sought(secrets: Iterable[str]) -> Iterator[str]:
    """Who sends a secret, or sends it back, may have trimmed it: a file's last line ends with a line break."""
    return (one for secret in secrets for one in {secret, secret.strip()} if len(one) >= MIN_LENGTH)


# Of as few bits a whole number, its sign too, is shorter as text than any secret.
_SHORT_NUMBER_BITS = 19


def texts_of(value: object) -> list[str]:
    """The texts in `value` that may hold a secret: names of fields too, and what is no text by its `str`."""
    texts: list[str] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            if len(part) >= MIN_LENGTH:
                texts.append(part)
        elif isinstance(part, dict):
            waiting += part.values()
            texts += [key for key in part if isinstance(key, str)]
        elif isinstance(part, list | tuple):
            waiting += part
        elif part is None or (isinstance(part, int) and part.bit_length() <= _SHORT_NUMBER_BITS):
            continue
        else:
            texts.append(str(part))
    return texts


def _walk(value: Any, replaced: Mapping[str, str]) -> Any:
    match value:
        case str():
            return replaced.get(value, value)
        case None | bool():
            return value
        case dict():
            result: dict[Any, Any] = {}
            for key, item in value.items():
                name = replaced.get(key, key) if isinstance(key, str) else key
                while name in result:
                    name = f"{name}{len(result)}"
                result[name] = _walk(item, replaced)
            return result
        case list():
            return [_walk(item, replaced) for item in value]
        case tuple():
            return tuple(_walk(item, replaced) for item in value)
        case _:
            return replaced.get(str(value), value)


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
