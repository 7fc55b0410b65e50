"""Regular expressions that tenants write, matched in linear time.

The engine is the one that JSON Schema patterns use (`headrace.workflow.schemas`): the Rust `regex` crate, by way
of jsonschema-rs. It has no look-around and no back-references, and so no pattern can stall a runner.
"""

from collections.abc import Callable
from functools import lru_cache

import jsonschema_rs

from headrace.workflow.grammar import MAX_PATTERN
from headrace.workflow.schema_weights import PATTERN, REGEX_SIZE, pattern_weight

MAX_MATCHED = 256 * 1024  # characters of a text, fewer for a large pattern; a longer one matches nothing
# Units of an expression's budget. Measured: up to a millisecond to compile one, 0.3 microseconds for a character.
WORK_TO_COMPILE = 1_500
_WORK_TO_MATCH = 90_000  # with the longest text
_CACHE = 256 * 1024  # bytes that matching with it may keep


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Callable[[str], bool] | None:
    """Whether a text holds a match of `pattern`, anywhere in it; None when the pattern can not be used."""
    if len(pattern) > MAX_PATTERN:
        return None
    options = jsonschema_rs.RegexOptions(size_limit=REGEX_SIZE, dfa_size_limit=_CACHE)
    try:
        validator = jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=options)
    except (jsonschema_rs.ValidationError, ValueError):
        return None

    longest = _longest(pattern)

    def matches(text: str) -> bool:
        return len(text) <= longest and validator.is_valid(text)

    return matches


def work_to_match(pattern: str, text: str) -> int:
    """What looking for `pattern` in `text` takes; nothing when the text is too long to be looked at."""
    longest = _longest(pattern)
    return 1 + _WORK_TO_MATCH * len(text) // longest if len(text) <= longest else 1


def _longest(pattern: str) -> int:
    return MAX_MATCHED * PATTERN // pattern_weight(pattern)
