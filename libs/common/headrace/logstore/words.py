"""How the text of a record becomes words, and a search too: one rule, so that what was written is found.

Text is split into atoms (runs of letters, digits and their marks; one ideograph or one letter of a script
that puts no spaces between words) and, where atoms are joined by `.`, `@`, `-`, `_` or `+` alone, kept whole
as well: `order-17` is written as `order-17`, `order` and `17`. `ann@example.com` also gives `example.com`.
Case and composition do not matter: canonical caseless matching (Unicode, section 3.13, D145), then NFC.

The level and the step of a record are written beside its words as terms, so that one index serves a search by
any mix of the three. No word holds a colon, so no message can spell a term.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import regex

from headrace.errors import InvalidInput, Problem
from headrace.logstore.port import LogQuery
from headrace.messages import LogLevel, LogRecord

MAX_WORD = 64
MAX_WORDS = 256
MAX_WORDS_WANTED = 16
MAX_SEARCH = 1_000

_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_SPACED = rf"[[\p{{L}}\p{{N}}]--{_UNSPACED}]"
_ATOM = rf"(?:{_UNSPACED}\p{{M}}*+|(?:{_SPACED}\p{{M}}*+)++)"
_WHOLE = regex.compile(rf"{_ATOM}(?:[.@_+\-]++{_ATOM})*+", regex.V1)
# From the loosest joint to the tightest: each cut of a whole gives words too.
_JOINED = ".@_+-"
_JOINTS = tuple(regex.compile(joint, regex.V1) for joint in (r"@+", r"[.@]+", r"[.@_+\-]+"))


def words_of(text: str) -> Sequence[str]:
    """The words under which `text` is found: at most `MAX_WORDS`, each cut at `MAX_WORD` characters."""
    return _kept_words(text) if len(text) <= _SHORT else _words(text)


def _words(text: str) -> Sequence[str]:
    words: dict[str, None] = {}
    for whole in _wholes(text):
        words[_word(whole)] = None
        for joint in _JOINTS:
            for part in joint.split(whole):
                words[_word(part)] = None
        if len(words) >= MAX_WORDS:
            break
    return tuple(words)[:MAX_WORDS]


# Most records are a few sentences about a step, again and again.
_SHORT, _KEPT = 100, 1_000
_kept_words = lru_cache(_KEPT)(_words)


def words_wanted(text: str) -> list[str]:
    """The words that a record must have to answer the search `text`: wholes only, their parts are implied.

    Raises `InvalidInput` for a search of more than `MAX_WORDS_WANTED` words or `MAX_SEARCH` characters, and
    for one of nothing but signs.
    """
    if len(text) > MAX_SEARCH:
        raise _refused(f"longer than {MAX_SEARCH} characters", "search for fewer words")
    words: dict[str, None] = {}
    for whole in _wholes(text):
        words[_word(whole)] = None
        if len(words) > MAX_WORDS_WANTED:
            raise _refused(f"more than {MAX_WORDS_WANTED} words", "search for fewer words")
    if text and not text.isspace() and not words:
        raise _refused("no word in it", "search for letters or digits")
    return list(words)


def _word(part: str) -> str:
    """Without the joints at which it was cut off from the rest."""
    return part[:MAX_WORD].strip(_JOINED)


def _refused(message: str, mend: str) -> InvalidInput:
    return InvalidInput([Problem("words", message, mend, "UNSEARCHABLE")])


def terms_of(record: LogRecord) -> list[str]:
    """What is indexed for a record: its words, its step, and every noteworthy level that it reaches."""
    terms = list(words_of(record.message))
    terms.extend(_level_term(level) for level in _NOTEWORTHY if record.level.severity >= level.severity)
    if record.step is not None:
        terms.append(_step_term(record.step))
    return terms


def terms_wanted(query: LogQuery) -> list[str]:
    """The terms that narrow `query`, likely the rarest first. Raises `InvalidInput` as `words_wanted` does.

    Longer words tend to be rarer, and an index of sorted lists is entered by one of them.
    """
    terms = sorted(words_wanted(query.words), key=len, reverse=True)
    if query.step is not None:
        terms.append(_step_term(query.step))
    if query.level in _NOTEWORTHY:
        terms.append(_level_term(query.level))
    return terms


# Nearly every record reaches INFO: a term for it would cost much and narrow nothing.
_NOTEWORTHY = (LogLevel.WARN, LogLevel.ERROR)


def _level_term(level: LogLevel) -> str:
    return f"level:{level}"


def _step_term(step: str) -> str:
    return f"step:{step[:MAX_WORD]}"


def _wholes(text: str) -> Iterator[str]:
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
    return (match.group() for match in _WHOLE.finditer(folded))
