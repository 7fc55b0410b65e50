"""JSON as Postgres gives it back (`jsonb`): what a runner has in memory is what another one will read."""

import re
from collections.abc import Iterator
from decimal import Decimal

import orjson
from headrace.json_types import Json
from headrace.workflow.json_rules import written_length

# From here on a number is written with an exponent, and comes back without: as the whole number of its digits, as far
# as 64 bits hold one.
_WITH_EXPONENT = 1e16
_PERHAPS_EXPONENT = re.compile(rb"[0-9]e[-+]?[0-9]")


def as_stored(value: Json) -> Json:
    """`value`, with the names of objects in the database's order (shorter ones first, then by their bytes in UTF-8)
    and numbers as it writes them. What a list of names gives, and so which item of a loop is the third, does not hang
    on who holds the run."""
    if isinstance(value, dict):
        names = sorted(value)  # by code points, which is by bytes
        names.sort(key=_length)
        return {name: as_stored(value[name]) for name in names}
    if isinstance(value, list):
        return [as_stored(part) for part in value]
    return _number(value) if isinstance(value, float) else value


def stored_size(value: Json) -> int:
    """Bytes of `value` as the JSON that is read back, white space aside: a number is written out then, and 1e308 takes
    fifty times what it took. Raises `TypeError` for what is no JSON."""
    text = orjson.dumps(value)
    if _PERHAPS_EXPONENT.search(text) is None:
        return len(text)
    return len(text) + sum(written_length(number) - len(repr(number)) for number in _fractions(value))


def _fractions(value: Json) -> Iterator[float]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, float):
            yield part
        elif isinstance(part, list):
            waiting.extend(part)
        elif isinstance(part, dict):
            waiting.extend(part.values())


def _length(name: str) -> int:
    return len(name) if name.isascii() else len(name.encode())


def _number(value: float) -> int | float:
    if _WITH_EXPONENT <= abs(value) < 1e20:
        whole = int(Decimal(repr(value)))
        return whole if -(2**63) <= whole < 2**64 else value
    return value + 0.0  # there is no negative zero
