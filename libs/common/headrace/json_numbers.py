"""How a number reads in a text: the one rule for expressions, requests, cursors and what is looked for in texts."""

from decimal import Decimal

_EXACT = 2**53  # below it a double is the whole number of its digits
_WITH_EXPONENT = 1e21  # from here on also JavaScript writes an exponent


def number_text(value: int | float) -> str:
    """A finite number: a whole one below 10^21 by its digits (`5.0` as `5`, `-0.0` as `0`, `1e16` as
    `10000000000000000`), any other by the fewest digits that give it back (`2.5`, `1e-05`, `1e+21`).

    Whether a value was computed, came from an API or went through Postgres's jsonb, which has numbers and no
    spellings, makes no difference.
    """
    return str(plain_number(value) if isinstance(value, float) else value)


def plain_number(value: float) -> int | float:
    """`value` as the whole number that `number_text` writes, where it does."""
    if not value.is_integer() or abs(value) >= _WITH_EXPONENT:
        return value
    # Of a large double the digits count by which it is written, as they do in Postgres.
    return int(value) if abs(value) < _EXACT else int(Decimal(repr(value)))
