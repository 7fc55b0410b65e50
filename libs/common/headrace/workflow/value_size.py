"""How large a JSON value is to the validator of its schema."""

from dataclasses import dataclass

from headrace.json_types import Json
from headrace.workflow.schema_weights import is_far, number_weight

MAX_VALUE_DEPTH = 128


@dataclass(frozen=True, slots=True)
class Size:
    """`places` are values at any depth, `characters` those of texts and names. `compared`, `floats` and `far` weigh
    what is compared number by number: numbers, lists and objects; numbers that are not whole; those far from 1."""

    places: int
    characters: int
    depth: int
    compared: int
    floats: int
    far: int


def size_of(value: Json) -> Size | None:
    """How large a value is; None when it is deeper than `MAX_VALUE_DEPTH`."""
    places = characters = compared = floats = far = 0
    level: list[Json] = [value]
    for depth in range(1, MAX_VALUE_DEPTH + 1):
        below: list[Json] = []
        places += len(level)
        for part in level:
            match part:
                case str():
                    characters += len(part)
                case list():
                    compared += 1
                    below.extend(part)
                case dict():
                    compared += 1
                    characters += sum(map(len, part))
                    below.extend(part.values())
                case float():
                    weight = number_weight(part)
                    compared += weight
                    floats += weight
                    far += weight if is_far(part) else 0
                case int():
                    compared += 1
                case _:
                    pass
        if not below:
            return Size(places, characters, depth, compared, floats, far)
        level = below
    return None
