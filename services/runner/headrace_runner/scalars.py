"""How single JSON values are written into the textual parts of a request."""

import math

from headrace.json_numbers import number_text
from headrace.json_types import Json

_LARGEST = 10**4_000  # far above what JSON readers keep; beyond it Python itself refuses to write the digits


class Unwritable(Exception):
    """A value that can not stand where it should. `place` is a path of names, `reason` quotes nothing."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


def scalar_text(value: Json, place: str) -> str | None:
    """Text as it is, numbers by `number_text`, `true` and `false`; None for null. Raises `Unwritable`."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case int() if abs(value) < _LARGEST:
            return number_text(value)
        case float() if math.isfinite(value):
            return number_text(value)
        case str():
            return value
        case list():
            raise Unwritable(place, "a list can not stand here")
        case dict():
            raise Unwritable(place, "an object can not stand here; write it as text")
        case _:
            raise Unwritable(place, "not a number that JSON has")
