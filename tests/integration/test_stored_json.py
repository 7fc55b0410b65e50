"""That a runner's idea of what the database gives back is right."""

from random import Random

import asyncpg
import orjson
import pytest
from headrace.json_types import Json
from headrace.postgres.pool import use_json
from headrace_runner.stored import as_stored, stored_size

NUMBERS: list[Json] = [
    *(
        0,
        -1,
        2**53 + 1,
        2**64 - 1,
        -(2**63),
        0.0,
        -0.0,
        0.1,
        1.0,
        100.0,
        1e-7,
        5e-324,
        1e15,
        1234567890123456.0,
    ),
    *(
        1e16,
        -1e16,
        1.2345678901234568e17,
        9.007199254740993e17,
        9.223372036854775e18,
        1e18,
        -(2.0**63),
        -1e19,
    ),
    *(1.8e19, 2.0**64, 1e22, 1e300, -1e300),
]
NAMES = (
    "",
    "a",
    "b",
    "B",
    "_",
    "aa",
    "ab",
    "Z9",
    "é",
    "€",
    "ab\u00fc",
    "\U0001f600",
    "\uffff",
    "zzz",
    "10",
    "9",
)


def _made(random: Random, depth: int = 0) -> Json:
    match random.choice("nnlod" if depth < 4 else "n"):
        case "n":
            return random.choice(NUMBERS)
        case "l":
            return [_made(random, depth + 1) for _ in range(random.randrange(4))]
        case _:
            names = random.sample(NAMES, random.randrange(len(NAMES)))
            return {name: _made(random, depth + 1) for name in names}


@pytest.mark.parametrize("seed", range(3))
async def test_values_come_back_as_a_runner_has_them(database: str, seed: int) -> None:
    random = Random(seed)
    values: Json = [*NUMBERS, *(_made(random) for _ in range(200))]
    connection = await asyncpg.connect(database)
    try:
        await use_json(connection)
        back = await connection.fetchval("SELECT $1::jsonb", values)
        text = await connection.fetchval("SELECT $1::jsonb::text", values)
    finally:
        await connection.close()
    # As texts: equal objects may have their names in another order.
    assert orjson.dumps(as_stored(values)) == orjson.dumps(back)
    # Nearly: orjson writes 1e-7 where Python, and what is counted here, has 1e-07.
    assert stored_size(values) == pytest.approx(len(text.replace(" ", "").encode()), rel=0.001)
