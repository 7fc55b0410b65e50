"""How things are spelled: one rule per kind of name, shared by the parser and the published JSON Schema."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from heapq import nlargest

# Of so many known names each is looked at for one that is like an unknown one; of more, those of the same first letter.
_LOOKED_AT = 1_000
# So many, those that have the most pairs of letters in common with it, are compared letter by letter.
_COMPARED = 8


@dataclass(frozen=True, slots=True)
class NameRule:
    """A kind of name: its pattern (whole text), and in words what it may hold."""

    what: str
    pattern: str
    words: str

    def allows(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text, re.ASCII) is not None


_NAME = "[a-z0-9][a-z0-9_-]{0,62}"
_NAME_WORDS = "Use lower case letters, digits, `-` and `_`, 63 at most, starting with a letter or digit."

NAME = NameRule("name", _NAME, _NAME_WORDS)
STEP_KEY = NameRule(
    "step key", "[a-z][a-z0-9_]{0,62}", "Use lower case letters, digits and `_`, 63 at most, a letter first."
)
STEP_TYPE = NameRule(
    "step type",
    "[a-z][a-z0-9_.-]{0,62}",
    "Use lower case letters, digits, `.`, `-` and `_`, 63 at most, a letter first.",
)
ACTION_REF = NameRule("action", f"{_NAME}/{_NAME}", "Write `app/action`.")
ENV_NAME = NameRule(
    "env name", "[A-Za-z_][A-Za-z0-9_]{0,62}", "Use letters, digits and `_`, 63 at most, no digit first."
)
OUTPUT_NAME = NameRule(
    "output name", "[A-Za-z_][A-Za-z0-9_]{0,62}", "Use letters, digits and `_`, 63 at most, no digit first."
)
FAILURE_CODE = NameRule(
    "error code",
    "[A-Z][A-Z0-9_]{0,62}",
    "Use capitals, digits and `_`, 63 at most, a letter first, as in `ORDER_TOO_LARGE`.",
)
FIELD = NameRule(
    "field",
    r"(output|status|error)(\.[^. \t\r\n]{1,128}){0,15}",
    "Write `status`, or a path such as `output.body.total` or `error.code`.",
)


def closest(name: str, known: Iterable[str]) -> str:
    """A mend for an unknown name: the nearest known one, or all of them when they are few. Takes some 5 ms at most;
    where there may be many unknown names, `Reading.closest` is to be asked."""
    names = sorted(known)
    plain = {known.lower(): known for known in reversed(names)}
    text = name[:64].lower()
    likely = (
        [*plain] if len(plain) <= _LOOKED_AT else [one for one in plain if one[:1] == text[:1]][:_LOOKED_AT]
    )
    pairs = _pairs(text)
    likely = nlargest(_COMPARED, likely, key=lambda one: len(pairs & _pairs(one)))
    close = get_close_matches(text, likely, n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{plain[close[0]]}`?"
    if not names:
        return "There are none yet."
    return "Known are: " + ", ".join(names[:20]) + (" and others." if len(names) > 20 else ".")


def _pairs(text: str) -> set[str]:
    """Each two letters that follow one another; the first and the last stand beside a space."""
    return {f"{one}{other}" for one, other in zip(f" {text}", f"{text} ", strict=True)}
