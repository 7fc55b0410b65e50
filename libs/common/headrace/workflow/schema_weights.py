"""What the keywords of one subschema cost the validator, beyond a visit of the place that it is applied to.

Measured of jsonschema-rs 0.60 (microseconds): a visit of a member of an object 0.05; a comparison of whole
numbers 0.4 and of other numbers, which it makes exactly, with fractions, 2 and more, 50 when one of them is
`1e-300`; a pattern 1 to 8 per character, by its compiled size; a format up to 0.2 per character.
"""

import math
from collections.abc import Mapping
from functools import lru_cache

import jsonschema_rs

from headrace.json_types import Json
from headrace.workflow.schema_survey import members

REGEX_SIZE = 64 * 1024  # bytes of a compiled pattern
PATTERN = 8  # of one whose compiled size is small, per character; a format is 1
_PATTERN_SIZES = {4 * 1024: PATTERN, 8 * 1024: 3 * PATTERN, 16 * 1024: 7 * PATTERN, 32 * 1024: 14 * PATTERN}
_LARGEST = 28 * PATTERN
_SLOW_FORMATS = {"email": 6, "idn-email": 40, "idn-hostname": 40}
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_PLAIN_EXPONENT = 64
_NODE_BYTES = 100  # of a JSON value in the validator's errors, besides the characters of texts


def visits(schema: Mapping[str, Json]) -> int:
    """What applying the subschema to one place weighs; 1 is a visit of one member."""
    names = members(schema, "dependentRequired")
    needed = sum(len(needs) for needs in names.values() if isinstance(needs, list))
    known = schema.get("format")
    slow = (_SLOW_FORMATS.get(known, 2) if isinstance(known, str) else 0) + 4 * ("uniqueItems" in schema)
    return 1 + len(names) + needed + slow


def matches(schema: Mapping[str, Json]) -> int:
    """What the subschema's patterns and its format weigh per character of a text."""
    weight = sum(pattern_weight(pattern) for pattern in members(schema, "patternProperties"))
    if isinstance(pattern := schema.get("pattern"), str):
        weight += pattern_weight(pattern)
    return weight + 2 * ("format" in schema)


@lru_cache(maxsize=1024)
def pattern_weight(pattern: str) -> int:
    """What matching `pattern` weighs per character, by its compiled size; also of one that does not compile."""
    for size, weight in _PATTERN_SIZES.items():
        options = jsonschema_rs.RegexOptions(size_limit=size)
        try:
            jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=options)
        except (jsonschema_rs.ValidationError, ValueError):
            continue
        return weight
    return _LARGEST


def exact(schema: Mapping[str, Json]) -> int:
    """Comparisons with every number and every list or object of a value."""
    total = 0
    for value in _options(schema):
        if isinstance(value, list | dict) or _is_float(value) or "const" in schema:
            total += _leaves(value)
    for keyword in ("multipleOf", *_BOUNDS):
        value = schema.get(keyword)
        if _is_float(value) or (keyword == "multipleOf" and value is not None):
            total += operand_weight(value)
    return total


def whole(schema: Mapping[str, Json]) -> int:
    """Comparisons with every number that is not whole: options that are whole are looked up otherwise."""
    return sum(1 for value in _options(schema) if isinstance(value, int) and not isinstance(value, bool))


def bounds(schema: Mapping[str, Json]) -> int:
    """Comparisons that cost something for numbers far from 1 alone: with whole bounds, and of elements."""
    return sum(keyword in schema for keyword in (*_BOUNDS, "uniqueItems"))


def copied(schema: Mapping[str, Json]) -> int:
    """Bytes that each error of the subschema holds of the schema."""
    return sum(_bytes(value) for value in _options(schema))


def number_weight(value: Json) -> int:
    """What comparing a number weighs, in comparisons of whole numbers."""
    if not isinstance(value, float):
        return 1
    return 4 + abs(_exponent(value)) // 16


def operand_weight(value: Json) -> int:
    """What comparing with a number of the schema weighs, in the same."""
    return max(1, number_weight(value) // 2 - 4)


def is_far(value: Json) -> bool:
    """Whether a number is so large or so small that comparing it is costly whatever it is compared with."""
    return isinstance(value, float) and abs(_exponent(value)) > _PLAIN_EXPONENT


def _exponent(value: float) -> int:
    return math.frexp(value)[1] if math.isfinite(value) else 1024


def _is_float(value: Json) -> bool:
    return isinstance(value, float)


def _options(schema: Mapping[str, Json]) -> list[Json]:
    options = schema.get("enum")
    found = list(options) if isinstance(options, list) else []
    return [*found, schema["const"]] if "const" in schema else found


def _leaves(value: Json) -> int:
    """What is compared of an option: nothing for a text, a boolean and null, which cost next to nothing."""
    if isinstance(value, str | bool) or value is None:
        return 0
    total = 0
    for part in _parts(value):
        total += operand_weight(part) if isinstance(part, int | float) else 1
    return total


def _bytes(value: Json) -> int:
    return sum(_NODE_BYTES + (len(part) if isinstance(part, str) else 0) for part in _parts(value))


def _parts(value: Json) -> list[Json]:
    """`value` and everything in it."""
    found = [value]
    for part in found:
        if isinstance(part, list):
            found.extend(part)
        elif isinstance(part, dict):
            found.extend(part)
            found.extend(part.values())
    return found
